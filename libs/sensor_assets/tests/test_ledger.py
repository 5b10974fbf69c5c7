"""The ledger on real Postgres: two at once, kill -9 between statements, rights, locks, numbers."""

import logging
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import dagster as dg
import psycopg
import pytest
from psycopg.rows import DictRow, dict_row
from psycopg_pool import ConnectionPool
from pydantic import SecretStr
from sensor_assets import Batching, Item, LedgerError, Page, Retry, ScanContext, Settings, source
from sensor_assets._consumers import Consumer, Outlet
from sensor_assets._cursor import MAX_BYTES, Cursor
from sensor_assets._evaluate import evaluate
from sensor_assets._reconcile import RunOutcome, settle
from sensor_assets._runs import RunReport
from sensor_assets._runtime import Runtime
from sensor_assets._state import BatchRecord
from sensor_assets.ledger import Emission, PostgresLedger, ScanSupersededError, _postgres, migrate

from .conftest import LedgerSchema
from .core_cases import DAYS, Days
from .ledger_crashes import (
    CONSUMER,
    MONITOR,
    NOW,
    Arm,
    content,
    emit,
    identities,
    items,
    killed_everywhere,
    later,
    record,
    source_of,
)

LONG = 30.0


# --- two at once


def test_two_evaluators_at_once_answer_the_same_run_keys(ledger_schema: LedgerSchema) -> None:
    first, second = ledger_schema.open(), ledger_schema.open()
    emit(first, 0, new_id=identities(10**6))
    emit(second, 0, new_id=identities(10**6))
    epoch = 0
    with ThreadPoolExecutor(2) as threads:
        for round_ in range(1, 21):
            record(first, items(5, version=str(round_)))

            def evaluate_one(ledger: PostgresLedger, ids: int, now: tuple[int, threading.Barrier]) -> Emission:
                now[1].wait(LONG)
                return emit(ledger, now[0], new_id=identities(ids))

            now = [(epoch, threading.Barrier(2))] * 2
            answers = list(threads.map(evaluate_one, (first, second), (round_ * 100, round_ * 100 + 50), now))
            keys = [[batch.run_key for batch in answer.batches] for answer in answers]
            assert keys[0] == keys[1]
            assert len(keys[0]) == 3
            assert Counter(answer.repeated for answer in answers) == {False: 1, True: 1}
            assert answers[0].epoch == answers[1].epoch > epoch
            epoch = answers[0].epoch
            for batch in answers[0].batches:
                first.finish(CONSUMER, batch.id, "run", rejected=[], gone=[], now=NOW)
    _assert_each_arrival_is_in_one_batch(ledger_schema, 100)
    first.close()
    second.close()


def test_two_monitors_at_once_never_batch_an_arrival_twice(ledger_schema: LedgerSchema) -> None:
    """A consumer moved to another group: the old code's last evaluation still runs when the new one begins."""
    old, new = ledger_schema.open(), ledger_schema.open()
    emit(old, 0, new_id=identities(10**6), monitor="old")
    emit(new, 0, new_id=identities(10**6), monitor="new")
    record(old, items(2))
    deciding, go_on = threading.Event(), threading.Event()

    def wait() -> None:
        deciding.set()
        go_on.wait(1)

    with ThreadPoolExecutor(2) as threads:
        slow = threads.submit(emit, old, 0, new_id=identities(1), monitor="old", while_deciding=wait)
        assert deciding.wait(LONG)
        fast = threads.submit(emit, new, 0, new_id=identities(100), monitor="new")
        slow.result(LONG)
        fast.result(LONG)
    _assert_each_arrival_is_in_one_batch(ledger_schema, 2)
    old.close()
    new.close()


def test_two_scans_at_once_give_each_version_one_number(ledger_schema: LedgerSchema) -> None:
    ledgers = [ledger_schema.open() for _ in range(3)]
    source_of(ledgers[0])

    def scan(ledger: PostgresLedger) -> None:
        for version in range(10):
            try:
                record(ledger, items(20, version=str(version)))
            except ScanSupersededError:
                continue

    with ThreadPoolExecutor(3) as threads:
        list(threads.map(scan, ledgers))
    with _looking(ledger_schema) as database:
        rows = database.execute("select key, version, arrival from item order by arrival").fetchall()
    assert [row["arrival"] for row in rows] == list(range(1, len(rows) + 1))
    newest: dict[str, str] = {}
    for row in rows:
        assert newest.get(row["key"]) != row["version"]
        newest[row["key"]] = row["version"]
    for ledger in ledgers:
        ledger.close()


