"""The only module that touches what Dagster and dagster-postgres do not promise to keep, and why.

Imported:
- `ConfigurableClass`, `ConfigurableClassData`, `UserConfigSchema`, `DagsterStorage`: what a class named in dagster.yaml
  has to be. Documented for custom storages, not exported.
- `pg_config`, `pg_url_from_config`, `get_token_provider_from_config`: stock's configuration.
- `create_pg_engine`, `create_pg_connection`, `set_pg_statement_timeout`, `PgTokenProvider`: how stock connects: token
  authentication, and retries while the server is away.
- `check_alembic_revision`, `pg_alembic_config`: the revision of a database and that of the installed Dagster.
- the three `MetaData`, `SCHEDULE_JOBS_SELECTOR_ID`: the tables of each storage, and the data migration without which
  stock reads instigators from another table.
- `InstigatorState`, `InstigatorTick`, `TickData`, `TickStatus`, `serialize_value`, `deserialize_value`,
  `datetime_from_timestamp`, `get_current_datetime`: what the five hot methods take, return and store.

Overridden below: the questions about tables, columns and completed migrations that stock asks the database's catalog
anew on each call. For a schema known to be current the answers are constants. Also `_engine`, which stock makes without
a pool and uses for everything.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import dagster_postgres.run_storage
from dagster._config.config_schema import UserConfigSchema
from dagster._core.errors import DagsterInvariantViolationError
from dagster._core.scheduler.instigation import InstigatorState, InstigatorTick, TickData, TickStatus
from dagster._core.storage.base_storage import DagsterStorage
from dagster._core.storage.event_log import SqlEventLogStorageMetadata
from dagster._core.storage.event_log.schema import AssetKeyTable
from dagster._core.storage.runs import RunStorageSqlMetadata
from dagster._core.storage.schedules import ScheduleStorageSqlMetadata
from dagster._core.storage.schedules.migration import SCHEDULE_JOBS_SELECTOR_ID
from dagster._core.storage.sql import check_alembic_revision
from dagster._serdes import ConfigurableClass, ConfigurableClassData, deserialize_value, serialize_value
from dagster._time import datetime_from_timestamp, get_current_datetime
from dagster_postgres import PostgresEventLogStorage, PostgresRunStorage, PostgresScheduleStorage
from dagster_postgres.auth import PgTokenProvider
from dagster_postgres.utils import (
    create_pg_connection,
    create_pg_engine,
    get_token_provider_from_config,
    pg_alembic_config,
    pg_config,
    pg_url_from_config,
    set_pg_statement_timeout,
)
from sqlalchemy import MetaData
from sqlalchemy.engine import Connection

if TYPE_CHECKING:
    from lean_postgres._database import Database

__all__ = [
    "EVENTS",
    "RUNS",
    "SCHEDULES",
    "ConfigurableClass",
    "ConfigurableClassData",
    "DagsterInvariantViolationError",
    "DagsterStorage",
    "InstigatorState",
    "InstigatorTick",
    "PgTokenProvider",
    "PooledEventLogStorage",
    "PooledRunStorage",
    "PooledScheduleStorage",
    "StoragePart",
    "TickData",
    "TickStatus",
    "UserConfigSchema",
    "alembic_revisions",
    "create_pg_connection",
    "create_pg_engine",
    "datetime_from_timestamp",
    "deserialize_value",
    "get_current_datetime",
    "get_token_provider_from_config",
    "pg_url_from_config",
    "serialize_value",
    "set_pg_statement_timeout",
    "stock_config",
]


@dataclass(frozen=True)
class StoragePart:
    """What one of the three storages needs to find in a database."""

    tables: frozenset[str]
    migrations: frozenset[str]


def _part(metadata: MetaData, migrations: Collection[str] = ()) -> StoragePart:
    return StoragePart(frozenset(metadata.tables), frozenset(migrations))


RUNS = _part(RunStorageSqlMetadata)
EVENTS = _part(SqlEventLogStorageMetadata)
SCHEDULES = _part(ScheduleStorageSqlMetadata, [SCHEDULE_JOBS_SELECTOR_ID])


def stock_config() -> dict[str, Any]:
    """Return the configuration keys of `storage: postgres:`."""
    return cast("dict[str, Any]", pg_config())


def alembic_revisions(connection: Connection) -> tuple[Any, Any]:
    """Return the revision of a database, None for an empty one, and the newest of the installed Dagster."""
    return check_alembic_revision(pg_alembic_config(dagster_postgres.run_storage.__file__), connection)


class _Pooled:
    """What the three have in common; goes in front of stock's class."""

    def __init__(
        self, database: "Database", inst_data: ConfigurableClassData | None, *, should_autocreate_tables: bool
    ) -> None:
        stock: Any = super()
        # Nothing is missing, so nothing is to be created: with False stock's constructor does not connect.
        stock.__init__(database.url, False, inst_data, database.token_provider)  # noqa: FBT003
        self.should_autocreate_tables = should_autocreate_tables
        self._database = database
        self._engine = database.engine

    def optimize_for_webserver(self, statement_timeout: int, pool_recycle: int, max_overflow: int) -> None:
        self._engine = self._database.optimize_for_webserver(statement_timeout, pool_recycle, max_overflow)


class PooledRunStorage(_Pooled, PostgresRunStorage):
    """Stock's run storage over a shared pool and a schema known to be current."""

    def has_built_index(self, migration_name: str) -> bool:
        return self._database.schema.is_completed(migration_name) or super().has_built_index(migration_name)

    def has_run_stats_index_cols(self) -> bool:
        return True

    def has_bulk_actions_selector_cols(self) -> bool:
        return True

    def has_backfill_id_column(self) -> bool:
        return True

    def has_bulk_action_job_name_column(self) -> bool:
        return True

    def has_backfill_tags_table(self) -> bool:
        return True


class PooledEventLogStorage(_Pooled, PostgresEventLogStorage):
    """Stock's event log storage over a shared pool and a schema known to be current."""

    def has_table(self, table_name: str) -> bool:
        return table_name in EVENTS.tables or super().has_table(table_name)

    def has_secondary_index(self, name: str) -> bool:
        return self._database.schema.is_completed(name) or super().has_secondary_index(name)

    def has_asset_key_col(self, column_name: str) -> bool:
        return column_name in AssetKeyTable.c or super().has_asset_key_col(column_name)

    @property
    def has_default_pool_limit_col(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        return True


class PooledScheduleStorage(_Pooled, PostgresScheduleStorage):
    """Stock's schedule storage over a shared pool and a schema known to be current."""

    def has_instigators_table(self) -> bool:
        return True

    def _has_instigators_table(self, conn: Connection) -> bool:  # noqa: ARG002
        return True

    def _has_asset_daemon_asset_evaluations_table(self, conn: Connection) -> bool:  # noqa: ARG002
        return True

    def has_secondary_index_table(self) -> bool:
        return True

    @property
    def supports_auto_materialize_asset_evaluations(self) -> bool:
        return True

    def has_built_index(self, migration_name: str) -> bool:
        return self._database.schema.is_completed(migration_name) or super().has_built_index(migration_name)
