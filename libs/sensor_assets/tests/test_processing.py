"""What a run does around the function of a sensor asset, with runs that Dagster executes and a real ledger."""

import threading
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import dagster as dg
import psycopg
import pytest
from sensor_assets import Batch, Item, ObjectSource, Retry, Router, ScanContext, Send, Waiting, sensor_asset, source
from sensor_assets.ledger import PostgresLedger

from .conftest import LedgerSchema
from .dagster_internals import reexecute
from .location import SOON, Location, ephemeral

DAILY = dg.DailyPartitionsDefinition("2013-01-01", end_date="2014-01-01")
RANGE = ("dagster/asset_partition_range_start", "dagster/asset_partition_range_end")


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with ephemeral() as instance:
        yield instance


@pytest.fixture
def files(tmp_path: Path) -> Callable[[dict[str, str]], None]:
    """Return a function that writes objects into the outside world."""
    (tmp_path / "files").mkdir()

    def write(content: dict[str, str]) -> None:
        for key, body in content.items():
            (tmp_path / "files" / key).write_text(body)

    return write


Files = Callable[[dict[str, str]], None]


def loose_files() -> ObjectSource:
    return ObjectSource("loose_files", url="{outside}/files", every=SOON)


def day_files() -> ObjectSource:
    return ObjectSource("day_files", url="{outside}/files", key="{date:%Y-%m-%d}*.csv", every=SOON)


class Recording(dg.IOManager):
    """Stores outputs in memory and notes what the ledger said of the batch at that moment."""

    def __init__(self, ledger: PostgresLedger, *, fails: bool = False) -> None:
        self._ledger = ledger
        self._fails = fails
        self.stored: list[Any] = []
        self.states: list[str] = []

    def handle_output(self, context: dg.OutputContext, obj: Any) -> None:
        batch = self._ledger.batch(context.step_context.run_tags["sensor_assets/batch"])
        self.states.append(batch.state if batch else "unknown")
        if self._fails:
            raise OSError("the sink is full")
        self.stored.append(obj)

    def load_input(self, context: dg.InputContext) -> Any:
        raise NotImplementedError


def materialization(result: dg.ExecuteInProcessResult) -> dict[str, Any]:
    """Return the metadata of a run's only materialization."""
    [event] = result.get_asset_materialization_events()
    return {name: value.value for name, value in event.materialization.metadata.items()}


def test_a_batch_is_done_only_after_the_io_manager_stored_the_output(
    ledger: PostgresLedger, instance: dg.DagsterInstance, files: Files, tmp_path: Path
) -> None:
    @sensor_asset(loose_files())
    def bodies(batch: Batch) -> list[bytes]:
        return [item.read() for item in batch.items]

    recording = Recording(ledger)
    location = Location(ledger, [bodies], instance, outside=tmp_path, resources={"io_manager": recording})
    files({"a.csv": "a"})
    [result] = location.work()

    assert recording.states == ["emitted"]
    assert recording.stored == [[b"a"]]
    assert location.status()["bodies"]["done"] == 1
    assert materialization(result)["sensor_assets/items"] == 1


def test_a_batch_whose_output_could_not_be_stored_is_tried_again(
    ledger: PostgresLedger, instance: dg.DagsterInstance, files: Files, tmp_path: Path
) -> None:
    @sensor_asset(loose_files(), retry=Retry(backoff=SOON))
    def bodies(batch: Batch) -> list[bytes]:
        return [item.read() for item in batch.items]

    broken = Location(
        ledger, [bodies], instance, outside=tmp_path, resources={"io_manager": Recording(ledger, fails=True)}
    )
    files({"a.csv": "a"})
    [request] = broken.evaluate().run_requests
    assert not broken.run(request, raise_on_error=False).success
    assert broken.status()["bodies"]["in_flight"] == 1

    recording = Recording(ledger)
    repaired = Location(ledger, [bodies], instance, outside=tmp_path, resources={"io_manager": recording})
    repaired.cursors = broken.cursors
    [result] = repaired.work()
    assert recording.stored == [[b"a"]]
    assert materialization(result)["sensor_assets/attempt"] == 2
    assert repaired.status()["bodies"]["done"] == 1


