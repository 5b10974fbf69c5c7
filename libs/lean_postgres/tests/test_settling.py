"""What is on its way when a cursor is read is there when the cursor is used."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import dagster as dg
import psycopg
import pytest

from .conftest import NewDatabase
from .instances import LEAN, opened

FLIGHTS = dg.AssetKey("flights")


def latest(instance: dg.DagsterInstance) -> int | None:
    """Return the event that the record of the asset knows."""
    (record,) = instance.get_asset_records([FLIGHTS])
    known = record.asset_entry.last_materialization_record
    return known.storage_id if known else None


def report(instance: dg.DagsterInstance) -> None:
    instance.report_runless_asset_event(dg.AssetMaterialization(FLIGHTS))


def held_up(url: str, writing: Callable[[], None], statement: str) -> tuple[ThreadPoolExecutor, threading.Timer]:
    """Begin to write behind a lock that is released a tenth of a second after it has stopped the writer."""
    connection = psycopg.connect(url)
    connection.execute(statement.encode())
    thread = ThreadPoolExecutor(1)
    thread.submit(writing)
    with psycopg.connect(url, autocommit=True) as watching:
        while not watching.execute("select 1 from pg_locks where not granted").fetchone():
            pass
    release = threading.Timer(0.1, connection.close)
    release.start()
    return thread, release


def test_whoever_reads_the_newest_event_finds_the_asset_s_record_of_it(
    new_database: NewDatabase, tmp_path: Path
) -> None:
    url = new_database()
    with opened(LEAN, url, tmp_path) as instance:
        report(instance)
        before = latest(instance)
        thread, _ = held_up(url, lambda: report(instance), "lock table asset_keys in exclusive mode")
        cursor = instance.event_log_storage.get_maximum_record_id()
        known = latest(instance)
        thread.shutdown()
    assert before is not None
    assert known == cursor == before + 1


@pytest.mark.filterwarnings("ignore::dagster.BetaWarning")
def test_a_condition_sees_an_update_that_was_half_stored_when_it_looked(
    new_database: NewDatabase, tmp_path: Path
) -> None:
    upstream = dg.AssetSpec(FLIGHTS)

    @dg.asset(deps=[upstream], automation_condition=dg.AutomationCondition.any_deps_updated())
    def delays() -> None: ...

    url, defs = new_database(), dg.Definitions(assets=[upstream, delays])
    with opened(LEAN, url, tmp_path) as instance:
        report(instance)
        first = dg.evaluate_automation_conditions(defs, instance)
        thread, _ = held_up(url, lambda: report(instance), "lock table asset_keys in exclusive mode")
        requested = 0
        for _ in range(3):
            second = dg.evaluate_automation_conditions(defs, instance, cursor=first.cursor)
            requested, first = requested + second.total_requested, second
        thread.shutdown()
    assert requested == 1
