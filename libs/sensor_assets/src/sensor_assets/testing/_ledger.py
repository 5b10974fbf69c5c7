"""A migrated ledger for tests, emptied before each."""

import os
from types import TracebackType
from typing import Self

import psycopg
from psycopg import sql

from sensor_assets.ledger import PostgresLedger, migrate

_TABLES = "select tablename from pg_tables where schemaname = %s and tablename <> 'alembic_version'"


class LedgerSchema:
    """A schema with the library's tables in some database, for one session of tests.

    Args:
        url: ``postgresql://role@host/database``; the role may create a schema.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.schema = f"sensor_assets_test_{os.getpid()}"

    def __enter__(self) -> Self:
        self._execute("create schema {}")
        migrate(self.url, self.schema)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._execute("drop schema {} cascade")

    def _execute(self, statement: str) -> None:
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(sql.SQL(statement).format(sql.Identifier(self.schema)))  # type: ignore[arg-type]

    def empty(self) -> None:
        """Delete everything in the ledger."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            tables = [sql.Identifier(self.schema, name) for (name,) in connection.execute(_TABLES, [self.schema])]
            connection.execute(sql.SQL("truncate {} restart identity cascade").format(sql.SQL(", ").join(tables)))

    def open(self) -> PostgresLedger:
        """Return the ledger with a connection pool of its own; the caller closes it."""
        return PostgresLedger(self.url, self.schema)
