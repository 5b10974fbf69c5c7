"""New images for the control plane and a location, and back again, while people and runs work."""

import json
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

from .cluster import CONTROL_PLANE, apply, helm, kubectl, objects, wait_for
from .platform import ENDED, HERE, Release, launch, locations, run_status, run_tags, ticks
from .team import NAME, SCHEDULE, TEAM, Newcomer

WATCHED = "operations-departures"  # its monitor looks every few seconds; the runs and the schedule are of NAME
LONGEST_GAP = 30
"""Seconds between two looks of a monitor that looks every 5 s. The next daemon begins when the last has ended: 8 to 16
were measured on two cores; twice that is a daemon that hangs at its end, or waits for a lock."""


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
                {"name": name, "image": image, "command": ["python", "-u", "-c", (HERE / "load.py").read_text()]}
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


def running_images() -> list[set[str]]:
    """Return the images that run: of webserver, daemon, and the two locations."""

    def of(namespace: str, selector: str) -> set[str]:
        return {pod["spec"]["containers"][0]["image"] for pod in objects("pods", namespace, selector)}

    component = "app.kubernetes.io/component"
    return [
        of(CONTROL_PLANE, f"{component}=webserver"),
        of(CONTROL_PLANE, f"{component}=daemon"),
        of("operations", f"{component}=code-server,tenancy/location={WATCHED}"),
        of(TEAM, f"{component}=code-server,tenancy/location={NAME}"),
    ]


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


@pytest.fixture(params=[upgraded, rolled_back])
def change(request: pytest.FixtureRequest, newer: Release) -> Callable[[Release], None]:
    """Return what happens; what is to be rolled back has been upgraded before."""
    if request.param is rolled_back and {newer.images["platform"]} not in running_images():
        upgraded(newer)
    return request.param


def test_nobody_notices(grown: Release, newer: Release, change: Callable[[Release], None]) -> None:
    wait_for("the schedule to have begun", lambda: ticks(NAME, SCHEDULE), seconds=180)
    before = running_images()
    with load(grown.images["platform"]) as counted:
        since = time.time()
        run = launch(NAME, job="sleep", config={"ops": {"rest": {"config": {"seconds": 90}}}})
        wait_for("the run to begin", lambda: run_status(run) == "STARTED", seconds=60)
        change(newer)
        wait_for("all locations to be loaded", lambda: set(locations().values()) == {"LOADED"}, seconds=60)
        wait_for("the run to end", lambda: run_status(run) in ENDED, seconds=180)
        until = time.time()
        wanted = minutes_between(since, until)
        assert wanted

        def missing() -> set[int]:
            return wanted - {tick["timestamp"] for tick in ticks(NAME, SCHEDULE) if tick["status"] == "SKIPPED"}

        wait_for("every minute to have its tick", lambda: not missing(), seconds=120)

    after = running_images()
    assert all(old.isdisjoint(new) for old, new in zip(before, after, strict=True)), (before, after)
    assert counted["failed"] == 0, counted
    assert counted["requests"] > 500
    assert run_status(run) == "SUCCESS"
    assert {run_tags(run)["dagster/image"]} == before[-1]
    looks = [tick for tick in ticks(WATCHED, "source_monitor") if since < tick["timestamp"] < until]
    assert [tick for tick in looks if tick["status"] == "FAILURE"] == []
    gap = longest_gap([since, *(tick["timestamp"] for tick in looks), until])
    asked = f"requests={counted['requests']} failed={counted['failed']}"
    print(f"{change.__name__}: {asked} looks={len(looks)} longest gap={gap:.1f} s")
    assert gap < LONGEST_GAP


def longest_gap(times: Sequence[float]) -> float:
    """Return the longest time between one and the next."""
    return max(later - earlier for earlier, later in pairwise(sorted(times)))
