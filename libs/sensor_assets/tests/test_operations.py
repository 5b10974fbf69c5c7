"""What people do to the ledger by hand, with runs that Dagster executes and files that a lake holds."""

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import psycopg
import pytest
from sensor_assets import Batch, Batching, Item, Lake, ObjectSource, Retry, Router, ScanContext, Send, Waiting
from sensor_assets import sensor_asset as asset_of
from sensor_assets import source as source_of
from sensor_assets._again import stretches
from sensor_assets.errors import LedgerError, SensorAssetsError, UnknownNameError
from sensor_assets.ledger import PostgresLedger
from sensor_assets.ledger._operations import Operations
from sensor_assets.ledger._quarantine import Release
from sensor_assets.ledger._quarantine import release as release_items
from sensor_assets.ledger._selection import Selection

from .conftest import LedgerSchema
from .location import SOON, Location, ephemeral

DAILY = dg.DailyPartitionsDefinition("2013-01-01", end_date="2014-01-01")
RANGE = ("dagster/asset_partition_range_start", "dagster/asset_partition_range_end")
AT_ONCE = Retry(max_failures=1, backoff=0.001, give_up=1)


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with ephemeral() as instance:
        yield instance


@dataclass
class Outside:
    """A source of items without bytes, and a lake."""

    lake: Lake
    items: dict[str, Item] = field(default_factory=dict[str, Item])

    def put(self, **versions: str) -> None:
        for key, version in versions.items():
            self.items[key] = Item(key=key, version=version, size=1)

    def rows(self, directory: str) -> Counter[tuple[str, str]]:
        """Return how often each version is in the files of a log."""
        found: Counter[tuple[str, str]] = Counter()
        for file in self.lake.list(directory):
            frame = self.lake.read(file.path)
            assert frame is not None
            found.update((key, version) for key, version in frame.rows())
        return found

    def follow(self, **arguments: Any) -> Any:
        """Return a source that shows the items."""

        @source_of("letters", every=SOON, **arguments)
        def letters(context: ScanContext) -> Iterator[Item]:
            yield from self.items.values()

        return letters


@pytest.fixture
def outside(tmp_path: Path) -> Outside:
    return Outside(Lake(url=f"file://{tmp_path}/lake"))


def append(directory: str, batch: Batch, lake: Lake) -> None:
    rows = [{"key": item.key, "version": item.version} for item in batch.items]
    lake.append(directory, batch, pl.DataFrame(rows, schema={"key": pl.String, "version": pl.String}))


def log_of(outside: Outside, ledger: PostgresLedger, instance: dg.DagsterInstance, **declared: Any) -> Location:
    """Return a location with one asset that appends what is outside to a log."""

    @asset_of(outside.follow(), appends=True, batching=Batching(max_items=2), max_in_flight=4, **declared)
    def log(batch: Batch, lake: Lake) -> None:
        append("log", batch, lake)

    return Location(ledger, [log], instance, resources={"lake": outside.lake})


def operations(ledger: PostgresLedger, *, dry_run: bool = False) -> Operations:
    return Operations(ledger, now=datetime.now(UTC), dry_run=dry_run)


def release(ledger: PostgresLedger, **selection: Any) -> Release:
    return release_items(operations(ledger), Selection(**selection))


@pytest.fixture
def looking(ledger_schema: LedgerSchema) -> Iterator[psycopg.Connection[Any]]:
    options = f"-c search_path={ledger_schema.schema}"
    with psycopg.connect(ledger_schema.url, options=options, autocommit=True) as connection:
        yield connection


Looking = psycopg.Connection[Any]


def content(looking: Looking) -> list[Any]:
    """Return everything in the tables that operations write to."""
    tables = (
        *("batch", "slice", "quarantine", "parked", "gone", "item", "message", "listing_page"),
        *("consumer", "consumer_position", "source"),
    )
    return [sorted(looking.execute(f"select * from {table}").fetchall(), key=repr) for table in tables]  # type: ignore[arg-type]


# --- replay


