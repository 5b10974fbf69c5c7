"""Why pods do not come up, from what Kubernetes says of them. No effects.

States and reasons: https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/, and the kubelet's own,
pkg/kubelet/images/types.go and pkg/kubelet/kuberuntime/kuberuntime_container.go.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, TypeAlias

Object = Mapping[str, Any]
"""An object of Kubernetes, as `kubectl get --output json` prints it."""

IMAGE_REASONS = {"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "RegistryUnavailable"}
CONFIGURATION_REASONS = {"CreateContainerConfigError", "CreateContainerError"}


class Kind(Enum):
    """What keeps a pod from coming up."""

    IMAGE = auto()
    """No node can have its image."""
    CONFIGURATION = auto()
    """What a variable is taken from is missing."""
    ENDED = auto()
    """A container has ended with an error."""
    NOT_READY = auto()
    """A container runs and does not say that it is ready."""
    NO_NODE = auto()
    """No node has room for it, or is one that it may be on."""


Key: TypeAlias = tuple[str, str, Kind]


@dataclass(frozen=True)
class Trouble:
    """One thing that keeps one pod from coming up.

    Args:
        container: empty when the whole pod is meant.
        said: by Kubernetes.
        again: whether the container is started again and again, and not left as it ended.
    """

    kind: Kind
    pod: str
    component: str
    container: str
    said: str
    image: str = ""
    secrets: Mapping[str, tuple[str, ...]] | None = None
    again: bool = False

    @property
    def lasting(self) -> bool:
        """Whether it does not pass by waiting, as a missing node may, or a slow start."""
        return self.kind in {Kind.IMAGE, Kind.CONFIGURATION} or (self.kind is Kind.ENDED and self.again)

    @property
    def key(self) -> Key:
        """What is the same at the next look and for every replica, whatever is said then."""
        return self.component, self.container, self.kind


def troubles(pods: Iterable[Object]) -> list[Trouble]:
    """Return what keeps pods from coming up; pods that are being removed do not count."""
    return [trouble for pod in pods if "deletionTimestamp" not in pod["metadata"] for trouble in _of_pod(pod)]


def _of_pod(pod: Object) -> Iterator[Trouble]:
    status = pod["status"]
    containers = [*pod["spec"].get("initContainers", []), *pod["spec"]["containers"]]
    images = {container["name"]: container["image"] for container in containers}
    secrets = {container["name"]: _secrets(container) for container in containers}

    def trouble(kind: Kind, container: str, said: str) -> Trouble:
        metadata = pod["metadata"]
        return Trouble(
            kind,
            metadata["name"],
            metadata.get("labels", {}).get("app.kubernetes.io/component", ""),
            container,
            " ".join(said.split()),
            images.get(container, ""),
            secrets.get(container),
            again=pod["spec"].get("restartPolicy") == "Always",
        )

    for condition in status.get("conditions", []):
        if condition["type"] == "PodScheduled" and condition.get("reason") == "Unschedulable":
            yield trouble(Kind.NO_NODE, "", condition.get("message", ""))
    for each in [*status.get("initContainerStatuses", []), *status.get("containerStatuses", [])]:
        waiting = each["state"].get("waiting", {})
        ended = each["state"].get("terminated") or each.get("lastState", {}).get("terminated")
        if waiting.get("reason") in IMAGE_REASONS:
            yield trouble(Kind.IMAGE, each["name"], waiting.get("message", waiting["reason"]))
        elif waiting.get("reason") in CONFIGURATION_REASONS:
            yield trouble(Kind.CONFIGURATION, each["name"], waiting.get("message", waiting["reason"]))
        elif ended and ended["exitCode"] and not each["ready"]:
            why = "" if ended.get("reason") in {None, "Error"} else f" ({ended['reason']})"
            yield trouble(Kind.ENDED, each["name"], f"ended with exit code {ended['exitCode']}{why}")
        elif "running" in each["state"] and not each["ready"]:
            yield trouble(Kind.NOT_READY, each["name"], "runs, but is not ready")


def _secrets(container: Object) -> dict[str, tuple[str, ...]]:
    """Return which variables and keys a container takes from each Secret: {"database": ("PASSWORD=password",)}."""
    found: dict[str, tuple[str, ...]] = {}
    for variable in container.get("env", []):
        if reference := variable.get("valueFrom", {}).get("secretKeyRef"):
            found[reference["name"]] = (*found.get(reference["name"], ()), f"{variable['name']}={reference['key']}")
    return found
