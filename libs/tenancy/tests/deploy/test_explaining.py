"""Why pods do not come up: what Kubernetes says of them, and what is made of it."""

from pathlib import Path
from typing import Any

import pytest
from tenancy.deploy.explaining import explained, not_made
from tenancy.deploy.pods import troubles
from tenancy.deploy.releases import Release

ENVIRONMENT, IMAGES = Path("environments/dev/values.yaml"), Path("environments/dev/images.yaml")
RELEASE = Release("fleet-aircraft", "fleet", Path("helm/code-location"), [])
IMAGE = "registry.example/fleet-aircraft@sha256:" + "0" * 64


def pod(component: str = "code-server", restart: str = "Always", **status: Any) -> dict[str, Any]:
    """Return a pod of one container, as Kubernetes describes it."""
    url = {"name": "FLEET_DATABASE_URL", "valueFrom": {"secretKeyRef": {"name": "fleet-database", "key": "url"}}}
    container = {"name": "main", "image": IMAGE, "env": [{"name": "HOME", "value": "/tmp"}, url]}
    return {
        "metadata": {"name": "fleet-aircraft-1", "uid": "1", "labels": {"app.kubernetes.io/component": component}},
        "spec": {"restartPolicy": restart, "containers": [container]},
        "status": status,
    }


def container(ready: bool = False, last: dict[str, Any] | None = None, **state: Any) -> dict[str, Any]:
    """Return the status of a pod whose container is in a state."""
    return {"containerStatuses": [{"name": "main", "ready": ready, "state": state, "lastState": last or {}}]}


PULLING = {
    "reason": "ImagePullBackOff",
    "message": f'Back-off pulling image "{IMAGE}": ErrImagePull: rpc error: desc = failed to pull: not found',
}
LASTING = {
    "image of a location": (
        pod(**container(waiting=PULLING)),
        (
            f"images.locations.fleet-aircraft in {IMAGES}: {IMAGE} cannot be pulled: not found. Is it pushed, to this "
            "registry? May the nodes read there (image_pull_secrets)?"
        ),
    ),
    "image of the control plane": (pod("webserver", **container(waiting=PULLING)), f"images.platform in {IMAGES}: "),
    "image of the migration": (pod("migration", "Never", **container(waiting=PULLING)), "images.platform in "),
    "image of the database": (
        pod("database", **container(waiting=PULLING)),
        f"database.embedded.image in {ENVIRONMENT}: ",
    ),
    "no Secret": (
        pod(
            **container(
                waiting={"reason": "CreateContainerConfigError", "message": 'secret "fleet-database" not found'}
            )
        ),
        (
            'secret "fleet-database" not found, in namespace fleet: make the Secret fleet-database with what the pod '
            "takes from it (FLEET_DATABASE_URL=url)"
        ),
    ),
    "no key in a Secret": (
        pod(
            **container(
                waiting={
                    "reason": "CreateContainerConfigError",
                    "message": "couldn't find key url in Secret fleet/fleet-database",
                }
            )
        ),
        "couldn't find key url in Secret fleet/fleet-database, in namespace fleet: make the Secret fleet-database",
    ),
    "crash": (
        pod(
            **container(
                waiting={"reason": "CrashLoopBackOff", "message": "back-off 10s"},
                last={"terminated": {"exitCode": 1, "reason": "Error"}},
            )
        ),
        "main of pod fleet-aircraft-1 ended with exit code 1; its log:\n    one\n    two",
    ),
    "no memory": (
        pod(**container(terminated={"exitCode": 137, "reason": "OOMKilled"})),
        "main of pod fleet-aircraft-1 ended with exit code 137 (OOMKilled); its log:",
    ),
}
PASSING = {
    "no node": (
        pod(
            conditions=[
                {
                    "type": "PodScheduled",
                    "reason": "Unschedulable",
                    "message": "0/1 nodes are available: 1 Insufficient cpu.",
                }
            ]
        ),
        (
            "no node for pod fleet-aircraft-1: 0/1 nodes are available: 1 Insufficient cpu. It needs another node, or "
            f"smaller resources.requests or another scheduling in {ENVIRONMENT}"
        ),
    ),
    "not yet ready": (
        pod(**container(running={"startedAt": "now"})),
        "main of pod fleet-aircraft-1 runs, but is not ready;",
    ),
    "a Job's pod, which the Job tries again": (
        pod("migration", "Never", **container(terminated={"exitCode": 1, "reason": "Error"})),
        "main of pod fleet-aircraft-1 ended with exit code 1; its log:\n    one\n    two",
    ),
}


@pytest.mark.parametrize(("described", "text"), [*LASTING.values(), *PASSING.values()], ids=[*LASTING, *PASSING])
def test_what_keeps_a_pod_from_coming_up_is_said(described: dict[str, Any], text: str) -> None:
    (trouble,) = troubles([described])
    assert explained(trouble, RELEASE, ENVIRONMENT, IMAGES, ["one", "two"]).startswith(text)


@pytest.mark.parametrize("described", [each for each, _ in LASTING.values()], ids=LASTING)
def test_what_does_not_pass_by_waiting_is_known(described: dict[str, Any]) -> None:
    assert troubles([described])[0].lasting


@pytest.mark.parametrize("described", [each for each, _ in PASSING.values()], ids=PASSING)
def test_what_may_pass_is_waited_for(described: dict[str, Any]) -> None:
    assert not troubles([described])[0].lasting


@pytest.mark.parametrize(
    "described",
    [
        pod(**container(ready=True, running={})),
        pod(**container(ready=True, running={}, last={"terminated": {"exitCode": 1}})),
        pod(restart="Never", **container(terminated={"exitCode": 0, "reason": "Completed"})),
        pod(**container(waiting={"reason": "ContainerCreating"})),
        pod(),
        pod(**container(waiting=PULLING)) | {"metadata": {"name": "old", "uid": "2", "deletionTimestamp": "now"}},
    ],
    ids=["serves", "serves again", "a Job is done", "is made", "nothing is known", "is removed"],
)
def test_what_goes_well_is_no_trouble(described: dict[str, Any]) -> None:
    assert troubles([described]) == []


def event(
    message: str, reason: str = "FailedCreate", name: str = "fleet-aircraft-6d4c", at: str = "2026-01-01T00:00:02Z"
) -> dict[str, Any]:
    """Return an event, as Kubernetes describes it."""
    return {"reason": reason, "message": message, "lastTimestamp": at, "involvedObject": {"name": name}}


def test_pods_that_are_not_made_are_told_by_the_events_of_this_deployment() -> None:
    events = [
        event('pods "x" is forbidden: exceeded quota: team, requested: pods=1'),
        event('pods "x" is forbidden: exceeded quota: team, requested: pods=1'),
        event('violates PodSecurity "restricted:latest"'),
        event('MountVolume.SetUp failed: secret "passwords" not found', reason="FailedMount"),
        event("Readiness probe failed", reason="Unhealthy"),
        event("of another release", name="weather-alerts-1"),
        event("of an hour ago", at="2025-12-31T23:00:00Z"),
    ]
    assert not_made(events, RELEASE, since="2026-01-01T00:00:00Z") == [
        'quota of team fleet in tenants.yaml: pods "x" is forbidden: exceeded quota: team, requested: pods=1',
        'namespace fleet takes restricted pods only: violates PodSecurity "restricted:latest"',
        'namespace fleet: MountVolume.SetUp failed: secret "passwords" not found',
    ]
