"""The page map of a source's listing."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import LiteralString, Protocol, TypeAlias

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
        return self._found(_sql.PAGES_AFTER, key, limit)

    def before(self, key: str | None, limit: int) -> Sequence[ListingPage]:
        return self._found(_sql.PAGES_BEFORE, key, limit)[::-1]

    def _found(self, statement: LiteralString, key: str | None, limit: int) -> list[ListingPage]:
        values = {"source": self._source_id, "key": _bytes(key), "limit": limit}
        with self._database.transaction() as connection:
            rows = connection.execute(statement, values, binary=True).fetchall()
        return [ListingPage(last=text(row["last"]), keys=row["keys"], digest=bytes(row["digest"])) for row in rows]

    def doubtful(self) -> Sequence[str]:
        with self._database.transaction() as connection:
            rows = connection.execute(_sql.DOUBTFUL_PAGES, {"source": self._source_id, "limit": MOST_DOUBTS})
            return [text(row["last"]) for row in rows]


def replace(connection: Connection, source_id: int, relisting: Relisting) -> None:
    """Replace a stretch of the map, within the caller's transaction."""
    stretch = {"after": _bytes(relisting.after), "until": _bytes(relisting.until)}
    connection.execute(_sql.FORGET_PAGES, {"source": source_id, **stretch})
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
    connection.execute(_sql.DOUBT_PAGE, {"source": source_id, "key": _bytes(key)})


def _bytes(key: str | None) -> bytes | None:
    return None if key is None else order(key)