def test_a_scan_that_was_superseded_records_nothing_and_leaves_no_trace(ledger: PostgresLedger) -> None:
    old = ledger.begin_scan(source_of(ledger))
    new = ledger.begin_scan(source_of(ledger))
    with pytest.raises(ScanSupersededError, match="a newer scan of source 'world' has begun"):
        ledger.record(old, Page(items=items(1), position={"page": 1}), NOW)
    ledger.end_scan(old, now=NOW, due_at=later(99), error="late")
    assert ledger.record(new, Page(items=items(1), position={"page": 2}), NOW) == 1
    ledger.end_scan(new, now=NOW, due_at=later(5), error=None)
    state = source_of(ledger)
    assert (state.arrivals, state.position, state.failures, state.due_at) == (1, {"page": 2}, 0, later(5))


# --- what counts as new


def test_a_thing_is_new_when_it_differs_from_its_newest_version(ledger: PostgresLedger) -> None:
    assert [record(ledger, items(3, version)) for version in ("a", "a", "b", "a", "a")] == [3, 0, 3, 3, 0]
    assert ledger.known(source_of(ledger).id) == {"thing0": "a", "thing1": "a", "thing2": "a"}
    assert ledger.known(source_of(ledger).id, ["thing1", "nothing"]) == {"thing1": "a"}


def test_a_page_that_shows_two_versions_of_a_thing_is_not_new_each_time(ledger: PostgresLedger) -> None:
    """A function that lists a history shows each version in every scan."""
    page = [*items(1, "old"), *items(1, "new")]
    record(ledger, page)
    assert [record(ledger, page) for _ in range(3)] == [0, 0, 0]
    assert ledger.known(source_of(ledger).id) == {"thing0": "new"}


@pytest.mark.parametrize("key", ["", " ", "ü/ß", "a\nb", "'; drop table item; --", "%(source)s", "é" * 500, "x" * 1024])
def test_a_key_may_be_any_text(key: str, ledger: PostgresLedger) -> None:
    metadata = {"deep": [1, {"text": key}], "none": None}
    assert record(ledger, [Item(key=key, version=key, partition=key, metadata=metadata, source="world")]) == 1
    (batch,) = emit(ledger, 0, new_id=identities()).batches
    (item,) = ledger.batch_items(batch)
    assert (item.key, item.version, item.partition, item.metadata) == (key, key, key, metadata)


@pytest.mark.parametrize(
    "bad",
    [
        Item(key="a\0b", version="1", source="world"),
        Item(key="\ud800", version="1", source="world"),
        Item(key="x" * 3000, version="1", source="world"),
        Item(key="bad", version="\0", source="world"),
        Item(key="bad", version="x" * 3000, source="world"),
        Item(key="bad", version="1", source="world", metadata={"text": "a\0b"}),
        Item(key="bad", version="1", source="world", metadata={"\udfff": 1}),
    ],
    ids=["NUL", "surrogate", "long key", "NUL version", "long version", "NUL in metadata", "surrogate in metadata"],
)
def test_an_item_that_cannot_be_stored_is_quarantined_and_its_page_is_recorded(
    bad: Item, ledger: PostgresLedger
) -> None:
    page = [*items(1), bad]
    assert [record(ledger, page) for _ in range(2)] == [2, 0]
    (batch,) = emit(ledger, 0, new_id=identities()).batches
    assert [item.key for item in ledger.batch_items(batch)] == ["thing0"]
    assert ledger.status()[0]["quarantined"] == 1


# --- kill -9 between two statements


Stage = Literal["seen", "parked", "launched"]

# The second day is still to come, so that what is seen of it waits beside the log.
ONE_DAY, BOTH_DAYS = Days(frozenset(DAYS[1:]), join=True), Days(frozenset(), join=True)


