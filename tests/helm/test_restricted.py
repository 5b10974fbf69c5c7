"""The rules themselves, on pods that Kubernetes would refuse."""

from typing import Any

import pytest

from tests.helm.restricted import violations

GOOD: dict[str, Any] = {
    "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
    "initContainers": [],
    "containers": [
        {
            "name": "main",
            "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
            "ports": [{"containerPort": 80}],
            "readinessProbe": {"httpGet": {"path": "/", "port": 80}},
        }
    ],
    "volumes": [{"name": "tmp", "emptyDir": {}}, {"name": "values", "configMap": {"name": "values"}}],
}
MAIN = GOOD["containers"][0]


def with_security(**security: Any) -> dict[str, Any]:
    """Return the container with something in its security context."""
    return {"containers": [{**MAIN, "securityContext": {**MAIN["securityContext"], **security}}]}


def test_a_pod_that_keeps_to_all_rules_is_admitted() -> None:
    assert violations(GOOD) == []


def test_a_container_may_say_what_its_pod_does_not() -> None:
    own = with_security(runAsNonRoot=True, seccompProfile={"type": "Localhost", "localhostProfile": "x"})
    assert violations({**GOOD, **own, "securityContext": {}}) == []


def test_a_container_may_bind_low_ports() -> None:
    added = with_security(capabilities={"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]})
    assert violations({**GOOD, **added}) == []


@pytest.mark.parametrize(
    "change",
    [
        {"hostNetwork": True},
        {"hostPID": True},
        {"hostIPC": True},
        {"volumes": [{"name": "node", "hostPath": {"path": "/"}}]},
        {"volumes": [{"name": "far", "nfs": {"server": "x", "path": "/"}}]},
        {"securityContext": {}},
        {"securityContext": {**GOOD["securityContext"], "runAsUser": 0}},
        {"securityContext": {**GOOD["securityContext"], "runAsNonRoot": False}},
        {"securityContext": {**GOOD["securityContext"], "seccompProfile": {"type": "Unconfined"}}},
        {"securityContext": {**GOOD["securityContext"], "sysctls": [{"name": "kernel.msgmax", "value": "1"}]}},
        {"securityContext": {**GOOD["securityContext"], "seLinuxOptions": {"type": "spc_t"}}},
        {"securityContext": {**GOOD["securityContext"], "seLinuxOptions": {"user": "system_u"}}},
        {"securityContext": {**GOOD["securityContext"], "windowsOptions": {"hostProcess": True}}},
        {"securityContext": {**GOOD["securityContext"], "appArmorProfile": {"type": "Unconfined"}}},
        {"securityContext": {"runAsNonRoot": True}},
        {"securityContext": {"seccompProfile": {"type": "RuntimeDefault"}}},
        {"containers": [{"name": "main"}]},
        {"initContainers": [{"name": "first"}]},
        {"ephemeralContainers": [{"name": "debug"}]},
        with_security(privileged=True),
        with_security(allowPrivilegeEscalation=None),
        with_security(allowPrivilegeEscalation=True),
        with_security(procMount="Unmasked"),
        with_security(capabilities={"drop": ["NET_RAW"]}),
        with_security(capabilities={"drop": ["ALL"], "add": ["SYS_ADMIN"]}),
        with_security(runAsUser=0),
        with_security(runAsNonRoot=False),
        with_security(seccompProfile={"type": "Unconfined"}),
        {"containers": [{**MAIN, "ports": [{"containerPort": 80, "hostPort": 80}]}]},
        {"containers": [{**MAIN, "livenessProbe": {"httpGet": {"host": "10.0.0.1", "port": 80}}}]},
        {"containers": [{**MAIN, "lifecycle": {"preStop": {"tcpSocket": {"host": "10.0.0.1", "port": 80}}}}]},
    ],
    ids=lambda change: str(change)[:70],
)
def test_a_pod_that_breaks_one_rule_is_refused(change: dict[str, Any]) -> None:
    assert violations({**GOOD, **change})