def test_a_version_that_was_overwritten_before_the_run_is_left_to_its_newer_arrival(
    ledger: PostgresLedger, instance: dg.DagsterInstance, files: Files, tmp_path: Path
) -> None:
    seen: list[list[tuple[str, bytes]]] = []

    @sensor_asset(loose_files(), max_in_flight=2)
    def bodies(batch: Batch) -> None:
        seen.append([(item.key, item.read()) for item in batch.items])

    location = Location(ledger, [bodies], instance, outside=tmp_path)
    files({"a.csv": "old", "b.csv": "b"})
    [first] = location.evaluate().run_requests
    location.queue(first)
    files({"a.csv": "newer"})
    [second] = location.evaluate().run_requests
    result = location.run(first)
    location.run(second)

    assert seen == [[("b.csv", b"b")], [("a.csv", b"newer")]]
    assert materialization(result)["sensor_assets/superseded"] == 1
    assert location.status()["bodies"]["done"] == 3


def test_a_file_that_changes_while_the_run_reads_makes_the_step_begin_again_with_the_newer_version(
    ledger: PostgresLedger, instance: dg.DagsterInstance, files: Files, tmp_path: Path
) -> None:
    calls: list[int] = []
    stored: dict[str, list[bytes]] = {}

    @sensor_asset(day_files(), partitions_def=DAILY)
    def days(context: dg.AssetExecutionContext, batch: Batch) -> None:
        calls.append(context.retry_number)
        for partition, items in batch.by_partition():
            if len(calls) == 1:
                files({"2013-01-01.csv": "newer"})
            elif len(calls) == 2:
                location.evaluate()  # the daemon's next tick, which records the newer version
            stored[partition] = [item.read() for item in items]

    location = Location(ledger, [days], instance, outside=tmp_path)
    files({"2013-01-01.csv": "old"})
    [request] = location.evaluate().run_requests
    assert location.run(request).success
    assert calls == [0, 1], "once the newer version is recorded, the batch that brings it has the work"

    location.work()
    assert calls == [0, 1, 0]
    assert stored == {"2013-01-01": [b"newer"]}
    assert location.status()["days"]["done"] == 2


def test_a_file_that_was_deleted_does_not_keep_the_others_from_being_processed(
    ledger: PostgresLedger, instance: dg.DagsterInstance, files: Files, tmp_path: Path
) -> None:
    stored: list[bytes] = []

    @sensor_asset(loose_files())
    def bodies(batch: Batch) -> None:
        stored.extend([item.read() for item in batch.items])

    location = Location(ledger, [bodies], instance, outside=tmp_path)
    files({"a.csv": "a", "b.csv": "b"})
    [request] = location.evaluate().run_requests
    (tmp_path / "files" / "a.csv").unlink()
    location.run(request)

    assert stored == [b"b"]
    assert location.status()["bodies"]["done"] == 2


def test_a_rejected_item_is_quarantined_with_its_reason_and_its_next_version_is_welcome(
    ledger: PostgresLedger, ledger_schema: LedgerSchema, instance: dg.DagsterInstance, files: Files, tmp_path: Path
) -> None:
    stored: list[bytes] = []

    @sensor_asset(loose_files())
    def bodies(batch: Batch) -> None:
        for item in batch.items:
            body = item.read()
            if body.startswith(b"bad"):
                batch.reject(item, "it begins with bad")
            else:
                stored.append(body)

    location = Location(ledger, [bodies], instance, outside=tmp_path)
    files({"a.csv": "bad", "b.csv": "b"})
    [result] = location.work()
    assert materialization(result)["sensor_assets/rejected"] == 1
    counts = location.status()["bodies"]
    assert (counts["done"], counts["quarantined"]) == (1, 1)
    with psycopg.connect(ledger_schema.url, options=f"-c search_path={ledger_schema.schema}") as connection:
        assert connection.execute("select reason from quarantine").fetchall() == [("it begins with bad",)]

    location.launch(bodies)
    assert stored == [b"b", b"b"], "a run by hand leaves out what is in quarantine"

    files({"a.csv": "good"})
    location.work()
    assert stored == [b"b", b"b", b"good"]


