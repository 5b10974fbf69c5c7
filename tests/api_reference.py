"""Write docs/reference/api.md from the docstrings of the public names: `python -m tests.api_reference`."""

import ast
import inspect
import re
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import sensor_assets
from sensor_assets import testing
from sensor_assets._sources.base import Common
from sensor_assets.testing import plugin, source_contract

PAGE = Path(__file__).parents[1] / "docs" / "reference" / "api.md"

INTRODUCTION = """\
<!-- Made from the docstrings by `python -m tests.api_reference`, checked by a test; edits here are lost. -->
# Public names

Whatever is not on this page may change without notice. Names are imported from `sensor_assets`, those for tests from
`sensor_assets.testing`.
"""

SOURCES = "Sources"
GROUPS: dict[str, Sequence[str]] = {
    "Sensor assets": ("sensor_asset", "SensorAssetDefinition", "SensorAsset", "Batching", "Retry", "with_sources"),
    "What a run is given": ("Batch", "Item", "Lake", "LakeFile"),
    SOURCES: (
        "ObjectSource",
        "ObjectEvents",
        "HttpSource",
        "Link",
        "TableSource",
        "QueueSource",
        "Message",
        "Receiver",
        "source",
        "FunctionSource",
        "SourceGroup",
    ),
    "Conditions": ("Router", "Waiting", "Send", "Hold", "Skip"),
    "Settings": ("Settings",),
    "A kind of source of your own": ("Source", "SourceClient", "ScanContext", "Page"),
}
ERRORS = "Errors"
OTHERS = "Further names"

_SECTION = re.compile(r"^(Args|Raises|Returns|Example):$", re.MULTILINE)
_ENTRY = re.compile(r"^ {4}([\w ]+): ((?:.*)(?:\n {5,}.*)*)", re.MULTILINE)


def page() -> str:
    """Return the page as the docstrings are now."""
    parts = [INTRODUCTION]
    for title, names in _groups().items():
        parts.append(f"## {title}\n")
        if title == SOURCES:
            parts.append(f"Every source takes, besides its own arguments:\n\n{_arguments(Common)}\n")
        parts += [_entry(name, getattr(sensor_assets, name)) for name in names]
    parts.append("## For tests\n")
    parts.append("From `sensor_assets.testing`; `MemoryStore` is obstore's.\n")
    parts += [_entry(name, getattr(testing, name)) for name in testing.__all__ if name != "MemoryStore"]
    parts.append("From `sensor_assets.testing.source_contract`:\n")
    parts += [_entry(name, getattr(source_contract, name)) for name in ("SourceContract", "Outside")]
    parts.append("### Fixtures\n")
    parts.append("".join(f"- `{name}`: {_summary(fixture)}\n" for name, fixture in _fixtures(plugin)))
    return "\n".join(parts)


def _groups() -> dict[str, Sequence[str]]:
    grouped = {name for names in GROUPS.values() for name in names}
    left = [name for name in sensor_assets.__all__ if name not in grouped]
    errors = [name for name in left if _is_error(getattr(sensor_assets, name))]
    others = [name for name in left if name not in errors]
    return {**GROUPS, **({OTHERS: others} if others else {}), ERRORS: errors}


def _is_error(value: Any) -> bool:
    return isinstance(value, type) and issubclass(value, BaseException)


def _fixtures(module: ModuleType) -> Iterator[tuple[str, Any]]:
    tree = ast.parse(inspect.getsource(module))
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and node.decorator_list and not node.name.startswith("sensor_assets"):
            yield node.name, ast.get_docstring(node)


def _summary(docstring: Any) -> str:
    return str(docstring).splitlines()[0]


def _entry(name: str, value: Any) -> str:
    if _is_error(value):
        return f"### `{name}`\n\n{_body(value)}"
    return f"### `{name}`\n\n```python\n{_signature(name, value)}\n```\n\n{_body(value)}{_methods(value)}"


