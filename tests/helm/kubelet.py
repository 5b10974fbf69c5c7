"""What a container's process sees of its variables, as the kubelet makes it of a container's `env`.

Source: k8s.io/kubernetes/third_party/forked/golang/expansion, and makeEnvironmentVariables of the kubelet.
"""

from collections.abc import Callable, Mapping
from typing import Any

Secrets = Callable[[str, str], str | None]
"""From the name of a Secret and a key in it to the value, None when it is not there."""


class CreateContainerConfigError(Exception):
    """The pod does not start: what a variable refers to is not there."""


def environment(container: Mapping[str, Any], secrets: Secrets) -> dict[str, str]:
    """Return the variables of a container; each sees those before it.

    Raises:
        CreateContainerConfigError: a Secret that is not optional is not there.
    """
    found: dict[str, str] = {}
    for each in container.get("env", ()):
        if reference := each.get("valueFrom", {}).get("secretKeyRef"):
            value = secrets(reference["name"], reference["key"])
            if value is None and not reference.get("optional"):
                raise CreateContainerConfigError(f"couldn't find key {reference['key']} in Secret {reference['name']}")
            if value is not None:
                found[each["name"]] = value
        else:
            found[each["name"]] = expanded(each.get("value", ""), found)
    return found


def expanded(text: str, known: Mapping[str, str]) -> str:
    """Return a value with `$(NAME)` replaced, where NAME is known, and `$$` as one `$`."""
    done, at = "", 0
    while at < len(text):
        if text[at] != "$" or at + 1 == len(text):
            done, at = done + text[at], at + 1
        elif text[at + 1] == "$":
            done, at = done + "$", at + 2
        elif text[at + 1] == "(" and (end := text.find(")", at)) != -1:
            name = text[at + 2 : end]
            done, at = done + known.get(name, f"$({name})"), end + 1
        else:
            done, at = done + text[at : at + 2], at + 2
    return done
