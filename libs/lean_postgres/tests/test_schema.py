"""An empty, an old, a half made and a newer database: lean where the schema is current, stock's own class elsewhere."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import dagster as dg
import lean_postgres._database
import pytest
import sqlalchemy
from dagster._core.storage.sql import run_alembic_downgrade
from dagster_postgres import PostgresEventLogStorage, PostgresRunStorage, PostgresScheduleStorage
from dagster_postgres.utils import pg_alembic_config
from lean_postgres import (
    LeanPostgresEventLogStorage,
    LeanPostgresRunStorage,
    LeanPostgresScheduleStorage,
    close_pools,
)

from .conftest import NewDatabase
from .instances import LEAN, STOCK, counted, execute, opened, rows, write_home
from .story import RUN_IDS, state, tick

STOCK_CLASSES = [PostgresRunStorage, PostgresEventLogStorage, PostgresScheduleStorage]
LEAN_CLASSES = [LeanPostgresRunStorage, LeanPostgresEventLogStorage, LeanPostgresScheduleStorage]

BEFORE_BACKFILL_TAGS = "284a732df317"
"""A revision without a table and some columns that Dagster has asked for since; four revisions have followed it."""

CATALOG = """
select 'column', table_name, column_name, data_type, column_default, is_nullable
from information_schema.columns where table_schema = 'public'
union all select 'index', tablename, indexname, indexdef, '', '' from pg_indexes where schemaname = 'public'
union all select 'constraint', conrelid::regclass::text, conname, pg_get_constraintdef(oid), '', ''
from pg_constraint where connamespace = 'public'::regnamespace
order by 1, 2, 3
"""


def classes(instance: dg.DagsterInstance) -> list[type[Any]]:
    """Return what serves an instance's runs, events and schedules."""
    return [type(instance.run_storage), type(instance.event_log_storage), type(instance.schedule_storage)]


def catalog(url: str) -> list[Any]:
    return execute(url, CATALOG)


def downgrade(url: str) -> None:
    engine = sqlalchemy.create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        config = pg_alembic_config(sys.modules[PostgresRunStorage.__module__].__file__ or "")
        run_alembic_downgrade(config, connection, BEFORE_BACKFILL_TAGS)
    engine.dispose()


@pytest.fixture
def current(new_database: NewDatabase) -> str:
    """Return the URL of a database of the newest revision, of which this process knows nothing."""
    return new_database()


def test_an_empty_database_becomes_what_stock_makes_of_it(new_database: NewDatabase, tmp_path: Path) -> None:
    stock_url, lean_url = new_database(empty=True), new_database(empty=True)
    with opened(STOCK, stock_url, tmp_path / "stock"), opened(LEAN, lean_url, tmp_path / "lean") as instance:
        assert classes(instance) == LEAN_CLASSES
    assert catalog(lean_url) == catalog(stock_url)
    assert rows(lean_url) == rows(stock_url)


def test_processes_that_start_at_once_on_an_empty_database_all_work(new_database: NewDatabase, tmp_path: Path) -> None:
    url, expected = new_database(empty=True), new_database()
    home = write_home(tmp_path / "home", LEAN, url)
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", PRINT_CLASSES],
            env={**os.environ, "DAGSTER_HOME": str(home)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(3)
    ]
    for process in processes:
        output, errors = process.communicate(timeout=120)
        assert output.split() == [each.__name__ for each in LEAN_CLASSES], errors
    assert catalog(url) == catalog(expected)


PRINT_CLASSES = """
import dagster as dg
with dg.DagsterInstance.get() as instance:
    for storage in (instance.run_storage, instance.event_log_storage, instance.schedule_storage):
        print(type(storage).__name__)
"""


def test_the_schema_is_looked_at_once_per_process(current: str, tmp_path: Path) -> None:
    with counted() as first, opened(LEAN, current, tmp_path / "first"):
        pass
    with counted() as second, opened(LEAN, current, tmp_path / "second") as instance:
        instance.get_runs_count()
    assert len(first.of_catalog) >= 3
    assert (len(second.statements), second.connections) == (1, 0)


def test_an_empty_database_stays_empty_where_tables_are_not_to_be_created(
    new_database: NewDatabase, tmp_path: Path
) -> None:
    url = new_database(empty=True)
    config = {"postgres_url": url, "should_autocreate_tables": False}
    storage = {"custom": {"module": "lean_postgres", "class": "LeanPostgresStorage", "config": config}}
    with opened(LEAN, url, tmp_path, storage=storage) as instance:
        assert classes(instance) == STOCK_CLASSES
    assert not catalog(url)


