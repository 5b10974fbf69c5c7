"""New images for the control plane and a location, and back again, while people and runs work."""

import json
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest

from .cluster import CONTROL_PLANE, apply, graphql, helm, kubectl, objects, wait_for
from .platform import HERE, Release, launch, locations, run_status, run_tags
from .team import NAME, TEAM, Newcomer
from .test_4_teams import ticks

WATCHED = "operations-departures"  # its monitor looks every few seconds; the runs and the schedule are of NAME
SENSOR_TICKS = """
query ($selector: SensorSelector!) { sensorOrError(sensorSelector: $selector) { ... on Sensor {
  sensorState { ticks(limit: 300) { timestamp status } } } } }
"""


@pytest.fixture(scope="module")
def grown(newcomer: Newcomer) -> Release:
    """Return the release with the tests' own team."""
    return newcomer.release


@pytest.fixture(scope="module")
def newer(grown: Release) -> Release:
    """Return the release with other images of the control plane and of two locations."""
    own = {
        **grown.images["locations"],
        **{name: grown.images[f"next-{name}"] for name in (WATCHED, NAME)},
    }
    return replace(grown, images={**grown.images, "platform": grown.images["next-platform"], "locations": own})


@contextmanager
def load(image: str) -> Generator[dict[str, Any]]:
    """Ask the webserver from inside the cluster all the time; what was counted is there in the end."""
    name, counted = "load", dict[str, Any]()
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": CONTROL_PLANE},
        "spec": {
            "restartPolicy": "Never",
            "automountServiceAccountToken": False,
            "containers": [
                {"name": name, "image": image, "command": ["python", "-u", "-c", (HERE / "probe.py").read_text()]}
            ],
        },
    }
    apply(pod)
    try:
        kubectl("wait", "--for=condition=Ready", f"pod/{name}", "-n", CONTROL_PLANE, "--timeout=60s")
        yield counted
        kubectl("exec", "-n", CONTROL_PLANE, name, "--", "touch", "/tmp/over")
        kubectl("wait", "--for=jsonpath={.status.phase}=Succeeded", f"pod/{name}", "-n", CONTROL_PLANE)
        counted |= json.loads(kubectl("logs", "-n", CONTROL_PLANE, name))
    finally:
        kubectl("delete", "pod", name, "-n", CONTROL_PLANE, "--wait")


def images_of(namespace: str, component: str, location: str = "") -> set[str]:
    """Return the images that run."""
    selector = f"app.kubernetes.io/component={component}" + (f",tenancy/location={location}" if location else "")
    return {pod["spec"]["containers"][0]["image"] for pod in objects("pods", namespace, selector)}


def sensor_ticks(location: str) -> list[dict[str, Any]]:
    """Return the latest ticks of a location's monitor."""
    selector = {"repositoryLocationName": location, "repositoryName": "__repository__", "sensorName": "source_monitor"}
    return graphql(SENSOR_TICKS, selector=selector)["sensorOrError"]["sensorState"]["ticks"]


def minutes_between(since: float, until: float) -> set[int]:
    """Return the whole minutes at which a schedule had to tick."""
    return set(range(int(since // 60 + 1) * 60, int(until // 60 + 1) * 60, 60))


def upgraded(release: Release) -> None:
    """Upgrade the control plane, and then the locations."""
    release.upgrade()
    for location in release.register.locations:
        if location.dagster_name in (WATCHED, NAME):
            release.upgrade_location(location)


def rolled_back(release: Release) -> None:
    """Roll all of it back."""
    teams = {location.dagster_name: location.team for location in release.register.locations}
    for name, namespace in {"platform": CONTROL_PLANE, WATCHED: teams[WATCHED], NAME: teams[NAME]}.items():
        helm("rollback", name, "-n", namespace, "--wait", "--timeout=5m")


@pytest.mark.parametrize("change", [upgraded, rolled_back])
def test_nobody_notices(grown: Release, newer: Release, change: Any) -> None:
    wait_for("the schedule to have begun", ticks, seconds=180)

    def images() -> list[set[str]]:
        return [
            images_of(CONTROL_PLANE, "webserver"),
            images_of(CONTROL_PLANE, "daemon"),
            images_of("operations", "code-server", WATCHED),
            images_of(TEAM, "code-server", NAME),
        ]

    before = images()
    with load(grown.images["platform"]) as counted:
        since = time.time()
        run = launch(NAME, job="sleep", config={"ops": {"rest": {"config": {"seconds": 90}}}})
        wait_for("the run to begin", lambda: run_status(run) == "STARTED", seconds=60)
        change(newer)
        wait_for("all locations to be loaded", lambda: set(locations().values()) == {"LOADED"}, seconds=60)
        wait_for("the run to end", lambda: run_status(run) in {"SUCCESS", "FAILURE"}, seconds=180)
        wanted = minutes_between(since, time.time())
        assert wanted

        def missing() -> set[int]:
            return wanted - {tick["timestamp"] for tick in ticks() if tick["status"] == "SKIPPED"}

        wait_for("every minute to have its tick", lambda: not missing(), seconds=120)

    after = images()
    assert all(old.isdisjoint(new) for old, new in zip(before, after, strict=True)), (before, after)
    assert counted["failed"] == 0, counted
    assert counted["requests"] > 500
    assert run_status(run) == "SUCCESS"
    assert {run_tags(run)["dagster/image"]} == before[-1]
    looks = [tick for tick in sensor_ticks(WATCHED) if since < tick["timestamp"]]
    assert len(looks) > 5
    assert [tick for tick in looks if tick["status"] == "FAILURE"] == []
    print(f"{change.__name__}: requests={counted['requests']} failed={counted['failed']} looks={len(looks)}")
