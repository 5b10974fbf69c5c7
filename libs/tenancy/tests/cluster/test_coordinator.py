"""How many runs of a team are launched at once, and who decides which team a run is of."""

import logging

import pytest
from tenancy.cluster.coordinator import NO_TEAM, TEAM_TAG, TeamRunCoordinator
from tenancy.names import RESERVED

from . import plane as planes
from .plane import LATE, TEAMS, WEATHER, Plane


def coordinator(plane: Plane) -> TeamRunCoordinator:
    found = plane.instance.run_coordinator
    assert isinstance(found, TeamRunCoordinator)
    return found


def limits(plane: Plane) -> dict[str, int]:
    config = coordinator(plane).get_run_queue_config()
    return {limit["value"]: limit["limit"] for limit in config.tag_concurrency_limits if limit["key"] == TEAM_TAG}


def test_each_team_has_its_own_limit(plane: Plane) -> None:
    plane.home.write_places(TEAMS, {"weather": 2, "night-shift": 1})
    many, few = [plane.submit() for _ in range(4)], [plane.submit(LATE) for _ in range(3)]
    plane.dequeue()
    assert [plane.status(run_id) for run_id in many] == ["STARTING"] * 2 + ["QUEUED"] * 2
    assert [plane.status(run_id) for run_id in few] == ["STARTING"] + ["QUEUED"] * 2


def test_a_limit_counts_from_the_next_look_on(plane: Plane) -> None:
    plane.home.write_places(TEAMS, {"weather": 1})
    run_ids = [plane.submit() for _ in range(3)]
    plane.dequeue()
    plane.home.write_places(TEAMS, {"weather": 3})
    plane.dequeue()
    assert [plane.status(run_id) for run_id in run_ids] == ["STARTING"] * 3


def test_a_team_is_added_and_removed_without_a_restart(plane: Plane) -> None:
    plane.home.write_places({**TEAMS, "fleet-aircraft": "fleet"}, {"fleet": 7})
    assert limits(plane) == {"weather": 4, "night-shift": 4, "fleet": 7}
    plane.home.write_places({LATE: "night-shift"})
    assert limits(plane) == {"night-shift": 4}


def test_a_run_is_of_the_team_that_its_location_belongs_to(plane: Plane) -> None:
    of_another = plane.submit(tags={TEAM_TAG: "night-shift"})
    plain = plane.submit(LATE)
    assert plane.run(of_another).tags[TEAM_TAG] == "weather"
    assert plane.run(plain).tags[TEAM_TAG] == "night-shift"


def test_a_run_of_no_team_counts_for_none(plane: Plane) -> None:
    plane.home.write_places({LATE: "night-shift"}, {"night-shift": 1})
    stranger = plane.submit(WEATHER, tags={TEAM_TAG: "night-shift"})
    ours = plane.submit(LATE)
    assert plane.run(stranger).tags[TEAM_TAG] == NO_TEAM
    assert NO_TEAM in RESERVED
    plane.dequeue()
    assert (plane.status(stranger), plane.status(ours)) == ("FAILURE", "STARTING")


def test_limits_of_dagster_yaml_stay(plane: Plane) -> None:
    own = [{"key": "dagster/code_location", "value": WEATHER, "limit": 1}]
    both = TeamRunCoordinator(
        places=str(plane.home.path / "workspace" / "places.yaml"), tag_concurrency_limits=own, max_concurrent_runs=9
    )
    both.register_instance(plane.instance)
    config = both.get_run_queue_config()
    assert config.max_concurrent_runs == 9
    assert config.tag_concurrency_limits[:1] == own
    assert len(config.tag_concurrency_limits) == 3


@pytest.mark.parametrize(
    "text",
    [
        "locations: [",
        "locations: {}\nteams: {weather: {concurrent_runs: 0}}",
        "locations: {}\nteams: {weather: {concurrent_runs: 1, reserve: {limits: {memory: lots}}}}",
        "locations: {a: {team: a, namespace: a, service_account: a, cpu: some, memory: 1Gi}}\nteams: {}",
        "teams: {}",
        "locations: {}\nteams: {}\nx: 1",
    ],
)
def test_places_that_cannot_be_read_change_nothing_and_are_told_once(
    plane: Plane, caplog: pytest.LogCaptureFixture, text: str
) -> None:
    before = limits(plane)
    places = plane.home.path / "workspace" / "places.yaml"
    with caplog.at_level(logging.ERROR, "tenancy.cluster"):
        planes.replace(places, text)
        assert [limits(plane) for _ in range(5)] == [before] * 5
        places.rename(places.with_suffix(".away"))
        assert [limits(plane) for _ in range(5)] == [before] * 5
    told = [record.getMessage() for record in caplog.records if record.name == "tenancy.cluster"]
    assert len(told) == 2, told
    assert "\n" not in told[0]
    assert told[1].endswith("No such file or directory")
