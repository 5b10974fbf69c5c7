"""A replay: done batches are processed again by new ones, within the caller's transaction."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias

import psycopg
from psycopg.rows import DictRow

from sensor_assets._again import replays
from sensor_assets._state import BatchRecord
from sensor_assets.ledger import _emission, _rows
from sensor_assets.ledger import _sql_operations as _sql
from sensor_assets.ledger._selection import Selection

Connection: TypeAlias = psycopg.Connection[DictRow]


@dataclass(frozen=True, kw_only=True)
class Replay:
    """What a replay does.

    Args:
        batches: The new batches.
        superseded: How many of their items have a newer version, which has a batch of its own.
        gone: How many are known to be gone.
        underway: How many replays of selected batches are not done yet; those batches are left to them.
    """

    batches: tuple[BatchRecord, ...]
    superseded: int = 0
    gone: int = 0
    underway: int = 0


def replay(connection: Connection, selection: Selection, new_id: Callable[[], str], now: datetime) -> Replay:
    """Insert batches that process done batches again, within the caller's transaction.

    What the done batches hold is in the new ones from now on: a batch is taken over once, by one batch.
    """
    values = selection.values()
    connection.execute(_sql.LOCK_CONSUMERS, values)
    done = _rows.batches(connection.execute(_sql.REPLAYABLE, values).fetchall())
    underway = connection.execute(_sql.OPEN_REPLAYS, values).fetchone()
    batches = replays(done, new_id)
    for batch in batches:
        _emission.insert(connection, batch, now)
        connection.execute(_sql.TAKE_OVER, {"by": batch.id, "replaced": list(batch.replaces)})
    outdated = connection.execute(_sql.OUTDATED, {"batches": [batch.id for batch in batches]}).fetchone()
    return Replay(
        batches=tuple(batches),
        superseded=outdated["superseded"] if outdated else 0,
        gone=outdated["gone"] if outdated else 0,
        underway=underway["number"] if underway else 0,
    )
