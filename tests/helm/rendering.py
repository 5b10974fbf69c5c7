"""The one place where charts are rendered: in this process, or by the program that the variable HELM names."""

import json
import os
import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, cast

import helm_python
import yaml

ROOT = Path(__file__).parents[2]
CHARTS = ("platform", "code-location")
KUBERNETES = "1.37.0"

Object = dict[str, Any]
"""A Kubernetes object."""
Values = Mapping[str, Any]


class RenderError(Exception):
    """Helm renders nothing; the message is what whoever installs would read."""


@dataclass(frozen=True)
class Rendered:
    """What Helm makes of a chart: objects, hooks among them, and the text of NOTES, which a program does not print."""

    objects: Sequence[Object]
    notes: str


def render(chart: str, values: Values, *, name: str, namespace: str) -> Rendered:
    """Render a chart of this repository; `lookup` finds nothing, as before a first install.

    Args:
        chart: folder below helm/.
        values: all values, as the files of a person laid over each other.
        name: of the release.
        namespace: of the release.

    Raises:
        RenderError: the schema or a guard refuses the values, or a template fails.
    """
    program = os.environ.get("HELM")
    if program:
        return by_program(program, chart, values, name=name, namespace=namespace)
    return in_process(chart, values, name=name, namespace=namespace)


def in_process(chart: str, values: Values, *, name: str, namespace: str, revision: int = 1) -> Rendered:
    """Render by the library."""
    try:
        files = _chart(chart).render(dict(values), name=name, namespace=namespace, revision=revision)
    except helm_python.HelmError as error:
        raise RenderError(str(error)) from None
    notes = files.pop(f"{chart}/templates/NOTES.txt", "")
    return Rendered([loaded for text in files.values() for loaded in read_all(text)], notes)


def by_program(program: str, chart: str, values: Values, *, name: str, namespace: str) -> Rendered:
    """Render by a program, Helm 3 or 4."""
    command = [program, "template", name, str(ROOT / "helm" / chart), "--namespace", namespace, "--values", "-"]
    done = subprocess.run(
        [*command, "--kube-version", KUBERNETES],
        input=_json(values),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RenderError(done.stderr)
    return Rendered(read_all(done.stdout), "")


def _json(values: Values) -> str:
    """Return JSON that is YAML as well: no escapes by surrogates, no character that YAML takes for a line's end."""
    text = json.dumps(values, ensure_ascii=False)
    return re.sub(r"[\x7f-\xa0\u2028\u2029\ufeff\ufffe\uffff]", lambda found: f"\\u{ord(found[0]):04x}", text)


@cache
def _chart(chart: str) -> helm_python.Chart:
    return helm_python.Chart.load(ROOT / "helm" / chart)


class _AnyReader(yaml.CSafeLoader):
    """Refuses a plain word that is text for PyYAML and something else for the reader in Helm and Kubernetes."""


def _refuse(_: Any, node: yaml.Node) -> None:
    raise yaml.MarkedYAMLError(
        problem=f"{node.value} is not text for every reader: quote it", problem_mark=node.start_mark
    )


_AMBIGUOUS = re.compile(r"[yYnN]$|0o[0-7]+$|[-+]?(\.?[0-9]+|[0-9]+\.[0-9]*)[eE][-+]?[0-9]+$")
_AnyReader.add_implicit_resolver("!ambiguous", _AMBIGUOUS, list("yYnN-+.0123456789"))
_AnyReader.add_constructor("!ambiguous", _refuse)


def read_all(text: str) -> list[Object]:
    """Return the documents of a YAML text, without the empty ones."""
    return [cast("Object", document) for document in yaml.load_all(text, Loader=_AnyReader) if document]


def read_one(text: str) -> Any:
    """Return the document of a YAML text."""
    return yaml.load(text, Loader=_AnyReader)
