"""Partitions with the real daemon in the loop: added by a tick, and backfilled as the UI does it."""

import os
import signal
from collections.abc import Iterator

import dagster as dg
import pytest
from tenancy.local.postgres import Postgres

from .dagster_internals import runs_in_this_process
from .world import World, running_world


@pytest.fixture(scope="module")
def world(postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    directory = tmp_path_factory.mktemp("p")
    with running_world(
        postgres, directory, "partitions", location="partitions_location", sources=("days", "airports")
    ) as world:
        yield world


@pytest.fixture
def quick_runs(world: World) -> Iterator[None]:
    """Let runs happen in this process, for tests that need many of them."""
    with runs_in_this_process(world.instance):
        yield


# --- partitions that come along


@pytest.mark.usefixtures("quick_runs")
def test_a_partition_that_an_item_names_is_added_and_launched_in_the_same_tick(world: World) -> None:
    world.drop("airports", {"JFK/1.csv": "a", "LGA/1.csv": "b"})
    world.until(lambda: world.seen("airport_files") == 2)
    assert sorted(world.instance.get_dynamic_partitions("airports")) == ["JFK", "LGA"]
    assert len(world.runs()) == 2
    world.settle({"airport_files": 2})
    assert (world.partition("airports", "JFK"), world.partition("airports", "LGA")) == (["a"], ["b"])

    world.drop("airports", {"JFK/2.csv": "c"})
    world.settle({"airport_files": 3})
    assert world.partition("airports", "JFK") == ["a", "c"]


@pytest.mark.usefixtures("quick_runs")
@pytest.mark.parametrize("crash_point", ["AUTOMATION_EVALUATIONS_ADDED", "RUN_IDS_RESERVED"])
def test_a_daemon_killed_before_or_after_it_added_a_partition_launches_its_run_once(
    world: World, crash_point: str
) -> None:
    name = crash_point.partition("_")[0]
    seen, runs = world.seen("airport_files"), len(world.runs())
    world.drop("airports", {f"{name}/1.csv": name})
    assert world.kill_daemon(crash_point) == -signal.SIGKILL
    world.settle({"airport_files": seen + 1})
    assert name in world.instance.get_dynamic_partitions("airports")
    assert world.partition("airports", name) == [name]
    assert len(world.runs()) == runs + 1


# --- backfills


@pytest.mark.usefixtures("quick_runs")
def test_a_backfill_of_all_partitions_rebuilds_in_one_run_what_the_ledger_knows(world: World) -> None:
    world.drop("days", {"2013-03-01.csv": "1", "2013-03-02.csv": "2", "2013-03-02-b.csv": "2b", "2013-09-01.csv": "3"})
    world.settle({"day_files": 4})
    batches = world.batches()
    for file in (world.sink / "days").iterdir():
        file.unlink()

    status, runs = world.backfill("days")

    assert status == "COMPLETED_SUCCESS"
    [run] = runs
    assert run.tags["dagster/asset_partition_range_start"] == "2013-01-01"
    assert run.tags["dagster/asset_partition_range_end"] == "2013-12-31"
    built = {file.stem: world.partition("days", file.stem) for file in (world.sink / "days").iterdir()}
    assert built == {"2013-03-01": ["1"], "2013-03-02": ["2", "2b"], "2013-09-01": ["3"]}
    assert world.batches() == batches, "no batch was made, used or finished by it"


@pytest.mark.usefixtures("quick_runs")
def test_a_backfill_of_one_partition_rebuilds_it_alone(world: World) -> None:
    world.drop("days", {"2013-04-01.csv": "1", "2013-04-02.csv": "2"})
    world.settle({"day_files": world.seen("day_files") + 2})
    (world.sink / "days" / "2013-04-01.json").unlink()
    (world.sink / "days" / "2013-04-02.json").unlink()
    status, runs = world.backfill("days", ["2013-04-02"])
    assert (status, len(runs)) == ("COMPLETED_SUCCESS", 1)
    assert (world.partition("days", "2013-04-01"), world.partition("days", "2013-04-02")) == (None, ["2"])


@pytest.mark.usefixtures("quick_runs")
def test_a_backfill_of_partitions_for_which_nothing_arrived_materializes_nothing_and_says_so(world: World) -> None:
    status, runs = world.backfill("days", ["2013-05-01"])
    # Dagster calls a backfill failed when a partition that it was to fill is still empty in the end.
    assert (status, [run.status.value for run in runs]) == ("COMPLETED_FAILED", ["SUCCESS"])
    assert not world.instance.all_logs(runs[0].run_id, of_type=dg.DagsterEventType.ASSET_MATERIALIZATION)
    assert world.partition("days", "2013-05-01") is None


@pytest.mark.usefixtures("quick_runs")
def test_a_backfill_with_several_runs_takes_so_many_partitions_in_each(world: World) -> None:
    files = {f"2013-06-0{day}.csv": str(day) for day in range(1, 6)}
    world.drop("days", files)
    world.settle({"day_files": world.seen("day_files") + 5})
    status, runs = world.backfill("pairs", [key.removesuffix(".csv") for key in files])
    assert (status, len(runs)) == ("COMPLETED_SUCCESS", 3)
    assert [world.partition("pairs", f"2013-06-0{day}") for day in range(1, 6)] == [[str(n)] for n in range(1, 6)]


@pytest.mark.usefixtures("quick_runs")
def test_a_backfill_that_fails_says_so_and_takes_nothing_from_the_ledger(world: World) -> None:
    world.open_gate("closed-1")
    world.drop("days", {"2013-07-01.csv": "fail closed-1", "2013-07-02.csv": "2"})
    world.settle({"day_files": world.seen("day_files") + 2})
    (world.sink / "closed-1").unlink()
    before = world.status()
    status, runs = world.backfill("days", ["2013-07-01", "2013-07-02"])
    assert (status, [run.status.value for run in runs]) == ("COMPLETED_FAILED", ["FAILURE"])
    after = world.status()
    assert {name: row["done"] for name, row in after.items()} == {name: row["done"] for name, row in before.items()}
    world.open_gate("closed-1")
    status, runs = world.backfill("days", ["2013-07-01", "2013-07-02"])
    assert (status, world.partition("days", "2013-07-02")) == ("COMPLETED_SUCCESS", ["2"])


def test_a_correction_that_arrives_while_a_backfill_writes_is_what_the_partition_shows_in_the_end(world: World) -> None:
    """The backfill has read the day before the correction came; the correction's run waits until it has written."""
    world.open_gate("slow")
    world.drop("days", {"2013-08-01.csv": "wait slow", "2013-08-01-b.csv": "first"})
    world.settle({"day_files": world.seen("day_files") + 2})
    (world.sink / "slow").unlink()
    (world.sink / "slow.pid").unlink()

    backfill = world.daemon.launch_backfill("days", ["2013-08-01"])
    world.until(lambda: world.daemon.backfill_ended(backfill) or world.waits_at("slow"))
    world.drop("days", {"2013-08-01-b.csv": "second"})
    world.until(lambda: len([run for run in world.open_runs() if "2013-08-01" in run.tags.values()]) >= 1)
    world.open_gate("slow")
    world.until(lambda: world.daemon.backfill_ended(backfill))
    world.settle({})
    assert world.daemon.backfill_ended(backfill) == "COMPLETED_SUCCESS"
    assert world.partition("days", "2013-08-01") == ["second", "wait slow"]
    assert {batch["state"] for batch in world.batches()} == {"done"}
    assert os.getpid() != world.waits_at("slow")
