"""The real daemon in the loop: Postgres, a gRPC code server and run processes; only time is short."""

import json
import os
import signal
from collections.abc import Iterator

import pytest
from tenancy.local.postgres import Postgres

from .dagster_internals import CRASH_POINTS, cursor, newest_ticks, runs_in_this_process, set_cursor, tick_lines
from .world import SENSOR, World, running_world


@pytest.fixture(scope="module")
def world(postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with running_world(postgres, tmp_path_factory.mktemp("w"), "daemon") as world:
        yield world


@pytest.fixture
def quick_runs(world: World) -> Iterator[None]:
    """Let runs happen in this process, for tests that need many of them."""
    with runs_in_this_process(world.instance):
        yield


@pytest.mark.usefixtures("quick_runs")
@pytest.mark.parametrize("crash_point", CRASH_POINTS)
def test_a_daemon_killed_at_any_point_of_a_tick_loses_nothing_and_doubles_nothing(
    world: World, crash_point: str
) -> None:
    days, loose = world.seen("day_files"), world.seen("loose_files")
    runs, batches = len(world.runs()), len(world.batches())
    month = 1 + CRASH_POINTS.index(crash_point)
    in_days = {f"2013-{month:02}-01.csv": f"a {crash_point}", f"2013-{month:02}-02.csv": f"b {crash_point}"}
    in_loose = {f"{crash_point}.csv": "c"}
    world.drop("days", in_days)
    world.drop("loose", in_loose)

    assert world.kill_daemon(crash_point) == -signal.SIGKILL
    world.settle({"day_files": days + 2, "loose_files": loose + 1})

    assert [row for row in world.rows("days") if row[0] in in_days] == sorted(in_days.items())
    assert [row for row in world.rows("loose") if row[0] in in_loose] == sorted(in_loose.items())
    # Neighbouring days share a run; the asset without partitions has one of its own.
    assert (len(world.batches()) - batches, len(world.runs()) - runs) == (2, 2)
    assert {batch["state"] for batch in world.batches()} == {"done"}


@pytest.mark.usefixtures("quick_runs")
def test_a_cursor_that_is_reset_or_rolled_back_loses_nothing_and_repeats_nothing(world: World) -> None:
    files = {"cursor-1.csv": "one", "cursor-2.csv": "two", "cursor-3.csv": "three"}
    world.rounds(1)
    seen = world.seen("loose_files")
    oldest = cursor(world.instance, SENSOR)
    world.drop("loose", {"cursor-1.csv": "one"})
    world.settle({"loose_files": seen + 1})
    runs = len(world.runs())

    set_cursor(world.instance, SENSOR, None)
    world.rounds(2)
    world.drop("loose", {"cursor-2.csv": "two"})
    world.settle({"loose_files": seen + 2})

    set_cursor(world.instance, SENSOR, oldest)
    world.drop("loose", {"cursor-3.csv": "three"})
    world.settle({"loose_files": seen + 3})

    assert [row for row in world.rows("loose") if row[0] in files] == sorted(files.items())
    assert len(world.runs()) == runs + 2


def begin(world: World, gate: str, body: str) -> tuple[str, str, int]:
    """Let an object appear; returns its batch, the batch's run, and the process that has come to the closed gate."""
    world.drop("loose", {f"{gate}.csv": body})
    world.until(lambda: world.waits_at(gate))
    batch = world.batches()[-1]["id"]
    run = next(run for run in world.runs() if run.tags["sensor_assets/batch"] == batch)
    process = world.waits_at(gate)
    assert process is not None
    return batch, run.run_id, process


def test_a_batch_whose_run_failed_is_tried_again_under_the_next_run_key(world: World) -> None:
    batch, run, _ = begin(world, "failure", "fail failure")
    world.until(lambda: is_over(world, run))
    world.open_gate("failure")
    assert_second_attempt_stores(world, batch, "failure.csv", "fail failure", failures=1)


def test_a_batch_whose_run_was_cancelled_is_tried_again_under_the_next_run_key(world: World) -> None:
    batch, run, _ = begin(world, "cancel", "wait cancel")
    assert world.instance.run_launcher.terminate(run)
    world.until(lambda: is_over(world, run))
    world.open_gate("cancel")
    assert_second_attempt_stores(world, batch, "cancel.csv", "wait cancel", failures=1)


def test_a_batch_whose_run_was_killed_is_tried_again_under_the_next_run_key(world: World) -> None:
    batch, run, process = begin(world, "kill", "wait kill")
    os.kill(process, signal.SIGKILL)
    world.until(lambda: is_over(world, run))
    world.open_gate("kill")
    assert_second_attempt_stores(world, batch, "kill.csv", "wait kill", failures=1)


def test_a_batch_whose_run_was_deleted_while_it_works_is_stored_once_by_whoever_is_first(world: World) -> None:
    batch, run, _ = begin(world, "purge", "wait purge")
    world.instance.delete_run(run)
    world.until(lambda: any(run.tags["dagster/run_key"] == f"{batch}:a2" for run in world.runs()))
    # The process of the deleted run works on beside that of the second attempt.
    world.open_gate("purge")
    assert_second_attempt_stores(world, batch, "purge.csv", "wait purge", failures=0)


def is_over(world: World, run_id: str) -> bool:
    run = world.instance.get_run_by_id(run_id)
    return run is not None and run.is_finished


def assert_second_attempt_stores(world: World, batch: str, key: str, body: str, *, failures: int) -> None:
    world.settle({})
    assert [row for row in world.rows("loose") if row[0] == key] == [(key, body)]
    last = world.batches()[-1]
    assert (last["id"], last["state"], last["attempt"], last["failures"]) == (batch, "done", 2, failures)
    assert f"{batch}:a2" in [run.tags["dagster/run_key"] for run in world.runs()]


@pytest.mark.usefixtures("quick_runs")
def test_a_poisoned_item_is_found_by_halving_and_its_siblings_are_stored_once(world: World) -> None:
    files = {f"poison-{number}.csv": "poison" if number == 2 else "good" for number in range(4)}
    before = len(world.batches())
    world.drop("loose", files)
    world.settle({"loose_files": world.seen("loose_files") + len(files)})

    stored = [row for row in world.rows("loose") if row[0] in files]
    assert stored == [(key, body) for key, body in files.items() if body == "good"]
    assert world.quarantine()[-1].endswith("poison-2.csv is poisoned")
    ended = sorted((batch["items"], batch["state"]) for batch in world.batches()[before:])
    assert ended == [(1, "done"), (1, "quarantined"), (2, "done"), (2, "split"), (4, "split")]


@pytest.mark.usefixtures("quick_runs")
def test_an_overwritten_file_rebuilds_its_partition_from_the_newest_version(world: World) -> None:
    seen = world.seen("day_files")
    world.drop("days", {"2013-12-24.csv": "first", "2013-12-24-late.csv": "late"})
    world.settle({"day_files": seen + 2})
    world.drop("days", {"2013-12-24.csv": "corrected"})
    world.settle({"day_files": seen + 3})

    content = json.loads((world.sink / "partitions" / "2013-12-24.json").read_text())
    assert sorted(content) == [["2013-12-24-late.csv", "late"], ["2013-12-24.csv", "corrected"]]


@pytest.mark.usefixtures("quick_runs")
def test_a_tick_without_a_ledger_fails_with_one_message_and_a_later_one_goes_on(world: World) -> None:
    world.rounds(1)
    seen = world.seen("loose_files")
    world.ledger.execute("alter schema tested rename to away")
    try:
        world.drop("loose", {"meanwhile.csv": "kept"})
        world.until(lambda: newest_ticks(world.instance, SENSOR, 1)[0].is_failure)
        [tick] = newest_ticks(world.instance, SENSOR, 1)
    finally:
        world.ledger.execute("alter schema away rename to tested")
    assert tick.error is not None
    assert "the ledger in schema 'tested' is not migrated" in tick.error.message
    assert tick.error.cause is None, "the message is not wrapped into others"
    world.settle({"loose_files": seen + 1})
    assert ("meanwhile.csv", "kept") in world.rows("loose")


@pytest.mark.usefixtures("quick_runs")
def test_what_a_tick_logs_keeps_its_fields_for_whoever_reads_it_in_dagster(world: World) -> None:
    seen = world.seen("loose_files")
    world.drop("loose", {"told.csv": "told"})
    world.settle({"loose_files": seen + 1})
    lines = [line for tick in newest_ticks(world.instance, SENSOR, 10) for line in tick_lines(world.instance, tick)]
    line = next(line for line in lines if line.get("sensor_assets_new"))
    assert (line["sensor_assets_source"], line["sensor_assets_new"]) == ("loose_files", 1)
    assert line["sensor_assets_outcome"] == "complete"
    silent = [tick for tick in newest_ticks(world.instance, SENSOR, 2) if tick_lines(world.instance, tick)]
    assert silent == [], "a tick without news writes no log"


def test_every_run_of_the_story_belongs_to_one_attempt_of_one_batch(world: World) -> None:
    """The last test of the module: it counts what all the others left behind."""
    attempts = sum(batch["attempt"] for batch in world.batches())
    run_keys = [run.tags["dagster/run_key"] for run in world.runs()]
    assert len(set(run_keys)) == len(run_keys)
    purged = 1
    assert attempts == len(run_keys) + purged