@contextmanager
def _ready(schema: LedgerSchema, stage: Stage) -> Generator[tuple[PostgresLedger, list[BatchRecord]]]:
    """Give a ledger with five things seen, and perhaps those of the second day parked, or three batches launched."""
    schema.empty()
    ledger = schema.open()
    try:
        emit(ledger, 0, new_id=identities(10**6))
        record(ledger, items(5))
        if stage == "parked":
            emit(ledger, 0, new_id=identities(), max_items=5, partitions=ONE_DAY)
        yield ledger, list(emit(ledger, 0, new_id=identities()).batches if stage == "launched" else ())
    finally:
        ledger.close()


Work = Callable[[PostgresLedger, list[BatchRecord]], object]


def _finish(ledger: PostgresLedger, batches: list[BatchRecord]) -> None:
    rejected = ledger.batch_items(batches[0])[0]
    ledger.finish(CONSUMER, batches[0].id, "run", rejected=[(rejected, "broken")], gone=[], now=NOW)


def _settle(outcome: RunOutcome, *, batch: int, retry: Retry) -> Work:
    def work(ledger: PostgresLedger, batches: list[BatchRecord]) -> None:
        settlement = settle(
            batches[batch], outcome, retry=retry, error="broken", sink_works=True, now=NOW, new_id=identities(50)
        )
        assert settlement is not None
        ledger.settle(settlement, NOW)

    return work


CRASHES: dict[str, tuple[Stage, Work]] = {
    "recording a page": ("seen", lambda ledger, batches: record(ledger, items(7, "2"), {"page": 1})),
    "emitting": ("seen", lambda ledger, batches: emit(ledger, 0, new_id=identities())),
    "parking": ("seen", lambda ledger, batches: emit(ledger, 0, new_id=identities(), partitions=ONE_DAY)),
    "unparking": ("parked", lambda ledger, batches: emit(ledger, 1, new_id=identities(50), partitions=BOTH_DAYS)),
    "finishing": ("launched", _finish),
    "trying again later": ("launched", _settle("failed", batch=0, retry=Retry())),
    "halving": ("launched", _settle("failed", batch=0, retry=Retry(max_failures=1))),
    "quarantining": ("launched", _settle("failed", batch=2, retry=Retry(max_failures=1))),
}


def _crash_everywhere(schema: LedgerSchema, stage: Stage, work: Work) -> int:
    """Kill a process after each message and check that everything or nothing happened; return the number of kills."""
    with _ready(schema, stage) as (ledger, batches):
        before = _comparable(content(schema))
        work(ledger, batches)
        after = _comparable(content(schema))
    assert before != after
    happened: list[bool] = []

    def in_new_process(arm: Arm) -> None:
        ledger = schema.open()
        now = [found for batch in batches if (found := ledger.batch(batch.id))]
        arm()
        work(ledger, now)

    kills = killed_everywhere(in_new_process)
    while True:
        with _ready(schema, stage) as (ledger, _):
            if next(kills, None) is None:
                break
            now = _comparable(content(schema))
            assert now in (before, after), f"half of it happened after {len(happened) + 1} messages"
            happened.append(now == after)
            _goes_on_to_a_good_end(schema, ledger)
    assert happened == sorted(happened)
    assert (happened[0], happened[-1]) == (False, True)
    return len(happened)


def _comparable(rows: list[list[Any]]) -> list[list[Any]]:
    """Replace the ids of sources and consumers by smaller numbers: they grow each time that the ledger is emptied."""
    ids: dict[tuple[str, int], int] = {}

    def same(row: tuple[Any, ...], columns: dict[int, str]) -> tuple[Any, ...]:
        return tuple(
            ids.setdefault((columns[place], value), len(ids)) if place in columns else value
            for place, value in enumerate(row)
        )

    # Which columns hold such ids, in the queries of CONTENT.
    shapes: list[dict[int, str]] = [
        {},
        {0: "source"},
        {0: "consumer", 1: "source"},
        {0: "consumer", 1: "source"},
        {},
        {},
        {1: "source"},
        {0: "source", 2: "consumer"},
    ]
    return [[same(row, shape) for row in table] for table, shape in zip(rows, shapes, strict=True)]