def test_an_old_database_is_read_and_written_by_stock_s_classes_until_it_is_migrated(
    current: str, tmp_path: Path
) -> None:
    downgrade(current)
    sensor = state("sensor")
    with opened(LEAN, current, tmp_path / "before") as instance:
        assert classes(instance) == STOCK_CLASSES
        instance.add_instigator_state(sensor)
        instance.create_tick(tick(sensor, 1))
        instance.add_run(dg.DagsterRun(job_name="job", run_id=RUN_IDS[0]))
        kept = rows(current)["job_ticks"]

    home = write_home(tmp_path / "home", LEAN, current)
    program = str(Path(sys.executable).with_name("dagster"))
    done = subprocess.run(
        [program, "instance", "migrate"],
        env={**os.environ, "DAGSTER_HOME": str(home)},
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr

    # The same process: that the schema was old was not remembered.
    with opened(LEAN, current, tmp_path / "after") as instance:
        assert classes(instance) == LEAN_CLASSES
        assert instance.get_run_by_id(RUN_IDS[0]) is not None
        assert instance.get_instigator_state(sensor.instigator_origin_id, sensor.selector_id) == sensor
    assert rows(current)["job_ticks"] == kept


def test_an_instance_that_was_opened_on_an_old_database_migrates_it(
    new_database: NewDatabase, current: str, tmp_path: Path
) -> None:
    expected = new_database()
    downgrade(current)
    with opened(LEAN, current, tmp_path) as instance:
        instance.upgrade()
        instance.reindex()
        instance.add_run(dg.DagsterRun(job_name="job", run_id=RUN_IDS[0], tags={"dagster/backfill": "b"}))
    # Of the indexes, Dagster itself makes others in a new database than in a migrated one.
    columns = [{row[1:4] for row in catalog(url) if row[0] == "column"} for url in (current, expected)]
    assert columns[0] == columns[1]


def test_migrating_a_current_database_changes_nothing(current: str, tmp_path: Path) -> None:
    before = catalog(current), rows(current)
    with opened(LEAN, current, tmp_path) as instance:
        instance.upgrade()
        instance.reindex()
    assert (catalog(current), rows(current)) == before


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("drop table pending_steps", [STOCK_CLASSES[1]]),
        ("delete from secondary_indexes where name = 'schedule_jobs_selector_id'", [STOCK_CLASSES[2]]),
        ("update alembic_version set version_num = 'ffffffffffff'", STOCK_CLASSES),
    ],
    ids=["a table is missing", "a data migration is missing", "a newer Dagster made it"],
)
def test_what_is_not_as_this_dagster_would_make_it_is_left_to_stock(
    current: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, statement: str, expected: list[type[Any]]
) -> None:
    monkeypatch.setattr(lean_postgres._database, "CREATION_SECONDS", 0.1)
    execute(current, statement)
    with opened(LEAN, current, tmp_path) as instance:
        assert [each for each in classes(instance) if each in STOCK_CLASSES] == expected


def test_a_data_migration_that_is_completed_later_is_noticed(current: str, tmp_path: Path) -> None:
    name = "schedule_ticks_selector_id"
    execute(current, f"delete from secondary_indexes where name = '{name}'")
    with opened(LEAN, current, tmp_path) as instance:
        storage: Any = instance.schedule_storage
        assert classes(instance) == LEAN_CLASSES
        assert not storage.supports_batch_queries
        instance.reindex()
        assert storage.supports_batch_queries


def test_stock_and_lean_read_what_the_other_wrote(current: str, tmp_path: Path) -> None:
    sensor = state("sensor", cursor="1")
    with opened(LEAN, current, tmp_path / "lean") as lean, opened(STOCK, current, tmp_path / "stock") as stock:
        for age, (writer, reader) in enumerate([(stock, lean), (lean, stock)]):
            if writer is stock:
                writer.add_instigator_state(sensor)
            changed = state("sensor", cursor=f"of {type(writer.schedule_storage).__name__}")
            writer.update_instigator_state(changed)
            made = writer.create_tick(tick(sensor, -age))
            assert reader.get_instigator_state(sensor.instigator_origin_id, sensor.selector_id) == changed
            assert reader.get_ticks(sensor.instigator_origin_id, sensor.selector_id, limit=1) == [made]


def test_a_database_that_was_replaced_is_looked_at_again_after_the_pools_were_closed(
    current: str, tmp_path: Path
) -> None:
    with opened(LEAN, current, tmp_path / "before"):
        pass
    execute(current, "drop schema public cascade")
    execute(current, "create schema public")
    close_pools()
    with opened(LEAN, current, tmp_path / "after") as instance:
        assert instance.get_runs_count() == 0
