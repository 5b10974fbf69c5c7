"""What the lean storage knows of stock's inside; a new version of Dagster that changes it fails here, by name."""

import inspect
from collections.abc import Iterator
from typing import Any

import pytest
from dagster._core.storage.event_log import SqlEventLogStorage
from dagster._core.storage.runs import SqlRunStorage
from dagster._core.storage.schedules import SqlScheduleStorage
from dagster._utils.test.schedule_storage import TestScheduleStorage
from dagster_postgres import PostgresEventLogStorage, PostgresRunStorage, PostgresScheduleStorage
from lean_postgres import LeanPostgresEventLogStorage, LeanPostgresRunStorage, LeanPostgresScheduleStorage
from lean_postgres._dagster import EVENTS, RUNS, SCHEDULES

from .conftest import NewDatabase
from .instances import LEAN, opened

PAIRS = {
    LeanPostgresRunStorage: (SqlRunStorage, PostgresRunStorage),
    LeanPostgresEventLogStorage: (SqlEventLogStorage, PostgresEventLogStorage),
    LeanPostgresScheduleStorage: (SqlScheduleStorage, PostgresScheduleStorage),
}

CATALOG = ("db.inspect(", ".dialect.has_table(", "SecondaryIndexMigrationTable")
"""How stock asks for tables, columns and completed migrations."""

WRITES = {"__init__", "mark_index_built", "enable_secondary_index"}
"""Where it creates what is missing or notes a migration."""

# Stock's Postgres class overrides the only caller.
UNUSED = {"_has_asset_key_col_on_connection"}


def asking(stock: type[Any]) -> set[str]:
    """Return the names of a class's functions whose text asks the catalog."""
    found: set[str] = set()
    for name, member in vars(stock).items():
        function = member.fget if isinstance(member, property) else getattr(member, "func", member)
        if inspect.isfunction(function) and any(word in inspect.getsource(function) for word in CATALOG):
            found.add(name)
    return found - WRITES - UNUSED


def test_the_questions_of_stock_are_found() -> None:
    assert asking(SqlRunStorage) >= {"has_built_index", "has_backfill_id_column"}
    assert asking(SqlEventLogStorage) >= {"has_default_pool_limit_col", "has_secondary_index"}
    assert asking(PostgresEventLogStorage) == {"has_table"}


@pytest.mark.parametrize("lean", PAIRS, ids=lambda lean: lean.__name__)
def test_every_question_that_stock_asks_the_catalog_is_answered_without_it(lean: type[Any]) -> None:
    for stock in PAIRS[lean]:
        for name in asking(stock):
            owner = next(each for each in lean.__mro__ if name in vars(each))
            assert owner.__module__.startswith("lean_postgres."), f"{stock.__name__}.{name} is new and not answered"


def test_every_table_of_dagster_belongs_to_a_part() -> None:
    assert RUNS.tables >= {"runs", "run_tags", "bulk_actions", "backfill_tags", "daemon_heartbeats", "kvs"}
    assert EVENTS.tables >= {"event_logs", "asset_keys", "asset_check_executions", "concurrency_slots"}
    assert SCHEDULES.tables >= {"jobs", "instigators", "job_ticks", "asset_daemon_asset_evaluations"}


class TestDagstersOwnSuiteOfTheScheduleStorage(TestScheduleStorage):
    """Comes with Dagster; those of the other two storages only with its source, see `dagster_suites`."""

    __test__ = True

    @pytest.fixture(name="storage")
    def schedule_storage(self, new_database: NewDatabase, tmp_path: Any) -> Iterator[Any]:
        # It expects UTC: over a server in another zone, stock reads the times of its ticks shifted, and so does lean.
        with opened(LEAN, new_database(timezone="UTC"), tmp_path) as instance:
            assert isinstance(instance.schedule_storage, LeanPostgresScheduleStorage)
            yield instance.schedule_storage
