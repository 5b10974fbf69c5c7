"""The page map of a source's listing."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, LiteralString, Protocol, TypeAlias

import psycopg
from psycopg.rows import DictRow

from sensor_assets._pages import ListingPage, Relisting, order, text
from sensor_assets.ledger import _sql

Connection: TypeAlias = psycopg.Connection[DictRow]

# Pages in doubt that one scan looks at.
MOST_DOUBTS = 20


class _Database(Protocol):
    def transaction(self) -> AbstractContextManager[Connection]: ...


class PostgresPageMap:
    """A source's page map in the ledger."""

    def __init__(self, database: _Database, source_id: int) -> None:
        self._database = database
        self._source_id = source_id

    def after(self, key: str | None, limit: int) -> Sequence[ListingPage]:
        return self._found(_sql.PAGES_FROM, {"start": _behind(key), "limit": limit})

    def before(self, key: str | None, limit: int) -> Sequence[ListingPage]:
        if key is None:
            return self._found(_sql.LAST_PAGES, {"limit": limit})[::-1]
        return self._found(_sql.PAGES_BEFORE, {"key": order(key), "limit": limit})[::-1]

    def _found(self, statement: LiteralString, asked: Mapping[str, Any]) -> list[ListingPage]:
        values = {"source": self._source_id, **asked}
        with self._database.transaction() as connection:
            rows = connection.execute(statement, values, binary=True).fetchall()
        return [ListingPage(last=text(row["last"]), keys=row["keys"], digest=bytes(row["digest"])) for row in rows]

    def doubtful(self) -> Sequence[str]:
        with self._database.transaction() as connection:
            rows = connection.execute(_sql.DOUBTFUL_PAGES, {"source": self._source_id, "limit": MOST_DOUBTS})
            return [text(row["last"]) for row in rows]


def replace(connection: Connection, source_id: int, relisting: Relisting) -> None:
    """Replace a stretch of the map, within the caller's transaction."""
    until = None if relisting.until is None else order(relisting.until)
    connection.execute(_sql.FORGET_PAGES, {"source": source_id, "start": _behind(relisting.after), "until": until})
    pages = relisting.pages
    if pages:
        columns = {
            "lasts": [order(page.last) for page in pages],
            "keys": [page.keys for page in pages],
            "digests": [page.digest for page in pages],
        }
        connection.execute(_sql.REMEMBER_PAGES, {"source": source_id, **columns})


def doubt(connection: Connection, source_id: int, key: str) -> None:
    """Let the next scan list the page again that holds a key, within the caller's transaction."""
    connection.execute(_sql.DOUBT_PAGE, {"source": source_id, "key": order(key)})


def _behind(key: str | None) -> bytes:
    """Return the least that comes after a key; without one, after nothing."""
    return b"" if key is None else order(key) + b"\0"
