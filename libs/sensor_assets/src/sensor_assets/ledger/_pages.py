"""The page map of a source's listing."""

from typing import TypeAlias

import psycopg
from psycopg.rows import DictRow

from sensor_assets._pages import ListingPage, Relisting
from sensor_assets.ledger import _sql

Connection: TypeAlias = psycopg.Connection[DictRow]


def replace(connection: Connection, source_id: int, relisting: Relisting) -> None:
    """Replace a stretch of the map, within the caller's transaction."""
    values = {"source": source_id, "after": relisting.after, "until": relisting.until}
    connection.execute(_sql.FORGET_PAGES, values)
    pages = relisting.pages
    connection.execute(
        _sql.REMEMBER_PAGES,
        {
            "source": source_id,
            "lasts": [page.last for page in pages],
            "keys": [page.keys for page in pages],
            "digests": [page.digest for page in pages],
        },
    )


def after(connection: Connection, source_id: int, key: str | None, limit: int) -> list[ListingPage]:
    """Return the first pages whose last key is greater than a key."""
    rows = connection.execute(_sql.PAGES_AFTER, {"source": source_id, "after": key, "limit": limit})
    return [ListingPage(last=row["last"], keys=row["keys"], digest=bytes(row["digest"])) for row in rows]
