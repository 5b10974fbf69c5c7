"""The cluster belongs to the tests while they run: theirs is what has their mark, and nothing else is touched."""

import json

import pytest

from .cluster import CONTROL_PLANE, helm, kubectl

MARK = {"tenancy/tests": "e2e"}
_SELECTOR = ",".join(f"{key}={value}" for key, value in MARK.items())


def namespaces(selector: str = "") -> set[str]:
    """Return the names of all namespaces, or of those with some labels."""
    found = json.loads(kubectl("get", "namespaces", "-o", "json", "-l", selector))["items"]
    return {namespace["metadata"]["name"] for namespace in found}


def claim(*names: str) -> None:
    """End the tests if a namespace is there that they would take and have not made."""
    if taken := sorted((namespaces() - namespaces(_SELECTOR)) & set(names)):
        context = kubectl("config", "view", "-o", "jsonpath={.current-context}")
        pytest.exit(
            f"the cluster of context {context!r} has namespaces that these tests need and have not made, so they have "
            f"touched nothing: {', '.join(taken)}. They install, break and remove a platform of their own: give them "
            "an empty cluster, docs/how-to/install-on-a-laptop.md makes one",
            returncode=1,
        )


def remove() -> None:
    """Remove all that the tests have made, with its volumes."""
    helm("uninstall", "platform", "-n", CONTROL_PLANE, "--ignore-not-found", "--wait", "--timeout=5m")
    kubectl("delete", "namespaces", "-l", _SELECTOR)
