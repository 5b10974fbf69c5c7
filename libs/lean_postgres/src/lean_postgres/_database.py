"""A database as one process sees it, shared by every storage over it.

Module state, because Dagster makes storages anew all the time (a sensor that touches `context.instance` makes three)
and offers no place that lives as long as the process.
"""

import os
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

from sqlalchemy.engine import Connection, Engine

from lean_postgres._dagster import PgTokenProvider, StoragePart, create_pg_connection
from lean_postgres._engine import UNLIMITED, pooled_engine
from lean_postgres._schema import Schema

STORAGES = 3

CREATION_SECONDS = 2.0
"""How long, once in its life, a process waits for a schema that seems to be half made."""


@dataclass(frozen=True)
class Target:
    """What makes two storages share their connections.

    Args:
        url: of the database.
        auth: the configuration of the token provider as text; empty for a password in the URL.
        pool_size: connections to keep.
    """

    url: str
    auth: str
    pool_size: int


class Database:
    """The connections to one database, and what is known of it."""

    def __init__(self, target: Target, token_provider: PgTokenProvider | None) -> None:
        self.url = target.url
        self.token_provider = token_provider
        self.engine = pooled_engine(target.url, token_provider, size=target.pool_size)
        self.schema = Schema()
        self.purged_before: dict[tuple[str, str, frozenset[str]], float] = {}
        self._webserver: tuple[int, int, int] | None = None
        self._has_waited = False

    def connect(self) -> AbstractContextManager[Connection]:
        """Open a connection of the pool; tried again for some seconds while the server is away, as stock does."""
        return create_pg_connection(self.engine)

    def is_current(self, part: StoragePart) -> bool:
        """Tell whether a part of the storage has the schema that this version of Dagster would create."""
        return self.schema.is_current(part, self.connect)

    def becomes_current(self, part: StoragePart) -> bool:
        """Tell whether a part of the storage is current now or soon, as when another process is creating it.

        Without the patience the processes that start with an empty database would stay with stock for all their life.
        """
        deadline = time.monotonic() + CREATION_SECONDS
        while not self.is_current(part):
            if self._has_waited or self.schema.is_other_version:
                return False
            self._has_waited = time.monotonic() > deadline
            time.sleep(0.1)
        return True

    def optimize_for_webserver(self, statement_timeout: int, pool_recycle: int, max_overflow: int) -> Engine:
        """Return the engine for the webserver, the same one to each of its three storages.

        Stock's webserver keeps one connection for each storage and may open `max_overflow` more for each: the shared
        pool has as many.
        """
        with _lock:
            settings = (statement_timeout, pool_recycle, max_overflow)
            if self._webserver != settings:
                self._webserver = settings
                self.engine.dispose()
                self.engine = pooled_engine(
                    self.url,
                    self.token_provider,
                    size=STORAGES,
                    max_overflow=STORAGES * max_overflow if max_overflow >= 0 else UNLIMITED,
                    recycle=pool_recycle,
                    statement_timeout=statement_timeout,
                )
            return self.engine


_databases: dict[Target, Database] = {}
_lock = threading.Lock()


def database(target: Target, token_provider: Callable[[], PgTokenProvider | None]) -> Database:
    """Return this process's view of a database; the token provider is made for the first caller and serves all."""
    with _lock:
        if target not in _databases:
            _databases[target] = Database(target, token_provider())
        return _databases[target]


def close_pools() -> None:
    """Close every idle connection of this process and forget what is known of the databases.

    For tests that drop or replace a database; storages that exist go on working.
    """
    with _lock:
        for known in _databases.values():
            known.engine.dispose()
            known.schema = Schema()
            known.purged_before.clear()
        _databases.clear()


def _leave_to_parent() -> None:
    """Start a forked child with empty pools; the connections in them go on belonging to the parent."""
    global _lock  # noqa: PLW0603 - a thread of the parent that held it does not exist here and cannot release it
    _lock = threading.Lock()
    for known in _databases.values():
        known.engine.dispose(close=False)


os.register_at_fork(after_in_child=_leave_to_parent)