def test_a_replay_of_a_log_leaves_each_version_there_once(
    outside: Outside, ledger: PostgresLedger, instance: dg.DagsterInstance
) -> None:
    location = log_of(outside, ledger, instance)
    outside.put(a="1", b="1", c="1", d="1", e="1")
    assert location.work_off() == 3
    outside.put(a="2", c="2")
    assert location.work_off() == 1
    before = outside.rows("log")
    files = {file.path for file in outside.lake.list("log")}
    assert set(before.values()) == {1}
    assert len(before) == 7

    for _ in range(2):
        done = operations(ledger).replay(Selection(consumer="log"))
        assert sum(batch.items for batch in done.batches) == 7
        assert location.work_off() == len(done.batches) == 4
        assert outside.rows("log") == before
        assert files.isdisjoint(file.path for file in outside.lake.list("log"))
    assert location.status()["log"]["done"] == 7


def test_a_replay_takes_every_batch_that_holds_a_chosen_item_and_no_other(
    outside: Outside, ledger: PostgresLedger, instance: dg.DagsterInstance
) -> None:
    location = log_of(outside, ledger, instance)
    outside.put(a="1", b="1", c="1", d="1", e="1")
    location.work_off()
    first, second, third = sorted((f.path for f in outside.lake.list("log")), key=lambda path: _keys(outside, path))

    done = operations(ledger).replay(Selection(key="b*"))
    assert [batch.items for batch in done.batches] == [2]
    assert location.work_off() == 1
    left = {file.path for file in outside.lake.list("log")}
    assert first not in left
    assert {second, third} < left
    assert operations(ledger).replay(Selection(key="nothing*")).batches == ()
    assert operations(ledger).replay(Selection(since=datetime.now(UTC) + timedelta(days=1))).batches == ()
    assert operations(ledger).replay(Selection(until=datetime(2013, 1, 1, tzinfo=UTC))).batches == ()


def _keys(outside: Outside, path: str) -> list[str]:
    frame = outside.lake.read(path)
    assert frame is not None
    return sorted(frame["key"])


def test_small_batches_join_in_a_replay_but_to_none_larger_than_the_largest(
    outside: Outside, ledger: PostgresLedger, instance: dg.DagsterInstance
) -> None:
    location = log_of(outside, ledger, instance)
    for number in range(6):
        outside.put(**{f"k{number}": "1"})
        location.work_off()
    outside.put(x="1", y="1")
    location.work_off()
    before = outside.rows("log")

    done = operations(ledger).replay(Selection(consumer="log"))
    assert [batch.items for batch in done.batches] == [2, 2, 2, 2]
    assert location.work_off() == 4
    assert outside.rows("log") == before


def test_a_dry_run_says_what_would_be_done_and_does_nothing(
    outside: Outside, ledger: PostgresLedger, instance: dg.DagsterInstance, looking: Looking
) -> None:
    location = log_of(outside, ledger, instance)
    outside.put(a="1", b="1", c="1")
    location.work_off()
    before = content(looking)
    told = operations(ledger, dry_run=True).replay(Selection())
    assert content(looking) == before
    done = operations(ledger).replay(Selection())
    assert [batch.slices for batch in told.batches] == [batch.slices for batch in done.batches]
    assert [batch.replaces for batch in told.batches] == [batch.replaces for batch in done.batches]


def test_a_replay_that_is_underway_is_not_begun_again(
    outside: Outside, ledger: PostgresLedger, instance: dg.DagsterInstance
) -> None:
    location = log_of(outside, ledger, instance)
    outside.put(a="1", b="1", c="1")
    location.work_off()
    assert len(operations(ledger).replay(Selection()).batches) == 2
    again = operations(ledger).replay(Selection())
    assert (again.batches, again.underway) == ((), 2)
    assert location.work_off() == 2
    assert set(outside.rows("log").values()) == {1}


def test_two_replays_at_once_take_each_batch_once(
    outside: Outside, ledger: PostgresLedger, instance: dg.DagsterInstance
) -> None:
    location = log_of(outside, ledger, instance)
    outside.put(**{f"k{number}": "1" for number in range(20)})
    location.work_off()
    with ThreadPoolExecutor(4) as threads:
        done = list(threads.map(lambda _: operations(ledger).replay(Selection()), range(4)))
    assert sorted(len(each.batches) for each in done) == [0, 0, 0, 10]
    location.work_off()
    assert set(outside.rows("log").values()) == {1}


