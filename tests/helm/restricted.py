"""The restricted profile of the Pod Security Standards, as one function.

Source: https://kubernetes.io/docs/concepts/security/pod-security-standards/ with what `baseline` refuses, for Linux.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

_VOLUMES = {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"}
_SECCOMP = {"RuntimeDefault", "Localhost"}
_APPARMOR = {"RuntimeDefault", "Localhost"}
_SELINUX_TYPES = {"", "container_t", "container_init_t", "container_kvm_t", "container_engine_t"}
_SYSCTLS = {
    "kernel.shm_rmid_forced",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.ping_group_range",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
    "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_rmem",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.tcp_wmem",
}


def violations(pod: Mapping[str, Any]) -> list[str]:
    """Return what a pod's specification has that the restricted profile refuses, empty when it is admitted."""
    security = _mapping(pod.get("securityContext"))
    found = [field for field in ("hostNetwork", "hostPID", "hostIPC") if pod.get(field)]
    found += [f"volume {each['name']} is no {'/'.join(sorted(_VOLUMES))}" for each in _bad_volumes(pod)]
    found += [
        f"sysctl {each['name']}" for each in _sequence(security.get("sysctls")) if each.get("name") not in _SYSCTLS
    ]
    found += _of_either(security, "pod")
    for container in containers(pod):
        found += [f"container {container['name']}: {problem}" for problem in _of_container(container, security)]
    return found


def containers(pod: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield every container of a pod, of whatever kind."""
    for kind in ("initContainers", "containers", "ephemeralContainers"):
        yield from _sequence(pod.get(kind))


def _of_container(container: Mapping[str, Any], pod: Mapping[str, Any]) -> Iterator[str]:
    own = _mapping(container.get("securityContext"))
    yield from _of_either(own, "securityContext")
    if own.get("privileged"):
        yield "is privileged"
    if own.get("allowPrivilegeEscalation") is not False:
        yield "allowPrivilegeEscalation is not false"
    if own.get("procMount", "Default") != "Default":
        yield "procMount is not Default"
    if {**pod, **own}.get("runAsNonRoot") is not True:
        yield "runAsNonRoot is not true"
    if _mapping({**pod, **own}.get("seccompProfile")).get("type") not in _SECCOMP:
        yield "seccompProfile is not RuntimeDefault or Localhost"
    yield from _of_reach(container, _mapping(own.get("capabilities")))


def _of_reach(container: Mapping[str, Any], capabilities: Mapping[str, Any]) -> Iterator[str]:
    """Yield what is refused of a container's powers over its node, and of whom it has the node call."""
    if "ALL" not in _sequence(capabilities.get("drop")):
        yield "does not drop ALL capabilities"
    if set(_sequence(capabilities.get("add"))) - {"NET_BIND_SERVICE"}:
        yield "adds capabilities"
    if any(port.get("hostPort") for port in _sequence(container.get("ports"))):
        yield "has a port of the host"
    lifecycle = _mapping(container.get("lifecycle"))
    handlers = [container.get(f"{kind}Probe") for kind in ("startup", "readiness", "liveness")]
    for handler in [*handlers, lifecycle.get("postStart"), lifecycle.get("preStop")]:
        if any(_mapping(_mapping(handler).get(kind)).get("host") for kind in ("httpGet", "tcpSocket")):
            yield "has a probe or hook with a host"


def _of_either(security: Mapping[str, Any], where: str) -> Iterator[str]:
    """Yield what is refused alike for a pod and for a container."""
    selinux = _mapping(security.get("seLinuxOptions"))
    if selinux.get("type", "") not in _SELINUX_TYPES or selinux.get("user") or selinux.get("role"):
        yield f"{where}: seLinuxOptions"
    if _mapping(security.get("windowsOptions")).get("hostProcess"):
        yield f"{where}: hostProcess"
    if _mapping(security.get("appArmorProfile")).get("type", "RuntimeDefault") not in _APPARMOR:
        yield f"{where}: appArmorProfile"
    if security.get("runAsUser") == 0:
        yield f"{where}: runAsUser is 0"
    if security.get("runAsNonRoot") is False:
        yield f"{where}: runAsNonRoot is false"
    if _mapping(security.get("seccompProfile")).get("type", "RuntimeDefault") not in _SECCOMP:
        yield f"{where}: seccompProfile is unconfined"


def _bad_volumes(pod: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [each for each in _sequence(pod.get("volumes")) if not set(each) - {"name"} <= _VOLUMES]


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _sequence(value: Any) -> Sequence[Any]:
    return value if isinstance(value, Sequence) else ()
