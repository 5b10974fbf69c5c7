"""Dagster's own run retries and run monitoring beside the library's attempts, all of them real."""

from collections import Counter
from collections.abc import Iterator

import pytest
from tenancy.local.postgres import Postgres

from .world import World, running_world

LONGEST_SECONDS = 6
SETTINGS = f"""
run_retries:
  enabled: true
  max_retries: 1
run_monitoring:
  enabled: true
  max_runtime_seconds: {LONGEST_SECONDS}
"""


@pytest.fixture(scope="module")
def world(postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with running_world(postgres, tmp_path_factory.mktemp("w"), "run_retries", settings=SETTINGS) as world:
        yield world


def run_keys(world: World, batch: str) -> Counter[str]:
    """Return the attempts of a batch, with the number of runs that each took."""
    runs = [run for run in world.runs() if run.tags["sensor_assets/batch"] == batch]
    roots = {run.run_id: run.tags["dagster/run_key"] for run in runs if run.root_run_id is None}
    return Counter(roots[run.root_run_id or run.run_id].rpartition(":")[2] for run in runs)


def test_dagster_retries_a_run_within_the_same_attempt_and_what_it_stores_is_there_once(world: World) -> None:
    world.drop("loose", {"cured.csv": "fail cured"})
    world.until(lambda: any(run.is_finished for run in world.runs()))
    world.open_gate("cured")
    world.settle({"loose_files": 1})
    assert world.rows("loose") == [("cured.csv", "fail cured")]
    [batch] = world.batches()
    assert (batch["state"], batch["attempt"], batch["failures"]) == ("done", 1, 0)
    assert run_keys(world, batch["id"]) == {"a1": 2}


def test_a_run_and_its_retry_that_both_fail_are_one_failure_of_the_item(world: World) -> None:
    seen = world.seen("loose_files")
    world.drop("loose", {"bad.csv": "poison"})
    world.settle({"loose_files": seen + 1})
    batch = world.batches()[-1]
    assert (batch["state"], batch["attempt"], batch["failures"]) == ("quarantined", 2, 2)
    assert run_keys(world, batch["id"]) == {"a1": 2, "a2": 2}


def test_an_item_that_takes_for_ever_is_found_because_dagster_ends_its_runs(world: World) -> None:
    before = len(world.batches())
    seen = world.seen("loose_files")
    world.drop("loose", {"a sound.csv": "sound", "b stuck.csv": "wait never"})
    world.until(lambda: world.seen("loose_files") == seen + 2)
    world.until(lambda: len(world.quarantine()) == 2, seconds=120)
    world.settle({})
    assert ("a sound.csv", "sound") in world.rows("loose")
    ended = [(batch["items"], batch["state"]) for batch in world.batches()[before:]]
    assert (1, "done") in ended
    assert (1, "quarantined") in ended
    assert f"exceeding maximum runtime of {LONGEST_SECONDS} seconds" in world.quarantine()[-1]
