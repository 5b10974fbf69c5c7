"""Bodies of messages, kept because their queue forgets what is acknowledged."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TypeAlias

import psycopg
from psycopg.rows import DictRow

from sensor_assets._columns import Columns
from sensor_assets._items import MESSAGE
from sensor_assets.ledger import _sql

Connection: TypeAlias = psycopg.Connection[DictRow]


def keep(connection: Connection, source_id: int, items: Columns, bodies: Mapping[str, bytes], now: datetime) -> Columns:
    """Keep bodies within the caller's transaction; return the items without those of messages kept before.

    A queue delivers some messages twice, and not in order: a message that comes back after a newer one of the same key
    would look like a change.
    """
    if not bodies:
        return items
    values = {"source": source_id, "ids": list(bodies), "bodies": list(bodies.values()), "now": now}
    new = {row["id"] for row in connection.execute(_sql.KEEP_MESSAGES, values)}
    again = bodies.keys() - new
    return items.take([n for n in range(len(items)) if items.metadata.get(n, {}).get(MESSAGE) not in again])


def bodies(connection: Connection, source: str, messages: Sequence[str]) -> dict[str, bytes]:
    """Return bodies by message id, of those that are kept."""
    rows = connection.execute(_sql.MESSAGES, {"source": source, "ids": list(messages)})
    return {row["id"]: bytes(row["body"]) for row in rows}