def test_nothing_is_quarantined_when_the_run_that_rejected_it_fails_later(
    ledger: PostgresLedger, instance: dg.DagsterInstance, files: Files, tmp_path: Path
) -> None:
    @sensor_asset(loose_files())
    def bodies(batch: Batch) -> None:
        batch.reject(batch.items[0], "bad")
        raise ValueError("and then this")

    location = Location(ledger, [bodies], instance, outside=tmp_path)
    files({"a.csv": "a"})
    [request] = location.evaluate().run_requests
    assert not location.run(request, raise_on_error=False).success
    assert location.status()["bodies"]["quarantined"] == 0


def test_a_run_by_hand_gets_everything_and_takes_nothing_away_from_the_batches(
    ledger: PostgresLedger, instance: dg.DagsterInstance, files: Files, tmp_path: Path
) -> None:
    seen: list[tuple[int, list[str]]] = []

    @sensor_asset(loose_files())
    def bodies(batch: Batch) -> None:
        seen.append((batch.attempt, sorted(item.key for item in batch.items)))

    location = Location(ledger, [bodies], instance, outside=tmp_path)
    files({"a.csv": "a", "b.csv": "b"})
    [request] = location.evaluate().run_requests
    location.launch(bodies)
    assert location.status()["bodies"]["in_flight"] == 2
    location.run(request)
    assert seen == [(0, ["a.csv", "b.csv"]), (1, ["a.csv", "b.csv"])]
    assert location.status()["bodies"]["done"] == 2


def test_a_backfill_over_several_days_rebuilds_each_of_them_in_one_run(
    ledger: PostgresLedger, instance: dg.DagsterInstance, files: Files, tmp_path: Path
) -> None:
    built: list[dict[str, list[str]]] = []

    @sensor_asset(day_files(), partitions_def=DAILY)
    def days(batch: Batch) -> None:
        built.append({partition: sorted(item.key for item in items) for partition, items in batch.by_partition()})

    location = Location(ledger, [days], instance, outside=tmp_path)
    files({"2013-01-01.csv": "1", "2013-01-02.csv": "2", "2013-01-02-b.csv": "2b", "2013-01-04.csv": "4"})
    location.work()
    assert sorted(day for run in built for day in run) == ["2013-01-01", "2013-01-02", "2013-01-04"]
    built.clear()

    result = location.launch(days, tags=dict(zip(RANGE, ("2013-01-02", "2013-01-04"), strict=True)))
    # There is nothing of the 3rd; Dagster records the whole range as materialized.
    assert built == [{"2013-01-02": ["2013-01-02-b.csv", "2013-01-02.csv"], "2013-01-04": ["2013-01-04.csv"]}]
    partitions = {event.partition for event in result.get_asset_materialization_events()}
    assert partitions == {"2013-01-02", "2013-01-03", "2013-01-04"}

    location.launch(days, partition="2013-01-04")
    assert built[-1] == {"2013-01-04": ["2013-01-04.csv"]}


def test_a_second_run_of_a_done_batch_has_no_effect_unless_a_person_asked_for_it(
    ledger: PostgresLedger, instance: dg.DagsterInstance, files: Files, tmp_path: Path
) -> None:
    calls: list[str] = []

    @sensor_asset(loose_files())
    def bodies(batch: Batch) -> None:
        calls.append(batch.id)

    location = Location(ledger, [bodies], instance, outside=tmp_path)
    files({"a.csv": "a"})
    [request] = location.evaluate().run_requests
    first = location.run(request)
    duplicate = location.run(request)
    assert duplicate.success
    assert not duplicate.get_asset_materialization_events()
    assert len(calls) == 1

    job = location.definitions.resolve_implicit_global_asset_job_def().get_subset(asset_selection={bodies.key})
    assert reexecute(job, first.dagster_run, instance)
    assert len(calls) == 2


def test_a_batch_that_the_ledger_does_not_hold_ends_the_run_with_what_may_have_happened(
    ledger: PostgresLedger, instance: dg.DagsterInstance, tmp_path: Path, files: Files
) -> None:
    @sensor_asset(loose_files())
    def bodies(batch: Batch) -> None:
        raise AssertionError("nothing to do")

    location = Location(ledger, [bodies], instance, outside=tmp_path)
    tags = {"sensor_assets/batch": "00000000-0000-0000-0000-000000000000"}
    with pytest.raises(dg.Failure, match=r"the ledger holds no batch 0000.*restored from an older backup"):
        location.launch(bodies, tags=tags)


