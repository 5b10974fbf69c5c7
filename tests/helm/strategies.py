"""Registers and values of environments that nobody wrote: anything that the models and the guards take.

A value is drawn from the JSON schema of its model, but for what one key says about another: those are made to fit.
"""

from collections.abc import Mapping, Sequence
from typing import Any, cast

from hypothesis import assume
from hypothesis import strategies as st
from tenancy.charts import PlatformValues
from tenancy.closed import schema_of
from tenancy.document import InvalidFileError
from tenancy.names import LONGEST, PATTERN, check_name
from tenancy.register import Register, loads

from tests.helm.releases import DIGEST

SCHEMA = schema_of(PlatformValues)
_TEXT = st.characters(codec="utf-8", exclude_categories=["Cs"], exclude_characters="\0")
_DEFINITIONS = cast("Mapping[str, Mapping[str, Any]]", SCHEMA["$defs"])


def of_schema(schema: Mapping[str, Any], *, optional: bool = True) -> st.SearchStrategy[Any]:
    """Return values that a schema of ours takes, each key that may be left out there or not."""
    if "$ref" in schema:
        name = str(schema["$ref"]).rsplit("/", 1)[-1]
        return st.deferred(lambda: _KNOWN.get(name) or of_schema(_DEFINITIONS[name], optional=optional))
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    if "const" in schema:
        return st.just(schema["const"])
    if choices := schema.get("anyOf") or schema.get("oneOf"):
        return st.one_of([of_schema(choice) for choice in choices])
    match schema["type"]:
        case "object":
            return _of_object(schema, optional=optional)
        case "array":
            return st.lists(of_schema(schema["items"]), max_size=3)
        case "string" if "pattern" in schema:
            return texts(schema["pattern"], schema.get("maxLength"))
        case "string":
            return st.text(_TEXT, max_size=20)
        case "integer":
            return st.integers(schema.get("minimum", -(2**53)), schema.get("maximum", 2**53))
        case "number":
            return st.floats(allow_nan=False, allow_infinity=False)
        case "boolean":
            return st.booleans()
        case other:
            raise AssertionError(other)


def texts(pattern: str, longest: int | None = None) -> st.SearchStrategy[str]:
    """Return texts that match a pattern as a whole, words that YAML takes for something else among them."""
    drawn = st.from_regex(pattern, fullmatch=True, alphabet=_TEXT).filter(lambda text: not text.endswith("\n"))
    tricky = [word for word in _TRICKY if _fits(pattern, word)]
    both = st.one_of(drawn, st.sampled_from(tricky)) if tricky else drawn
    return both if longest is None else both.map(lambda text: text[:longest].rstrip("-"))


_TRICKY = ("null", "true", "on", "y", "1e3", "0x1f", "010", "1_0", "2013-01-01", "1.5", "~", "-", "=", "1:30", "a-b", "0")


def _fits(pattern: str, text: str) -> bool:
    import re

    return re.fullmatch(pattern, text) is not None


def _of_object(schema: Mapping[str, Any], *, optional: bool) -> st.SearchStrategy[Any]:
    if "properties" in schema:
        needed = set(schema.get("required", ()))
        parts = {name: of_schema(part) for name, part in schema["properties"].items()}
        return st.fixed_dictionaries(
            {name: part for name, part in parts.items() if name in needed or not optional},
            optional={name: part for name, part in parts.items() if name not in needed and optional},
        )
    if "patternProperties" in schema:
        ((pattern, part),) = schema["patternProperties"].items()
        return st.dictionaries(texts(pattern, schema.get("maxLength")), of_schema(part), max_size=3)
    part = schema["additionalProperties"]
    return st.dictionaries(st.text(_TEXT, max_size=20), st.text() if part is True else of_schema(part), max_size=3)