def _goes_on_to_a_good_end(schema: LedgerSchema, ledger: PostgresLedger) -> None:
    """Evaluate and finish until nothing is left; then each arrival was in one batch that is done, or set aside."""
    record(ledger, items(7, "2"), {"page": 1})
    with _looking(schema) as database:
        # What waits for its next attempt waits for a time that does not come here.
        database.execute("update batch set not_before = null")
        by_day = database.execute("select 1 from batch where partitions <> '{}'").fetchone()
        partitions = BOTH_DAYS if by_day else None
        epoch, left = 0, True
        while left:
            epoch = emit(ledger, epoch, new_id=identities(1000 * (epoch + 1)), partitions=partitions).epoch
            flying = ledger.launched([CONSUMER], MONITOR, epoch)
            for batch in flying:
                ledger.finish(CONSUMER, batch.id, "run", rejected=[], gone=[], now=NOW)
            left = bool(flying)
        states = {row["state"] for row in database.execute("select state from batch")}
    assert states <= {"done", "split", "quarantined"}
    _assert_each_arrival_is_in_one_batch(schema, 12)


@pytest.mark.parametrize("doing", CRASHES)
def test_kill_9_while(doing: str, ledger_schema: LedgerSchema) -> None:
    assert _crash_everywhere(ledger_schema, *CRASHES[doing]) >= 4