def _generator(batch: Batch) -> Iterator[Any]:
    yield dg.MaterializeResult(metadata={"rows": len(batch.items)})
    yield dg.AssetCheckResult(passed=True, check_name="complete")


def _with_checks(batch: Batch) -> dg.MaterializeResult[Any]:
    check = dg.AssetCheckResult(passed=True, check_name="complete")
    return dg.MaterializeResult(metadata={"rows": len(batch.items)}, check_results=[check])


def _output(batch: Batch) -> dg.Output[list[str]]:
    return dg.Output([item.key for item in batch.items], metadata={"rows": len(batch.items)})


@pytest.mark.parametrize("function", [_generator, _with_checks, _output])
def test_whatever_form_the_result_has_it_carries_the_functions_metadata_and_the_batchs(
    function: Callable[..., Any], ledger: PostgresLedger, instance: dg.DagsterInstance, files: Files, tmp_path: Path
) -> None:
    checked = function is not _output
    checks = [dg.AssetCheckSpec("complete", asset="form")] if checked else []
    form = sensor_asset(loose_files(), name="form", check_specs=checks)(function)
    location = Location(ledger, [form], instance, outside=tmp_path, resources={"io_manager": dg.mem_io_manager})
    files({"a.csv": "a"})
    [result] = location.work()
    metadata = materialization(result)
    assert (metadata["rows"], metadata["sensor_assets/items"], metadata["sensor_assets/attempt"]) == (1, 1, 1)
    assert [check.passed for check in result.get_asset_check_evaluations()] == ([True] if checked else [])
    assert location.status()["form"]["done"] == 1


def test_a_failing_check_does_not_make_the_batch_run_again(
    ledger: PostgresLedger, instance: dg.DagsterInstance, files: Files, tmp_path: Path
) -> None:
    @sensor_asset(loose_files(), check_specs=[dg.AssetCheckSpec("complete", asset="bodies")])
    def bodies(batch: Batch) -> dg.MaterializeResult[Any]:
        return dg.MaterializeResult(check_results=[dg.AssetCheckResult(passed=False, check_name="complete")])

    location = Location(ledger, [bodies], instance, outside=tmp_path)
    files({"a.csv": "a"})
    [result] = location.work()
    assert [check.passed for check in result.get_asset_check_evaluations()] == [False]
    assert location.status()["bodies"]["done"] == 1


def test_two_runs_never_write_one_partition_at_the_same_time(
    ledger: PostgresLedger, instance: dg.DagsterInstance, files: Files, tmp_path: Path
) -> None:
    inside: list[str] = []
    most: list[int] = []

    @sensor_asset(day_files(), partitions_def=DAILY)
    def days(context: dg.AssetExecutionContext, batch: Batch) -> None:
        inside.append(context.run_id)
        most.append(len(inside))
        threading.Event().wait(0.3)
        inside.remove(context.run_id)

    location = Location(ledger, [days], instance, outside=tmp_path)
    files({"2013-01-01.csv": "1"})
    location.evaluate()

    def launch() -> None:
        with ephemeral() as own:
            location.launch(days, partition="2013-01-01", instance=own)

    threads = [threading.Thread(target=launch) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1, 1, 1]


def test_a_sensor_asset_is_called_like_the_function_it_was_made_of(tmp_path: Path) -> None:
    @sensor_asset(loose_files())
    def shout(batch: Batch, suffix: dg.ResourceParam[str]) -> list[str]:
        return [item.read().decode().upper() + suffix for item in batch.items]

    assert shout(Batch.of({"a.csv": b"a", "b.csv": b"b"}), "!") == ["A!", "B!"]
    assert shout(batch=Batch.of({"a.csv": b"a"}), suffix="?") == ["A?"]


