"""What Kubernetes lets nobody change of an object once it is there, and what is lost with one that goes.

A chart that changes such a field cannot be upgraded: Helm stops in the middle, and somebody has to delete by hand.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from tests.helm import releases
from tests.helm.releases import label
from tests.helm.rendering import Object, read_one

HERE = Path(__file__).parent / "released"
OBJECTS = HERE / "objects.json"
KEPT = {"Namespace", "StatefulSet", "PersistentVolumeClaim"}
"""With one of these goes what is in it."""
_CHANGEABLE_OF_STATEFUL_SET = {
    "minReadySeconds",
    "ordinals",
    "persistentVolumeClaimRetentionPolicy",
    "replicas",
    "revisionHistoryLimit",
    "template",
    "updateStrategy",
}

_FIELDS = {
    "ClusterRoleBinding": ("roleRef",),
    "Deployment": ("spec.selector",),
    "Job": ("spec.completionMode", "spec.completions", "spec.selector", "spec.template"),
    "PersistentVolumeClaim": ("spec",),
    "RoleBinding": ("roleRef",),
    "Secret": ("immutable", "type"),
    "Service": ("spec.clusterIP",),
}

Parts = Mapping[str, Any]
"""Path of a field to its value, where there is one; a Job's template as a digest."""


def parts(thing: Object) -> Parts:
    """Return what cannot be changed of an object."""
    paths = _FIELDS.get(thing["kind"], ())
    if thing["kind"] == "StatefulSet":
        paths = [f"spec.{name}" for name in sorted(set(thing["spec"]) - _CHANGEABLE_OF_STATEFUL_SET)]
    found = {path: _at(thing, path) for path in paths}
    return {path: _digest(own) if path == "spec.template" else own for path, own in found.items() if own is not None}


def _at(thing: Object, path: str) -> Any:
    value: Any = thing
    for step in path.split("."):
        value = value.get(step, {})
    return value or None


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]


def of(objects: Iterable[Object]) -> dict[str, Parts]:
    """Return what cannot be changed of objects, by kind, namespace and name."""
    # Helm deletes a hook's object before it makes it anew.
    found = [thing for thing in objects if "helm.sh/hook" not in thing["metadata"].get("annotations", {})]
    return {label(thing): own for thing in found if (own := parts(thing)) or thing["kind"] in {*KEPT, *_FIELDS}}


def broken(before: Mapping[str, Parts], after: Mapping[str, Parts]) -> list[str]:
    """Return what an upgrade would stop at, or would lose."""
    found = [
        f"{name} is gone, with what is in it" for name in before if name not in after and name.split("/")[0] in KEPT
    ]
    for name in sorted(before.keys() & after.keys()):
        old, new = before[name], after[name]
        found += [f"{name}: {field} has changed" for field in sorted({*old, *new}) if old.get(field) != new.get(field)]
    return found


def rendered() -> dict[str, dict[str, Parts]]:
    """Return what this state of the charts makes of the values of the last release."""
    cases = read_one((HERE / "values.yaml").read_text())
    return {case: of(releases.everything(values)) for case, values in cases.items()}