def test_an_operation_does_not_wait_for_ever_for_a_monitor_that_decides(
    outside: Outside,
    ledger: PostgresLedger,
    instance: dg.DagsterInstance,
    looking: Looking,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    location = log_of(outside, ledger, instance)
    outside.put(a="1")
    location.work_off()
    monkeypatch.setattr("sensor_assets.ledger._sql_operations.PATIENCE", "set local lock_timeout = '50ms'")
    with looking.transaction():
        looking.execute("select 1 from consumer_position for update")
        with pytest.raises(LedgerError, match=r"a monitor has been deciding .* nothing was done; try again"):
            operations(ledger).replay(Selection())


def test_files_that_were_overwritten_leave_the_log_in_a_replay_and_the_newer_stays(
    ledger: PostgresLedger, instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    """Nobody can read a version any more that a bucket without versions has overwritten."""
    files = tmp_path / "files"
    files.mkdir()
    lake = Lake(url=f"file://{tmp_path}/lake")
    calls: list[list[str]] = []

    @asset_of(ObjectSource("files", url="{outside}/files", every=SOON), appends=True, max_in_flight=2)
    def log(batch: Batch, lake: Lake) -> None:
        calls.append([item.key for item in batch.items])
        rows = [{"key": item.key, "body": item.read().decode()} for item in batch.items]
        lake.append("log", batch, pl.DataFrame(rows, schema={"key": pl.String, "body": pl.String}))

    location = Location(ledger, [log], instance, outside=tmp_path, resources={"lake": lake})
    for name in "abc":
        (files / name).write_text("old")
    location.work_off()
    (files / "a").write_text("newer")
    (files / "b").unlink()
    location.work_off()
    outside = Outside(lake)
    assert outside.rows("log") == {(name, "old"): 1 for name in "abc"} | {("a", "newer"): 1}
    calls.clear()

    done = operations(ledger).replay(Selection(consumer="log"))
    assert (done.superseded, done.gone) == (1, 0)
    location.work_off()
    assert outside.rows("log") == {("c", "old"): 1, ("a", "newer"): 1}
    assert len(calls) == 1 + 3, "once for what is gone, once for what was overwritten"
    assert operations(ledger).replay(Selection(consumer="log")).gone == 1


def test_a_replay_of_which_nothing_is_left_removes_the_file_and_leaves_no_empty_one(
    ledger: PostgresLedger, instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    (tmp_path / "files").mkdir()
    lake = Lake(url=f"file://{tmp_path}/lake")

    @asset_of(ObjectSource("files", url="{outside}/files", every=SOON), appends=True)
    def log(batch: Batch, lake: Lake) -> None:
        lake.append("log", batch, pl.DataFrame({"body": [item.read() for item in batch.items]}))

    location = Location(ledger, [log], instance, outside=tmp_path, resources={"lake": lake})
    (tmp_path / "files" / "a").write_text("1")
    location.work_off()
    assert len(lake.list("log")) == 1
    (tmp_path / "files" / "a").unlink()
    operations(ledger).replay(Selection())
    assert location.work_off() == 1
    assert lake.list("log") == []
    assert location.status()["log"]["done"] == 1


def test_a_partition_keeps_its_other_files_while_a_replay_of_it_waits(
    ledger: PostgresLedger, instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    built: list[list[str]] = []
    location = _days(ledger, instance, tmp_path, built)
    (tmp_path / "files" / "2013-01-01-a.csv").write_text("a")
    location.work_off()
    operations(ledger).replay(Selection(consumer="days"))
    location.launch(dg.AssetKey("days"), partition="2013-01-01")
    assert built[-1] == ["2013-01-01-a.csv"]
    location.work_off()
    assert built[-1] == ["2013-01-01-a.csv"]
    assert len(built) == 3


def _days(
    ledger: PostgresLedger, instance: dg.DagsterInstance, tmp_path: Path, built: list[list[str]], **declared: Any
) -> Location:
    (tmp_path / "files").mkdir(exist_ok=True)
    template = declared.pop("key", "{date:%Y-%m-%d}*.csv")

    arguments: dict[str, Any] = {"partitions_def": DAILY, "retry": AT_ONCE, **declared}

    @asset_of(ObjectSource("files", url="{outside}/files", key=template, every=SOON), **arguments)
    def days(batch: Batch) -> None:
        for _, items in batch.by_partition():
            built.append([item.key for item in items])
        for item in batch.items:
            if item.read() == b"bad":
                batch.reject(item, "it is bad")

    return Location(ledger, [days], instance, outside=tmp_path)


# --- launches by hand of what appends


def test_a_log_launched_by_hand_is_processed_again_by_the_monitor_and_nothing_is_there_twice(
    outside: Outside, ledger: PostgresLedger, instance: dg.DagsterInstance
) -> None:
    location = log_of(outside, ledger, instance)
    outside.put(a="1", b="1", c="1")
    location.work_off()
    before = outside.rows("log")
    result = location.launch(dg.AssetKey("log"))
    assert result.success
    assert result.get_asset_materialization_events() == []
    assert location.status()["log"]["waiting"] == 3
    assert location.launch(dg.AssetKey("log")).success
    assert location.work_off() == 2
    assert outside.rows("log") == before


def test_a_launch_by_hand_takes_only_the_batches_of_its_route_and_partitions(
    outside: Outside, ledger: PostgresLedger, instance: dg.DagsterInstance
) -> None:
    def by_case(waiting: Waiting) -> list[Send]:
        upper = [item for item in waiting.items if item.key.isupper()]
        lower = [item for item in waiting.items if item not in upper]
        return [Send(to=to, items=items) for to, items in (("upper", upper), ("lower", lower)) if items]

    router = Router(outside.follow(), by_case, name="by_case", targets=("upper", "lower"))
    seen: list[str] = []

    def note(batch: Batch) -> None:
        seen.append(f"{batch.route} {[item.key for item in batch.items]}")

    @asset_of(router["upper"], appends=True, partitions_def=DAILY)
    def upper(batch: Batch) -> None:
        note(batch)

    @asset_of(router["lower"], appends=True, partitions_def=DAILY)
    def lower(batch: Batch) -> None:
        note(batch)

    location = Location(ledger, [upper, lower], instance)
    for key, day in {"A": "2013-01-01", "B": "2013-01-03", "c": "2013-01-01"}.items():
        outside.items[key] = Item(key=key, version="1", partition=day)
    location.work_off()
    seen.clear()
    result = location.launch(upper, partition="2013-01-01", tags={"dagster/backfill": "by hand"})
    [event] = result.get_asset_materialization_events()
    assert event.partition == "2013-01-01", "else the backfill would take the partition for failed"
    assert event.materialization.metadata["sensor_assets/replays"].value == 1
    location.work_off()
    assert seen == ["upper ['A']"]


def test_a_function_that_appends_without_saying_so_is_refused_when_it_is_launched_by_hand(
    outside: Outside, ledger: PostgresLedger, instance: dg.DagsterInstance
) -> None:
    @asset_of(outside.follow())
    def log(batch: Batch, lake: Lake) -> None:
        append("log", batch, lake)

    location = Location(ledger, [log], instance, resources={"lake": outside.lake})
    outside.put(a="1")
    location.work_off()
    with pytest.raises(SensorAssetsError, match=r"declare @sensor_asset\(\.\.\., appends=True\)"):
        location.launch(log)
    assert outside.rows("log") == {("a", "1"): 1}


# --- rebuild


def test_a_rebuild_writes_partitions_from_the_newest_version_of_everything(
    ledger: PostgresLedger, instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    built: list[list[str]] = []
    location = _days(ledger, instance, tmp_path, built)
    for day in ("01", "02", "03", "05"):
        (tmp_path / "files" / f"2013-01-{day}.csv").write_text(day)
    location.work_off()
    (tmp_path / "files" / "2013-01-02-late.csv").write_text("late")
    location.work_off()
    built.clear()

    [batch] = operations(ledger).rebuild("days", route=None, partitions=["2013-01-02"])
    assert (batch.partitions, batch.items) == (("2013-01-02",), 0)
    assert location.work_off() == 1
    assert built == [["2013-01-02.csv", "2013-01-02-late.csv"]]
    built.clear()

    found = operations(ledger).rebuild("days", route=None, partitions=())
    assert [batch.partitions for batch in found] == [("2013-01-01", "2013-01-02", "2013-01-03"), ("2013-01-05",)]
    assert operations(ledger).rebuild("days", route=None, partitions=()) == [], "it waits already"
    assert location.work_off() == 2
    assert sorted(key for keys in built for key in keys) == sorted(path.name for path in (tmp_path / "files").iterdir())
    assert location.status()["days"]["done"] == 5


def test_neighbouring_partitions_share_a_run_of_a_rebuild_where_they_shared_one_before() -> None:
    known = [("1", "2", "3", "4"), ("4", "5"), ("7",)]
    assert stretches(["1", "2", "4", "5", "7"], known) == [("1", "2"), ("4",), ("5",), ("7",)]
    assert stretches(["4", "5"], known) == [("4",), ("5",)]
    assert stretches(["new"], known) == [("new",)]


def test_a_rebuild_of_an_asset_without_partitions_gets_everything_in_one_run(
    outside: Outside, ledger: PostgresLedger, instance: dg.DagsterInstance
) -> None:
    seen: list[list[str]] = []

    @asset_of(outside.follow(), batching=Batching(max_items=2))
    def whole(batch: Batch) -> None:
        seen.append([f"{item.key}{item.version}" for item in batch.items])

    location = Location(ledger, [whole], instance)
    outside.put(a="1", b="1", c="1")
    location.work_off()
    outside.put(a="2")
    location.work_off()
    operations(ledger).rebuild("whole", route=None, partitions=())
    assert location.work_off() == 1
    assert seen[-1] == ["b1", "c1", "a2"]


def test_a_rebuild_of_a_log_is_a_replay_of_its_batches(
    outside: Outside, ledger: PostgresLedger, instance: dg.DagsterInstance
) -> None:
    location = log_of(outside, ledger, instance)
    outside.put(a="1", b="1", c="1")
    location.work_off()
    before = outside.rows("log")
    operations(ledger).rebuild("log", route=None, partitions=())
    assert location.work_off() == 1 + 2
    assert outside.rows("log") == before
    assert location.status()["log"]["done"] == 3


def test_a_rebuild_that_keeps_failing_is_given_up_and_puts_nothing_into_quarantine(
    ledger: PostgresLedger, instance: dg.DagsterInstance, outside: Outside, looking: Looking
) -> None:
    broken: list[bool] = []

    @asset_of(outside.follow(), retry=AT_ONCE)
    def whole(batch: Batch) -> None:
        if broken:
            raise RuntimeError("broken")

    location = Location(ledger, [whole], instance)
    outside.put(a="1")
    location.work_off()
    broken.append(True)
    operations(ledger).rebuild("whole", route=None, partitions=())
    location.work_off()
    assert looking.execute("select state, attempt from batch where origin = 'rebuild'").fetchall() == [
        ("quarantined", 1)
    ]
    assert location.status()["whole"]["quarantined"] == 0


# --- release


def test_a_rejected_item_that_is_released_is_decided_on_anew_and_its_batch_is_not_repeated(
    ledger: PostgresLedger, instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    built: list[list[str]] = []
    location = _days(ledger, instance, tmp_path, built)
    for day, body in {"01": "good", "02": "bad", "03": "good"}.items():
        (tmp_path / "files" / f"2013-01-{day}.csv").write_text(body)
    assert location.work_off() == 1
    assert location.status()["days"]["quarantined"] == 1
    built.clear()

    done = release(ledger, source="files")
    assert [row["key"] for row in done.decided] == ["2013-01-02.csv"]
    assert (location.status()["days"]["waiting"], location.status()["days"]["quarantined"]) == (1, 0)
    assert location.work_off() == 1
    assert built == [["2013-01-02.csv"]]
    assert location.status()["days"]["quarantined"] == 1, "it is still bad"


def test_an_item_that_was_released_and_replayed_is_in_the_log_once(
    outside: Outside, ledger: PostgresLedger, instance: dg.DagsterInstance
) -> None:
    bad = {"b"}

    @asset_of(outside.follow(), appends=True, max_in_flight=2)
    def log(batch: Batch, lake: Lake) -> None:
        good = [item for item in batch.items if item.key not in bad]
        for item in batch.items:
            if item.key in bad:
                batch.reject(item, "bad")
        rows = [{"key": item.key, "version": item.version} for item in good]
        lake.append("log", batch, pl.DataFrame(rows, schema={"key": pl.String, "version": pl.String}))

    location = Location(ledger, [log], instance, resources={"lake": outside.lake})
    outside.put(a="1", b="1", c="1")
    location.work_off()
    operations(ledger).replay(Selection())
    assert [row["key"] for row in release(ledger, key="b").busy] == ["b"], "its batch is about to be repeated"
    location.work_off()
    bad.clear()
    release(ledger, key="b")
    location.work_off()
    operations(ledger).replay(Selection())
    location.work_off()
    assert outside.rows("log") == {("a", "1"): 1, ("b", "1"): 1, ("c", "1"): 1}


def test_what_was_given_up_is_tried_again_when_it_is_released(
    outside: Outside, ledger: PostgresLedger, instance: dg.DagsterInstance
) -> None:
    bad = {"b"}

    @asset_of(outside.follow(), appends=True, retry=AT_ONCE)
    def log(batch: Batch, lake: Lake) -> None:
        if any(item.key in bad for item in batch.items):
            raise ValueError("bad")
        append("log", batch, lake)

    location = Location(ledger, [log], instance, resources={"lake": outside.lake})
    outside.put(a="1", b="1", c="1", d="1")
    location.work_off()
    assert outside.rows("log") == {("a", "1"): 1, ("c", "1"): 1, ("d", "1"): 1}
    [row] = release(ledger, consumer="log").tried
    assert (row["key"], row["reason"].split(": ", 1)[1]) == ("b", "ValueError: bad")
    location.work_off()
    assert location.status()["log"]["quarantined"] == 1
    bad.clear()
    assert len(release(ledger, consumer="log").batches) == 1
    assert not release(ledger, consumer="log").tried, "it is released already"
    location.work_off()
    assert outside.rows("log") == {(key, "1"): 1 for key in "abcd"}
    assert location.status()["log"]["done"] == 4


def test_an_item_that_had_no_place_gets_one_when_the_partitions_of_the_asset_change(
    ledger: PostgresLedger, instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    built: list[list[str]] = []
    location = _days(ledger, instance, tmp_path, built)
    (tmp_path / "files" / "2012-12-31.csv").write_text("early")
    (tmp_path / "files" / "2013-01-01.csv").write_text("on time")
    location.work_off()
    assert location.status()["days"]["quarantined"] == 1

    earlier = dg.DailyPartitionsDefinition("2012-12-01", end_date="2014-01-01")
    changed = _days(ledger, instance, tmp_path, built, partitions_def=earlier)
    changed.cursors = location.cursors
    changed.work_off()
    assert changed.status()["days"]["quarantined"] == 1
    release(ledger, source="files")
    assert changed.work_off() == 1
    assert built[-1] == ["2012-12-31.csv"]
    assert (changed.status()["days"]["quarantined"], changed.status()["days"]["done"]) == (0, 2)


def test_a_key_that_fitted_no_template_is_processed_when_the_template_changes(
    ledger: PostgresLedger, instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    built: list[list[str]] = []
    location = _days(ledger, instance, tmp_path, built)
    (tmp_path / "files" / "flights-2013-01-01.csv").write_text("a")
    (tmp_path / "files" / "readme").write_text("b")
    location.work_off()
    assert location.status()["days"]["quarantined"] == 2

    changed = _days(ledger, instance, tmp_path, built, key="flights-{date:%Y-%m-%d}*.csv")
    changed.cursors = location.cursors
    assert len(release(ledger, source="files").looked_at) == 2
    changed.work_off()
    assert built == [["flights-2013-01-01.csv"]]
    counts = changed.status()["days"]
    assert (counts["seen"], counts["done"]) == (4, 1 + 2), (
        "what could not be placed before was replaced by new arrivals"
    )
    with_reason = release_items(operations(ledger, dry_run=True), Selection()).looked_at
    assert [row["key"] for row in with_reason] == ["readme"]


def test_what_a_source_does_not_show_again_stays_in_quarantine_when_it_is_released(
    ledger: PostgresLedger, instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    location = _days(ledger, instance, tmp_path, [])
    (tmp_path / "files" / "readme").write_text("b")
    location.work_off()
    (tmp_path / "files" / "readme").unlink()
    for _ in range(2):
        assert [row["key"] for row in release(ledger, source="files").looked_at] == ["readme"]
        location.work_off()
    assert location.status()["days"]["quarantined"] == 1


# --- retry


def test_a_batch_that_waits_for_its_next_attempt_is_tried_at_once(
    outside: Outside, ledger: PostgresLedger, instance: dg.DagsterInstance
) -> None:
    broken = [True]

    @asset_of(outside.follow(), retry=Retry(backoff=3600))
    def whole(batch: Batch) -> None:
        if broken:
            raise RuntimeError("the disk is full")

    location = Location(ledger, [whole], instance)
    outside.put(a="1")
    assert location.work_off() == 1
    assert location.work_off() == 0
    broken.clear()
    assert operations(ledger, dry_run=True).retry(Selection())[0].error.endswith("the disk is full")  # type: ignore[union-attr]
    assert location.work_off() == 0
    [retried] = operations(ledger).retry(Selection(key="a"))
    assert operations(ledger).retry(Selection(), batch=retried.id[:6]) == []
    assert location.work_off() == 1
    assert location.status()["whole"]["done"] == 1


# --- prune


def test_pruning_keeps_the_newest_version_of_each_key_so_that_nothing_is_processed_again(
    outside: Outside, ledger: PostgresLedger, instance: dg.DagsterInstance, looking: Looking
) -> None:
    location = log_of(outside, ledger, instance)
    for version in "123":
        outside.put(a=version, b=version)
        location.work_off()
    before = outside.rows("log")
    soon = datetime.now(UTC) + timedelta(seconds=1)
    told = operations(ledger, dry_run=True).prune(soon)
    pruned = operations(ledger).prune(soon)
    assert (pruned.batches, pruned.items) == (told.batches, told.items) == (3, 4)
    assert looking.execute("select key, version from item order by key").fetchall() == [("a", b"3"), ("b", b"3")]
    assert location.work_off() == 0, "nothing is new"
    outside.put(a="2")
    assert location.work_off() == 1, "what returns to an older version is new"
    assert outside.rows("log") == before + Counter([("a", "2")])
    assert len(operations(ledger).replay(Selection()).batches) == 1, "only what is left can be replayed"
    location.work_off()
    assert outside.rows("log") == before + Counter([("a", "2")])


def test_pruning_leaves_what_is_open_in_quarantine_or_younger(
    outside: Outside, ledger: PostgresLedger, instance: dg.DagsterInstance
) -> None:
    bad = {"b"}

    @asset_of(outside.follow(), retry=Retry(max_failures=1, backoff=3600, give_up=1), batching=Batching(max_items=1))
    def whole(batch: Batch) -> None:
        if batch.items[0].key in bad:
            raise ValueError("bad")

    location = Location(ledger, [whole], instance)
    assert operations(ledger).prune(datetime.now(UTC)).batches == 0
    outside.put(a="1", b="1")
    location.work_off()
    assert operations(ledger).prune(datetime.now(UTC) - timedelta(hours=1)).batches == 0
    assert operations(ledger).prune(datetime.now(UTC) + timedelta(seconds=1)).batches == 1
    bad.clear()
    assert len(release(ledger, consumer="whole").batches) == 1
    location.work_off()
    assert location.status()["whole"]["done"] == 2


def test_a_routed_asset_launched_by_hand_still_gets_its_items_after_pruning(
    outside: Outside, ledger: PostgresLedger, instance: dg.DagsterInstance
) -> None:
    router = Router(outside.follow(), lambda waiting: Send(to="all"), name="router", targets=("all",))
    seen: list[list[str]] = []

    @asset_of(router["all"])
    def routed(batch: Batch) -> None:
        seen.append([f"{item.key}{item.version}" for item in batch.items])

    location = Location(ledger, [routed], instance)
    for version in "12":
        outside.put(a=version)
        location.work_off()
    assert operations(ledger).prune(datetime.now(UTC) + timedelta(seconds=1)).batches == 1
    location.launch(routed)
    assert seen == [["a1"], ["a2"], ["a2"]]


# --- names


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (Selection(consumer="lok"), "there is no consumer 'lok' in the ledger; did you mean log?"),
        (Selection(source="letter"), "there is no source 'letter' in the ledger; did you mean letters?"),
        (Selection(consumer="log", route="x"), "there is no route 'x' in the ledger; the ledger holds no route yet"),
        (Selection(consumer="log", partition="x"), "the ledger holds no partition yet"),
    ],
)
def test_a_name_that_the_ledger_does_not_hold_is_refused_with_the_nearest(
    asked: Selection, message: str, outside: Outside, ledger: PostgresLedger, instance: dg.DagsterInstance
) -> None:
    location = log_of(outside, ledger, instance)
    outside.put(a="1")
    location.work_off()
    with pytest.raises(UnknownNameError) as raised:
        operations(ledger).replay(asked)
    assert message in str(raised.value)