def test_a_routed_asset_launched_by_hand_gets_what_was_sent_to_it_and_nothing_else(
    ledger: PostgresLedger, instance: dg.DagsterInstance, files: Files, tmp_path: Path
) -> None:
    def by_name(waiting: Waiting) -> list[Send]:
        loud = [item for item in waiting.items if item.key.startswith("loud")]
        quiet = [item for item in waiting.items if item not in loud]
        return [Send(to="loud", items=loud), Send(to="quiet", items=quiet)]

    router = Router(loose_files(), by_name, name="volume", targets=("loud", "quiet"))
    seen: list[tuple[str, str | None, list[str]]] = []

    def note(name: str, batch: Batch) -> None:
        seen.append((name, batch.route, sorted(item.key for item in batch.items)))

    @sensor_asset(router["loud"])
    def loud(batch: Batch) -> None:
        note("loud", batch)

    @sensor_asset(router["quiet"])
    def quiet(batch: Batch) -> None:
        note("quiet", batch)

    location = Location(ledger, [loud, quiet], instance, outside=tmp_path)
    files({"loud-1.csv": "1", "loud-2.csv": "2", "other.csv": "3"})
    location.work()
    expected = [("loud", "loud", ["loud-1.csv", "loud-2.csv"]), ("quiet", "quiet", ["other.csv"])]
    assert sorted(seen) == expected
    seen.clear()
    location.launch(loud)
    location.launch(quiet)
    assert seen == expected


def test_items_know_where_they_come_from(
    ledger: PostgresLedger, instance: dg.DagsterInstance, files: Files, tmp_path: Path
) -> None:
    seen: list[Item] = []

    @sensor_asset(day_files(), partitions_def=DAILY)
    def days(batch: Batch) -> None:
        seen.extend(batch.items)

    location = Location(ledger, [days], instance, outside=tmp_path)
    files({"2013-01-01-late.csv": "four"})
    location.work()
    [item] = seen
    assert (item.key, item.partition, item.source, item.size, item.arrival) == (
        "2013-01-01-late.csv",
        "2013-01-01",
        "day_files",
        4,
        1,
    )
    assert item.open().read() == b"four"


def test_a_batch_of_which_every_version_was_overwritten_is_done_without_calling_the_function(
    ledger: PostgresLedger, instance: dg.DagsterInstance, files: Files, tmp_path: Path
) -> None:
    seen: list[list[str]] = []

    @sensor_asset(loose_files(), max_in_flight=2)
    def bodies(batch: Batch) -> None:
        seen.append([item.key for item in batch.items])

    location = Location(ledger, [bodies], instance, outside=tmp_path)
    files({"a.csv": "old"})
    [first] = location.evaluate().run_requests
    location.queue(first)
    files({"a.csv": "newer"})
    [second] = location.evaluate().run_requests
    location.run(first)
    location.run(second)
    assert location.status()["bodies"]["done"] == 2
    assert seen == [["a.csv"]]


@pytest.mark.parametrize(
    "time",
    [
        "2013-01-01T05:00:00",
        "2013-01-01T05:30:00",
        "2013-01-01T05:00:00Z",
        "2013-01-01T05",
        "2013-01-01T06:00:00+01:00",
    ],
)
def test_an_item_that_is_placed_in_an_hour_is_found_when_that_hour_is_rebuilt_or_refused_at_once(
    time: str, ledger: PostgresLedger, instance: dg.DagsterInstance
) -> None:
    @source("readings", every=SOON)
    def readings(context: ScanContext) -> Iterator[Item]:
        yield Item(key="a", version="1", partition=time)

    built: dict[str, list[str]] = {}

    @sensor_asset(readings, partitions_def=dg.HourlyPartitionsDefinition("2013-01-01-00:00"))
    def hours(batch: Batch) -> None:
        built.update({hour: [item.key for item in items] for hour, items in batch.by_partition()})

    location = Location(ledger, [hours], instance)
    location.work()
    assert built == {"2013-01-01-05:00": ["a"]} or location.status()["hours"]["quarantined"] == 1


def test_a_moment_at_midnight_is_placed_like_any_other(ledger: PostgresLedger, instance: dg.DagsterInstance) -> None:
    midnight = datetime(2013, 1, 1).isoformat()

    @source("readings", every=SOON)
    def readings(context: ScanContext) -> Iterator[Item]:
        yield Item(key="a", version="1", partition=midnight)

    built: dict[str, list[str]] = {}

    @sensor_asset(readings, partitions_def=dg.HourlyPartitionsDefinition("2013-01-01-00:00"))
    def hours(batch: Batch) -> None:
        built.update({hour: [item.key for item in items] for hour, items in batch.by_partition()})

    Location(ledger, [hours], instance).work()
    assert built == {"2013-01-01-00:00": ["a"]}