def _body(value: Any) -> str:
    """Return a docstring as Markdown."""
    text = inspect.getdoc(value) or ""
    pieces = _SECTION.split(text)
    parts = [_plain(pieces[0].strip())]
    for title, content in zip(pieces[1::2], pieces[2::2], strict=True):
        # What stands at the margin after a section is text again.
        section, *rest = re.split(r"\n(?=\S)", content.rstrip(), maxsplit=1)
        if title == "Example":
            lines = textwrap.dedent(section).strip().splitlines()
            shown = [line[4:] if line.startswith((">>>", "...")) else f"# {line}" for line in lines]
            code = "\n".join(shown)
            parts.append(f"```python\n{code}\n```")
        elif entries := _ENTRY.findall(section):
            lead = {"Args": "", "Raises": "Raises:\n\n", "Returns": "Returns:\n\n"}[title]
            lines = [f"- `{key}`: {_plain(' '.join(said.split()))}" for key, said in entries if key != "common"]
            parts.append(lead + "\n".join(lines))
        else:
            parts.append(f"{title}: {_plain(' '.join(section.split()))}")
        parts += [_plain(paragraphs) for paragraphs in rest]
    return "\n\n".join(parts) + "\n"


def _arguments(value: Any) -> str:
    """Return the list of a docstring's arguments alone."""
    return "\n".join(line for line in _body(value).splitlines() if line.startswith("- `"))


def _plain(text: str) -> str:
    return text.replace("``", "`")


def _signature(name: str, value: Any) -> str:
    """Return how a name is called, with the annotations as the source has them."""
    node = _parsed(value)
    if isinstance(node, ast.ClassDef):
        own = [each for each in node.body if isinstance(each, ast.FunctionDef) and each.name == "__init__"]
        if not own:
            fields = [each for each in node.body if isinstance(each, ast.AnnAssign) and not _is_internal(each)]
            inside = ", ".join(_field(each) for each in fields)
            kinds = [parameter.kind for parameter in inspect.signature(value).parameters.values()]
            keyword = "*, " if kinds and kinds[0] is inspect.Parameter.KEYWORD_ONLY else ""
            return f"{name}({keyword}{inside})" if fields else name
        node = own[0]
    assert isinstance(node, ast.FunctionDef)
    if node.args.kwarg is not None and node.args.kwarg.arg == "common":
        node.args.kwarg.annotation = None
    arguments = ast.unparse(node.args).removeprefix("self, ").removeprefix("self")
    result = f" -> {ast.unparse(node.returns).strip(chr(39))}" if node.returns and node.name != "__init__" else ""
    return f"{name}({arguments}){result}"


def _field(node: ast.AnnAssign) -> str:
    written = ast.unparse(node.value) if node.value else ""
    optional = written and not (written.startswith("Field(") and "default" not in written)
    default = " = ..." if written.startswith(("field(", "Field(")) else f" = {written}"
    return f"{ast.unparse(node.target)}: {ast.unparse(node.annotation)}{default if optional else ''}"


def _is_internal(node: ast.AnnAssign) -> bool:
    return "repr=False" in (ast.unparse(node.value) if node.value else "") or ast.unparse(node.target).startswith("_")


def _parsed(value: Any) -> ast.stmt:
    return ast.parse(textwrap.dedent(inspect.getsource(value))).body[0]


def _methods(value: Any) -> str:
    node = _parsed(value)
    if not isinstance(node, ast.ClassDef):
        return ""
    lines = []
    for each in node.body:
        if not isinstance(each, ast.FunctionDef) or each.name.startswith(("_", "test_")):
            continue
        said = ast.get_docstring(each)
        if said is None:
            continue
        decorators = {ast.unparse(decorator) for decorator in each.decorator_list}
        arguments = ast.unparse(each.args).split(", ", 1)
        inside = arguments[1] if len(arguments) > 1 else ""
        shown = each.name if decorators & {"property", "cached_property"} else f"{each.name}({inside})"
        lines.append(f"- `{shown}`: {_plain(said.splitlines()[0])}\n")
    return "\n" + "".join(lines) if lines else ""


if __name__ == "__main__":
    PAGE.parent.mkdir(parents=True, exist_ok=True)
    PAGE.write_text(page())
