"""What this process knows for certain of a database's schema."""

from collections.abc import Callable
from contextlib import AbstractContextManager

import sqlalchemy
from sqlalchemy.engine import Connection

from lean_postgres._dagster import StoragePart, alembic_revisions

COMPLETED = "select name from secondary_indexes where migration_completed is not null"


class Schema:
    """Answers that stay true: tables of the newest revision, completed data migrations.

    That something is missing is never remembered, because another process may be about to create it.
    """

    def __init__(self) -> None:
        self._tables: frozenset[str] = frozenset()
        self._completed: frozenset[str] = frozenset()
        self.is_other_version = False
        """Whether the last look found the revision of another version of Dagster, older or newer."""

    def is_current(self, part: StoragePart, connect: Callable[[], AbstractContextManager[Connection]]) -> bool:
        """Tell whether a part of the storage is what this version of Dagster would create.

        The revision alone does not say so: the three parts are created one after the other, and the first one already
        sets it.

        Args:
            part: what to look for.
            connect: opens the database; used when the answer is not known yet.
        """
        if not self._has(part):
            with connect() as connection:
                self._read(connection)
        return self._has(part)

    def is_completed(self, migration: str) -> bool:
        """Tell whether a data migration is known to be completed."""
        return migration in self._completed

    def _has(self, part: StoragePart) -> bool:
        return part.tables <= self._tables and part.migrations <= self._completed

    def _read(self, connection: Connection) -> None:
        found, newest = alembic_revisions(connection)
        self.is_other_version = found not in (None, newest)
        if found != newest:
            return
        tables = frozenset(sqlalchemy.inspect(connection).get_table_names())
        if "secondary_indexes" in tables:
            self._completed = frozenset(connection.exec_driver_sql(COMPLETED).scalars())
            self._tables = tables
