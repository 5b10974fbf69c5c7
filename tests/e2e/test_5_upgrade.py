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
from .team import NAME, Newcomer
from .test_4_teams import ticks

LOCATION = "operations-departures"
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
    """Return the release with other images of the control plane and of one location."""
    own = {**grown.images["locations"], LOCATION: grown.images["next-location"]}
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


def images_of(namespace: str, component: str) -> set[str]:
    """Return the images that run."""
    selector = f"app.kubernetes.io/component={component}"
    return {pod["spec"]["containers"][0]["image"] for pod in objects("pods", namespace, selector)}


def sensor_ticks(location: str) -> list[dict[str, Any]]:
    """Return the latest ticks of a location's monitor."""
    selector = {"repositoryLocationName": location, "repositoryName": "__repository__", "sensorName": "source_monitor"}
    return graphql(SENSOR_TICKS, selector=selector)["sensorOrError"]["sensorState"]["ticks"]


def minutes_between(since: float, until: float) -> set[int]:
    """Return the whole minutes at which a schedule had to tick."""
    return set(range(int(since // 60 + 1) * 60, int(until // 60 + 1) * 60, 60))


def upgraded(release: Release) -> None:
    """Upgrade the control plane, and then the location."""
    release.upgrade()
    (location,) = (each for each in release.register.locations if each.dagster_name == LOCATION)
    release.upgrade_location(location)


def rolled_back(_: Release) -> None:
    """Roll both back."""
    helm("rollback", "platform", "-n", CONTROL_PLANE, "--wait", "--timeout=5m")
    helm("rollback", LOCATION, "-n", "operations", "--wait", "--timeout=5m")


@pytest.mark.parametrize("change", [upgraded, rolled_back])
def test_nobody_notices(grown: Release, newer: Release, change: Any) -> None:
    wait_for("the schedule to have begun", ticks, seconds=180)
    before = images_of(CONTROL_PLANE, "webserver")
    with load(grown.images["platform"]) as counted:
        since = time.time()
        run = launch(NAME, job="sleep", config={"ops": {"rest": {"config": {"seconds": 90}}}})
        wait_for("the run to begin", lambda: run_status(run) == "STARTED", seconds=60)
        change(newer)
        wait_for("all locations to be loaded", lambda: set(locations().values()) == {"LOADED"}, seconds=60)
        wait_for("the run to end", lambda: run_status(run) in {"SUCCESS", "FAILURE"}, seconds=180)
        until = time.time()

        wanted = minutes_between(since, until)
        assert wanted

        def missing() -> set[int]:
            done = {tick["timestamp"] for tick in ticks() if tick["status"] == "SKIPPED"}
            return wanted - done

        wait_for("every minute to have its tick", lambda: not missing(), seconds=120)

    assert images_of(CONTROL_PLANE, "webserver") != before
    assert counted["failed"] == 0, counted
    assert counted["requests"] > 500
    assert run_status(run) == "SUCCESS"
    assert run_tags(run)["dagster/image"] == grown.images["probe"]
    failed = [tick for tick in sensor_ticks(LOCATION) if since < tick["timestamp"] and tick["status"] == "FAILURE"]
    assert failed == []
    print(f"{change.__name__}: requests={counted['requests']} failed={counted['failed']}")
