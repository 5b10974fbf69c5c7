"""What dagster.yaml and the environment of a process may say."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml
from dagster_postgres import PostgresEventLogStorage, PostgresRunStorage, PostgresScheduleStorage
from lean_postgres import LeanPostgresEventLogStorage, LeanPostgresRunStorage
from tenancy.local.postgres import Postgres

from .conftest import NewDatabase
from .instances import LEAN, counted, opened
from .test_schema import LEAN_CLASSES, STOCK_CLASSES, classes


def custom(name: str, **config: Any) -> dict[str, Any]:
    return {"module": "lean_postgres", "class": name, "config": config}


def pool_size(instance: dg.DagsterInstance) -> int:
    storage: Any = instance.run_storage
    return storage._engine.pool.size()


def test_one_value_switches_back_to_exactly_stock(new_database: NewDatabase, tmp_path: Path) -> None:
    url = new_database()
    storage = {"custom": custom("LeanPostgresStorage", postgres_url=url, lean=False)}
    with opened(LEAN, url, tmp_path, storage=storage) as instance:
        assert classes(instance) == STOCK_CLASSES
        with counted() as counts:
            instance.get_runs_count()
            instance.get_runs_count()
        assert counts.connections == 2


def test_the_switch_can_be_a_variable(
    new_database: NewDatabase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = new_database()
    storage = {"custom": custom("LeanPostgresStorage", postgres_url=url, lean={"env": "LEAN"})}
    for value, expected in (("true", LEAN_CLASSES), ("false", STOCK_CLASSES)):
        monkeypatch.setenv("LEAN", value)
        with opened(LEAN, url, tmp_path, storage=storage) as instance:
            assert classes(instance) == expected


def test_the_database_can_be_given_in_parts(new_database: NewDatabase, postgres: Postgres, tmp_path: Path) -> None:
    url = new_database()
    parts = {
        "username": "postgres",
        "password": "not asked for",
        "hostname": "",
        "db_name": url.partition("@/")[2].partition("?")[0],
        "params": {"host": str(postgres.socket_dir), "application_name": "in parts"},
    }
    storage = {"custom": custom("LeanPostgresStorage", postgres_db=parts)}
    with opened(LEAN, url, tmp_path, storage=storage) as instance:
        assert classes(instance) == LEAN_CLASSES
        private: Any = instance.run_storage
        with private.connect() as connection:
            assert connection.exec_driver_sql("show application_name").scalar() == "in parts"


def test_each_of_the_three_storages_can_be_named_alone(new_database: NewDatabase, tmp_path: Path) -> None:
    runs, events = new_database(), new_database()
    settings = {
        "run_storage": custom("LeanPostgresRunStorage", postgres_url=runs),
        "event_log_storage": custom("LeanPostgresEventLogStorage", postgres_url=events),
        "schedule_storage": custom("LeanPostgresScheduleStorage", postgres_url=runs, lean=False),
    }
    home = tmp_path / "home"
    home.mkdir()
    (home / "dagster.yaml").write_text(yaml.safe_dump({**settings, "telemetry": {"enabled": False}}))
    with dg.DagsterInstance.from_config(str(home)) as instance:
        assert classes(instance) == [LeanPostgresRunStorage, LeanPostgresEventLogStorage, PostgresScheduleStorage]
        assert instance.get_runs_count() == 0
        assert instance.all_asset_keys() == []


@pytest.mark.parametrize(
    ("config", "variable", "expected"),
    [({}, None, 2), ({"pool_size": 5}, None, 5), ({"pool_size": 5}, "10", 10), ({}, " 3 ", 3), ({}, "", 2)],
)
def test_a_process_keeps_as_many_connections_as_its_variable_says_else_dagster_yaml_else_two(
    new_database: NewDatabase,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    config: Mapping[str, Any],
    variable: str | None,
    expected: int,
) -> None:
    if variable is not None:
        monkeypatch.setenv("DAGSTER_POSTGRES_POOL", variable)
    url = new_database()
    storage = {"custom": custom("LeanPostgresStorage", postgres_url=url, **config)}
    with opened(LEAN, url, tmp_path, storage=storage) as instance:
        assert pool_size(instance) == expected


@pytest.mark.parametrize(
    ("config", "variable", "message"),
    [
        ({}, "ten", "DAGSTER_POSTGRES_POOL is 'ten': it must be the number of Postgres connections"),
        ({}, "0", "DAGSTER_POSTGRES_POOL is '0'"),
        ({"pool_size": 0}, None, "pool_size in dagster.yaml is '0'"),
        ({"pool_size": -1}, None, "pool_size in dagster.yaml is '-1'"),
    ],
)
def test_a_pool_size_that_is_none_is_refused_with_its_place(
    new_database: NewDatabase,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    config: Mapping[str, Any],
    variable: str | None,
    message: str,
) -> None:
    if variable is not None:
        monkeypatch.setenv("DAGSTER_POSTGRES_POOL", variable)
    url = new_database()
    storage = {"custom": custom("LeanPostgresStorage", postgres_url=url, **config)}
    with pytest.raises(dg.DagsterInvariantViolationError, match=message), opened(LEAN, url, tmp_path, storage=storage):
        pass


def test_a_key_that_stock_does_not_know_is_refused_by_name(new_database: NewDatabase, tmp_path: Path) -> None:
    url = new_database()
    storage = {"custom": custom("LeanPostgresStorage", postgres_url=url, pol_size=3)}
    with pytest.raises(dg.DagsterInvalidConfigError, match="pol_size"), opened(LEAN, url, tmp_path, storage=storage):
        pass


def test_the_classes_are_stock_s_for_whoever_asks() -> None:
    pairs = zip(LEAN_CLASSES, [PostgresRunStorage, PostgresEventLogStorage, PostgresScheduleStorage], strict=True)
    assert all(issubclass(lean, stock) for lean, stock in pairs)
