"""What is named in dagster.yaml: the storage of an instance, or each of its three parts.

A part of the storage is lean when its schema is current, and stock's own class in every other case: an empty database
is created, and an old one is read and migrated, by the code that Dagster tests for that.
"""

import functools
import json
import os
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from dagster import BoolSource, Field, IntSource
from dagster_postgres import (
    DagsterPostgresStorage,
    PostgresEventLogStorage,
    PostgresRunStorage,
    PostgresScheduleStorage,
)

from lean_postgres._dagster import (
    EVENTS,
    RUNS,
    SCHEDULES,
    ConfigurableClass,
    ConfigurableClassData,
    DagsterStorage,
    PooledRunStorage,
    StoragePart,
    UserConfigSchema,
    get_token_provider_from_config,
    pg_url_from_config,
    stock_config,
)
from lean_postgres._database import Database, Target, database
from lean_postgres._events import SettledEventLogStorage
from lean_postgres._schedules import OneStatementScheduleStorage
from lean_postgres._settings import pool_size

T = TypeVar("T")
Config = Mapping[str, Any]


@functools.cache  # asked for with every instance that a process makes
def config_type() -> dict[str, Any]:
    """Return stock's configuration and two keys more."""
    return {
        **stock_config(),
        "lean": Field(BoolSource, default_value=True, description="false: exactly dagster-postgres."),
        "pool_size": Field(
            IntSource,
            is_required=False,
            description="Connections that each process keeps, 2 by default; its variable DAGSTER_POSTGRES_POOL wins.",
        ),
    }


def _database(config: Config) -> Database:
    auth = config.get("auth_provider")
    target = Target(
        url=pg_url_from_config(config),
        auth="" if auth is None else json.dumps(auth, sort_keys=True),
        pool_size=pool_size(config.get("pool_size"), os.environ),
    )
    return database(target, lambda: get_token_provider_from_config(config))


def _part(
    part: StoragePart,
    stock: Callable[..., T],
    lean: Callable[..., T],
    config: Config,
    inst_data: ConfigurableClassData | None,
) -> T:
    """Return stock's class, or the lean one when that is wanted and the schema is current."""
    autocreate = config.get("should_autocreate_tables", True)

    def make_stock() -> T:
        return stock(pg_url_from_config(config), autocreate, inst_data, get_token_provider_from_config(config))

    if not config.get("lean", True):
        return make_stock()
    shared = _database(config)
    if not shared.is_current(part):
        # Its constructor creates what is missing, if it may.
        as_it_was = make_stock()
        if not autocreate or not shared.becomes_current(part):
            return as_it_was
    return lean(shared, inst_data, should_autocreate_tables=autocreate)


class LeanPostgresRunStorage(PooledRunStorage):
    """The run storage alone, for `run_storage` in dagster.yaml."""

    @classmethod
    def config_type(cls) -> UserConfigSchema:
        return config_type()

    @classmethod
    def from_config_value(  # pyright: ignore[reportIncompatibleMethodOverride]
        cls, inst_data: ConfigurableClassData | None, config_value: Config
    ) -> PostgresRunStorage:
        return _part(RUNS, PostgresRunStorage, cls, config_value, inst_data)


class LeanPostgresEventLogStorage(SettledEventLogStorage):
    """The event log storage alone, for `event_log_storage` in dagster.yaml."""

    @classmethod
    def config_type(cls) -> UserConfigSchema:
        return config_type()

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData | None, config_value: Config
    ) -> PostgresEventLogStorage:
        return _part(EVENTS, PostgresEventLogStorage, cls, config_value, inst_data)


class LeanPostgresScheduleStorage(OneStatementScheduleStorage):
    """The schedule storage alone, for `schedule_storage` in dagster.yaml."""

    @classmethod
    def config_type(cls) -> UserConfigSchema:
        return config_type()

    @classmethod
    def from_config_value(  # pyright: ignore[reportIncompatibleMethodOverride]
        cls, inst_data: ConfigurableClassData | None, config_value: Config
    ) -> PostgresScheduleStorage:
        return _part(SCHEDULES, PostgresScheduleStorage, cls, config_value, inst_data)


class LeanPostgresStorage(DagsterStorage[Any], ConfigurableClass):
    """The storage of an instance in Postgres, for `storage: custom:` in dagster.yaml.

    Takes the same configuration as `storage: postgres:` and keeps the same tables, so that either can follow the other.

    Example:
        ```yaml
        storage:
          custom:
            module: lean_postgres
            class: LeanPostgresStorage
            config:
              postgres_url: {env: DAGSTER_POSTGRES_URL}
        ```
    """

    def __init__(self, config: Config, inst_data: ConfigurableClassData | None = None) -> None:
        self._inst_data = inst_data
        self._runs = LeanPostgresRunStorage.from_config_value(inst_data, config)
        self._events = LeanPostgresEventLogStorage.from_config_value(inst_data, config)
        self._schedules = LeanPostgresScheduleStorage.from_config_value(inst_data, config)
        super().__init__()

    @property
    def inst_data(self) -> ConfigurableClassData | None:
        return self._inst_data

    @classmethod
    def config_type(cls) -> UserConfigSchema:
        return config_type()

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData | None, config_value: Config
    ) -> "LeanPostgresStorage | DagsterPostgresStorage":
        if not config_value.get("lean", True):
            return DagsterPostgresStorage.from_config_value(inst_data, config_value)  # type: ignore[arg-type]
        return cls(config_value, inst_data)

    @property
    def event_log_storage(self) -> PostgresEventLogStorage:
        return self._events

    @property
    def run_storage(self) -> PostgresRunStorage:
        return self._runs

    @property
    def schedule_storage(self) -> PostgresScheduleStorage:
        return self._schedules
