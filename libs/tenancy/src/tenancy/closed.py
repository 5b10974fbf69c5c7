"""Hold a document against a closed pydantic model, and say in plain words where it differs."""

import difflib
import functools
from collections.abc import Iterator, Mapping, Sequence
from typing import TypeVar, cast

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails

from tenancy.document import Document, Key, Problem, mapping, sequence, shown


class Closed(BaseModel):
    """A model that takes the keys that it names and no others, converts nothing, and never changes."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, use_attribute_docstrings=True)


Model = TypeVar("Model", bound=Closed)


def validate(model: type[Model], document: Document) -> tuple[Model | None, list[Problem]]:
    """Return the model, or None and everything that keeps the document from being one."""
    try:
        return model.model_validate(document.value), []
    except ValidationError as error:
        return None, list(_problems(model, document, error))


def _problems(model: type[Closed], document: Document, error: ValidationError) -> Iterator[Problem]:
    meant: set[tuple[Key, ...]] = set()  # a misspelt key is one problem, not also a missing one
    for details in sorted(error.errors(include_url=False), key=lambda each: each["type"] == "missing"):
        if details["type"] == "extra_forbidden":
            path = _path(document, details["loc"])
            valid = _keys(schema_of(model), path[:-1])
            meant.add((*path[:-1], near(path[-1], valid) or ""))
            yield document.problem(path, f"unknown key; {nearest(path[-1], valid)}")
        elif details["type"] == "missing":
            path = (*_path(document, details["loc"][:-1]), details["loc"][-1])
            if path not in meant:
                yield document.problem(path, "is missing")
        else:
            yield document.problem(_path(document, details["loc"]), _message(details))


def _path(document: Document, location: tuple[Key, ...]) -> tuple[Key, ...]:
    """Return pydantic's location without the steps that are not the document's: names of union members, "[key]"."""
    path: tuple[Key, ...] = ()
    for step in location:
        if (*path, step) in document.lines:
            path = (*path, step)
    return path


_EXPECTED = {
    "string_type": "text",
    "int_type": "a whole number",
    "list_type": "a list",
    "dict_type": "a mapping (key: value)",
    "model_type": "a mapping (key: value)",
}


def _message(details: ErrorDetails) -> str:
    value, context = details["input"], details.get("ctx", {})
    if details["type"] in _EXPECTED:
        return f"must be {_EXPECTED[details['type']]}, not {_kind(value)}{_remedy(details['type'], value)}"
    match details["type"]:
        case "value_error":
            return str(context["error"])
        case "literal_error":
            return f"must be {context['expected'].replace(chr(39), '')}, not {shown(value)}"
        case "greater_than_equal" | "less_than_equal":
            bound = f"at least {context['ge']}" if "ge" in context else f"at most {context['le']}"
            return f"must be {bound}, not {shown(value)}"
        case "too_short":
            return f"needs at least {context['min_length']}"
        case _:
            return details["msg"][:1].lower() + details["msg"][1:]


def _remedy(expected: str, value: object) -> str:
    if expected == "string_type" and isinstance(value, bool | int | float):
        return "; put it in quotes"
    if value is None and expected in {"dict_type", "model_type", "list_type"}:
        return "; write []" if expected == "list_type" else "; write {}"
    return ""


def _kind(value: object) -> str:
    match value:
        case None:
            return "empty"
        case bool() | int() | float():
            return f"the {'truth value' if isinstance(value, bool) else 'number'} {str(value).lower()}"
        case str():
            return f"the text {shown(value)}"
        case list():
            return "a list"
        case _:
            return "a mapping"


@functools.cache
def schema_of(model: type[Closed]) -> dict[str, object]:
    """Return the model's JSON schema, in which keys of a map that break the rule for its keys are refused as well."""
    schema: dict[str, object] = model.model_json_schema()
    _close(schema)
    return schema


def _close(schema: object) -> None:
    for part in [*mapping(schema).values(), *sequence(schema)]:
        _close(part)
    if isinstance(schema, dict) and "patternProperties" in schema:
        schema["additionalProperties"] = False


def near(key: Key, valid: Sequence[str]) -> str | None:
    """Return the valid key that was probably meant."""
    return next(iter(difflib.get_close_matches(str(key)[:60], valid, n=1)), None)


def nearest(key: Key, valid: Sequence[str]) -> str:
    """Return advice on an unknown key: the valid one that was probably meant, or all of them."""
    meant = near(key, valid)
    if meant is not None:
        return f'did you mean "{meant}"?'
    return f"known here: {', '.join(valid)}" if valid else "none is known here"


def _keys(schema: Mapping[str, object], path: tuple[Key, ...]) -> list[str]:
    """Return the keys that a JSON schema allows at a path."""
    definitions = mapping(schema.get("$defs"))
    at: list[Mapping[str, object]] = [schema]
    for step in (*path, None):
        at = [resolved for part in at for resolved in _resolve(part, definitions)]
        if step is not None:
            at = [part for whole in at for part in _below(whole, step)]
    return sorted({key for part in at for key in mapping(part.get("properties"))})


def _resolve(schema: Mapping[str, object], definitions: Mapping[str, object]) -> list[Mapping[str, object]]:
    """Return the schemas behind a reference or a choice between several."""
    if "$ref" in schema:
        return _resolve(mapping(definitions[str(schema["$ref"]).rsplit("/", 1)[-1]]), definitions)
    choices = cast("list[dict[str, object]]", schema.get("anyOf") or schema.get("oneOf") or [])
    return [part for choice in choices for part in _resolve(choice, definitions)] if choices else [schema]


def _below(schema: Mapping[str, object], step: Key) -> list[Mapping[str, object]]:
    """Return the schemas of what may stand under a step."""
    named = mapping(schema.get("properties"))
    if step in named:
        return [mapping(named[step])]
    patterns = mapping(schema.get("patternProperties"))
    below = [*patterns.values(), schema.get("additionalProperties"), schema.get("items")]
    return [mapping(part) for part in below if mapping(part)]