@pytest.mark.parametrize("doing", ["emitting", "unparking", "halving"])
def test_a_ledger_without_transactions_does_not_survive_kill_9(
    doing: str, ledger_schema: LedgerSchema, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that the test above is known to notice."""

    @contextmanager
    def each_statement_alone(self: PostgresLedger) -> Generator[psycopg.Connection[DictRow]]:
        with _looking(ledger_schema) as connection:
            yield connection

    monkeypatch.setattr(PostgresLedger, "transaction", each_statement_alone)
    with pytest.raises(AssertionError):
        _crash_everywhere(ledger_schema, *CRASHES[doing])


# --- rights


def test_a_team_cannot_touch_another_teams_ledger(new_schema: Callable[[str], str]) -> None:
    urls = {team: new_schema(team) for team in ("sales", "audit")}
    for team, url in urls.items():
        migrate(url, team)
    ledger = PostgresLedger(urls["audit"], "audit")
    record(ledger, items(1))
    ledger.close()
    intruder = PostgresLedger(urls["sales"], "audit")
    with pytest.raises(LedgerError):
        intruder.sources(["world"])
    intruder.close()
    with pytest.raises(LedgerError, match="schema 'audit' does not exist"):
        migrate(urls["sales"], "audit")
    with psycopg.connect(urls["sales"], autocommit=True) as connection:
        for statement in (
            "select * from audit.item",
            "insert into audit.monitor values ('mine', 1)",
            "update audit.source set arrivals = 0",
            "create table audit.mine ()",
            "drop schema audit cascade",
            "set role audit",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(statement)  # type: ignore[arg-type]


# --- migrations


def test_migrating_twice_changes_nothing(new_schema: Callable[[str], str]) -> None:
    url = new_schema("twice")
    migrate(url, "twice")
    ledger = PostgresLedger(url, "twice")
    record(ledger, items(1))
    migrate(url, "twice")
    assert source_of(ledger).arrivals == 1
    ledger.close()


def test_migrating_at_once_in_several_processes_works_in_each(
    migrated: LedgerSchema, new_schema: Callable[[str], str]
) -> None:
    url = new_schema("at_once")
    children = [_start_in_child(lambda: migrate(url, "at_once")) for _ in range(4)]
    assert [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children] == [0, 0, 0, 0]
    assert _revision(url, "at_once") == _revision(migrated.url, migrated.schema)


def test_a_migration_killed_anywhere_is_completed_by_the_next(
    postgres: Any, migrated: LedgerSchema, new_schema: Callable[[str], str]
) -> None:
    url = new_schema("half")

    def migrate_armed(arm: Arm) -> None:
        arm()
        migrate(url, "half")

    for _ in killed_everywhere(migrate_armed):
        migrate(url, "half")
        assert _revision(url, "half") == _revision(migrated.url, migrated.schema)
        ledger = PostgresLedger(url, "half")
        assert record(ledger, items(1)) == 1
        ledger.close()
        with psycopg.connect(postgres.url(), autocommit=True) as connection:
            connection.execute("drop schema half cascade")
            connection.execute("create schema half authorization half")


def _revision(url: str, schema: str) -> str:
    with psycopg.connect(url, options=f"-c search_path={schema}") as connection:
        row = connection.execute("select version_num from alembic_version").fetchone()
    assert row is not None
    return str(row[0])


def _start_in_child(work: Callable[[], object]) -> int:
    child = os.fork()
    if child == 0:
        try:
            work()
        except BaseException:  # noqa: BLE001 - a forked child must never return into pytest
            os._exit(1)
        os._exit(0)
    return child


# --- a ledger that cannot be used


def test_a_ledger_that_is_not_migrated_says_so_and_what_to_do(new_schema: Callable[[str], str]) -> None:
    ledger = PostgresLedger(new_schema("bare"), "bare")
    with pytest.raises(
        LedgerError, match="schema 'bare' is not migrated for this version: run `sensor-assets migrate`"
    ):
        ledger.sources(["world"])
    ledger.close()


def test_a_database_that_is_not_there_is_named_in_the_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = f"postgresql://team@/ledger?host={tmp_path}"
    impatient: Any = lambda *arguments, **named: ConnectionPool(*arguments, **{**named, "timeout": 0.5})  # noqa: E731
    monkeypatch.setattr(_postgres, "ConnectionPool", impatient)
    logging.getLogger("psycopg.pool").setLevel(logging.ERROR)
    ledger = PostgresLedger(url, "team")
    for use in (
        lambda: ledger.sources(["world"]),
        lambda: ledger.exclusive("consumer", ["a"]).__enter__(),
        lambda: migrate(url, "team"),
    ):
        with pytest.raises(LedgerError, match="the ledger's database cannot be reached") as raised:
            use()
        assert str(tmp_path) in str(raised.value)
    ledger.close()


def test_migrating_a_schema_that_is_not_there_says_so(schema_url: str) -> None:
    with pytest.raises(LedgerError, match="schema 'nowhere' does not exist"):
        migrate(schema_url, "nowhere")


def test_a_broken_connection_is_replaced_and_not_surfaced(ledger: PostgresLedger, postgres: Any) -> None:
    record(ledger, items(1))
    _break_connections(postgres.url())
    assert source_of(ledger).arrivals == 1


def _break_connections(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'sensor_assets'"
        )


# --- the right to write


def test_only_one_at_a_time_has_the_right_to_write_a_partition(ledger_schema: LedgerSchema) -> None:
    first, second = ledger_schema.open(), ledger_schema.open()
    order: list[str] = []

    def write(ledger: PostgresLedger, name: str) -> None:
        with ledger.exclusive("asset", ["b", "a"]):
            order.append(f"{name} begins")
            time.sleep(0.3)
            order.append(f"{name} ends")

    with ThreadPoolExecutor(2) as threads:
        list(threads.map(write, (first, second), ("one", "two")))
    assert order in (
        ["one begins", "one ends", "two begins", "two ends"],
        ["two begins", "two ends", "one begins", "one ends"],
    )


def test_other_partitions_and_assets_do_not_wait(ledger_schema: LedgerSchema) -> None:
    ledger = ledger_schema.open()
    with (
        ledger.exclusive("asset", ["a"]),
        ledger.exclusive("asset", ["b"]),
        ledger.exclusive("other", ["a"]),
        ledger.exclusive("asset", []),
    ):
        pass


def test_the_right_of_a_killed_process_passes_on(ledger_schema: LedgerSchema, tmp_path: Path) -> None:
    held = tmp_path / "held"

    def hold_for_ever() -> None:
        with ledger_schema.open().exclusive("asset", ["a"]):
            held.touch()
            time.sleep(LONG)

    child = _start_in_child(hold_for_ever)
    _until(held.exists)
    taken = threading.Event()

    def take() -> None:
        with ledger_schema.open().exclusive("asset", ["a"]):
            taken.set()

    waiting = threading.Thread(target=take)
    waiting.start()
    assert not taken.wait(0.3)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    assert taken.wait(LONG)
    waiting.join()


def test_losing_the_connection_that_holds_the_right_does_not_fail_work_that_is_done(
    ledger: PostgresLedger, postgres: Any
) -> None:
    with ledger.exclusive("asset", ["a"]):
        _break_connections(postgres.url())
        record(ledger, items(1))
    assert source_of(ledger).arrivals == 1


def _until(reached: Callable[[], bool]) -> None:
    deadline = time.monotonic() + LONG
    while not reached():
        assert time.monotonic() < deadline
        time.sleep(0.02)


# --- numbers


def test_the_status_counts_every_item_once(ledger: PostgresLedger) -> None:
    def row() -> dict[str, Any]:
        (row,) = ledger.status()
        counts = {name: row[name] for name in ("seen", "waiting", "in_flight", "done", "quarantined")}
        assert counts["seen"] == sum(counts.values()) - counts["seen"]
        assert all(number >= 0 for number in counts.values())
        return counts

    emit(ledger, 0, new_id=identities(10**6))
    assert row() == {"seen": 0, "waiting": 0, "in_flight": 0, "done": 0, "quarantined": 0}
    record(ledger, items(9))
    assert row() == {"seen": 9, "waiting": 9, "in_flight": 0, "done": 0, "quarantined": 0}
    batches = emit(ledger, 0, new_id=identities()).batches
    assert row() == {"seen": 9, "waiting": 3, "in_flight": 6, "done": 0, "quarantined": 0}
    ledger.finish(CONSUMER, batches[0].id, "run", rejected=[], gone=[], now=NOW)
    assert row() == {"seen": 9, "waiting": 3, "in_flight": 4, "done": 2, "quarantined": 0}
    bad = ledger.batch_items(batches[1])[0]
    ledger.finish(CONSUMER, batches[1].id, "run", rejected=[(bad, "broken")], gone=[], now=NOW)
    assert row() == {"seen": 9, "waiting": 3, "in_flight": 2, "done": 3, "quarantined": 1}
    _settle("vanished", batch=2, retry=Retry())(ledger, list(batches))
    assert row() == {"seen": 9, "waiting": 5, "in_flight": 0, "done": 3, "quarantined": 1}


def test_the_status_counts_an_item_that_another_run_rejected_once(ledger: PostgresLedger) -> None:
    """A run that rebuilds a partition rejects items whose own batch has not run yet, or is not even cut."""
    emit(ledger, 0, new_id=identities(10**6))
    record(ledger, items(9))
    batches = emit(ledger, 0, new_id=identities()).batches
    newest = ledger.newest_items(CONSUMER, [source_of(ledger).id])
    rejected = [(item, "broken") for item in newest if item.arrival in (1, 3, 9)]
    ledger.finish(CONSUMER, batches[0].id, "run", rejected=rejected, gone=[], now=NOW)
    (row,) = ledger.status()
    assert row["done"] == 1
    assert row["done"] + row["waiting"] + row["in_flight"] + row["quarantined"] == row["seen"]


def test_an_item_in_quarantine_is_left_out_and_its_next_version_is_not(ledger: PostgresLedger) -> None:
    emit(ledger, 0, new_id=identities(10**6))
    record(ledger, items(2))
    (batch,) = emit(ledger, 0, new_id=identities()).batches
    bad, good = ledger.batch_items(batch)
    ledger.finish(CONSUMER, batch.id, "run", rejected=[(bad, "broken")], gone=[], now=NOW)
    source_id = source_of(ledger).id
    assert ledger.newest_items(CONSUMER, [source_id]) == [good]
    assert ledger.newest_items("another consumer", [source_id]) == [bad, good]
    record(ledger, items(1, "2"))
    assert [item.version for item in ledger.newest_items(CONSUMER, [source_id])] == ["1", "2"]


def test_a_batch_leaves_out_what_a_newer_arrival_replaced(ledger: PostgresLedger) -> None:
    record(ledger, items(3))
    first, second = emit(ledger, 0, new_id=identities()).batches
    record(ledger, items(1, "2"))
    assert [item.key for item in ledger.batch_items(first)] == ["thing1"]
    assert [item.key for item in ledger.batch_items(second)] == ["thing2"]
    (third,) = emit(ledger, 1, new_id=identities(50)).batches
    assert [(item.key, item.version) for item in ledger.batch_items(third)] == [("thing0", "2")]


def test_a_ledger_restored_behind_the_cursor_goes_on_from_what_dagster_has_taken(ledger: PostgresLedger) -> None:
    assert emit(ledger, 7, new_id=identities()).epoch == 7
    record(ledger, items(1))
    emission = emit(ledger, 7, new_id=identities())
    assert (emission.epoch, len(emission.batches)) == (8, 1)


# --- the cost of an evaluation in which nothing happens


class NoRuns:
    def report(self, batches: Any) -> dict[str, RunReport]:
        return {}


@dataclass
class Cost:
    statements: int = 0
    transactions: int = 0


def _cost(monkeypatch: pytest.MonkeyPatch, work: Callable[[], object]) -> Cost:
    cost = Cost()
    execute, transaction = psycopg.Cursor.execute, psycopg.Connection.transaction

    def counting_statements(self: Any, query: Any, *arguments: Any, **named: Any) -> Any:
        cost.statements += query != ""  # the pool's question whether a connection is alive
        return execute(self, query, *arguments, **named)

    def counting_transactions(self: Any, *arguments: Any, **named: Any) -> Any:
        cost.transactions += 1
        return transaction(self, *arguments, **named)

    with monkeypatch.context() as patch:
        patch.setattr(psycopg.Cursor, "execute", counting_statements)
        patch.setattr(psycopg.Connection, "transaction", counting_transactions)
        work()
    return cost


@pytest.mark.parametrize(
    ("sources", "due", "statements", "transactions"),
    [(1, False, 3, 3), (200, False, 3, 3), (1, True, 5, 5), (200, True, 5, 5)],
)
def test_an_evaluation_without_news_costs_few_statements(
    sources: int,
    due: bool,
    statements: int,
    transactions: int,
    ledger: PostgresLedger,
    schema_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def shown(context: ScanContext) -> Iterator[Item]:
        yield from items(3)

    every = 1e-6 if due else 3600
    followed = [source(f"world{number}", every=every)(shown) for number in range(sources)]
    consumers = [_consumer(each) for each in followed]
    runtime = Runtime(
        settings=Settings(
            environment="local", team="t", location="l", ledger_url=SecretStr(schema_url), ledger_schema="team_a"
        ),
        consumers=consumers,
        ledger=ledger,
    )
    cursor = Cursor()

    def evaluate_once() -> None:
        nonlocal cursor
        answer = evaluate(
            runtime,
            MONITOR,
            consumers=consumers,
            cursor=cursor,
            runs=NoRuns(),
            policies={consumer.name: consumer.policy(lambda name: []) for consumer in consumers},
            resources={},
            log=logging.getLogger("test"),
        )
        assert len(answer.cursor.dump()) <= MAX_BYTES
        cursor = answer.cursor
        for batch in answer.batches:
            ledger.finish(batch.consumer, batch.id, "run", rejected=[], gone=[], now=runtime.clock.now())

    # Until every item is in a batch that is done, under the bound on launches.
    for _ in range(3 + sources // 25):
        evaluate_once()
    cost = _cost(monkeypatch, evaluate_once)
    assert cost.statements <= statements
    assert cost.transactions <= transactions


def _consumer(followed: Any) -> Consumer:
    key = dg.AssetKey(f"of_{followed.name}")
    return Consumer(
        name=key.to_user_string(),
        sources=(followed,),
        source_keys={followed.name: dg.AssetKey(followed.name)},
        outlets={None: Outlet(asset=key, definition=None)},
        batching=Batching(),
        retry=Retry(),
        max_in_flight=None,
        partitions_def=None,
        backfill_policy=None,
    )


# --- looking into the ledger


@contextmanager
def _looking(schema: LedgerSchema) -> Generator[psycopg.Connection[DictRow]]:
    options = f"-c search_path={schema.schema}"
    connect = psycopg.Connection[DictRow].connect
    with connect(schema.url, autocommit=True, options=options, row_factory=dict_row) as connection:
        yield connection


def _assert_each_arrival_is_in_one_batch(schema: LedgerSchema, arrivals: int) -> None:
    """Count the arrivals of all batches that were not replaced by their halves."""
    with _looking(schema) as database:
        slices = database.execute(
            "select l.* from slice l join batch b on b.id = l.batch_id where b.state <> 'split'"
        ).fetchall()
    taken = Counter(
        number for row in slices for number in (row["arrivals"] or range(row["first_arrival"], row["last_arrival"] + 1))
    )
    assert taken == Counter(range(1, arrivals + 1))
