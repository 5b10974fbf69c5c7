"""Releasing items from quarantine."""

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import psycopg
from psycopg.rows import DictRow

from sensor_assets._again import releases
from sensor_assets._items import MESSAGE, UNMATCHED
from sensor_assets._state import BatchRecord
from sensor_assets.ledger import _emission, _messages, _pages, _rows
from sensor_assets.ledger import _sql as _core
from sensor_assets.ledger import _sql_operations as _sql
from sensor_assets.ledger._operations import Operations
from sensor_assets.ledger._selection import Selection, check

Connection: TypeAlias = psycopg.Connection[DictRow]


@dataclass(frozen=True, kw_only=True)
class Release:
    """What a release does; each row is one item in quarantine for one consumer.

    Args:
        batches: New batches for items whose own batch had failed until it was given up.
        tried: Those items.
        decided: Items that a function rejected, or that had no place: the monitor decides on them anew.
        looked_at: Items whose key fitted no template: the source is asked for them anew, and only what it still shows
            leaves the quarantine.
        busy: Items that stay, because a batch that holds them is open; released after it, they are not left out.
        forgotten: Messages that stay, because something that the source wants of them was missing: the queue has
            forgotten them and cannot be asked for them anew.
    """

    batches: tuple[BatchRecord, ...]
    tried: tuple[DictRow, ...]
    decided: tuple[DictRow, ...]
    looked_at: tuple[DictRow, ...]
    busy: tuple[DictRow, ...]
    forgotten: tuple[DictRow, ...]


def release(operations: Operations, selection: Selection) -> Release:
    """Let quarantined items be processed; what is bad still comes back into quarantine.

    Raises:
        UnknownNameError: The ledger holds no such consumer or source.
    """
    with operations.transaction() as connection:
        check(connection, selection)
        connection.execute(_sql.LOCK_CONSUMERS, selection.values())
        rows = connection.execute(_sql.LOCK_QUARANTINED, selection.values()).fetchall()
        unmatched = [row for row in rows if UNMATCHED in _metadata(row)]
        forgotten = _kept_messages(connection, unmatched)
        looked_at = [row for row in unmatched if row not in forgotten]
        others = [row for row in rows if row not in unmatched]
        busy = [row for row in others if row["holder_state"] in ("waiting", "emitted")]
        tried = [row for row in others if row["alone"] and row not in busy]
        decided = [row for row in others if row not in busy and row not in tried]
        batches = _try_again(connection, operations, tried)
        _decide_anew(connection, operations, decided)
        _look_again(connection, operations, looked_at)
    return Release(
        batches=tuple(batches),
        tried=tuple(tried),
        decided=tuple(decided),
        looked_at=tuple(looked_at),
        busy=tuple(busy),
        forgotten=tuple(forgotten),
    )


def _metadata(row: DictRow) -> dict[str, Any]:
    return json.loads(row["metadata"]) if row["metadata"] else {}


def _kept_messages(connection: Connection, rows: Sequence[DictRow]) -> list[DictRow]:
    """Return those rows whose message the ledger keeps: then its queue has forgotten it."""
    asked: dict[str, list[str]] = defaultdict(list)
    for row in rows:
        if (message := _metadata(row).get(MESSAGE)) is not None:
            asked[row["source"]].append(message)
    kept = {(source, message) for source, ids in asked.items() for message in _messages.bodies(connection, source, ids)}
    return [row for row in rows if (row["source"], _metadata(row).get(MESSAGE)) in kept]


def _try_again(connection: Connection, operations: Operations, rows: Sequence[DictRow]) -> list[BatchRecord]:
    """Cut batches for items that were given up alone, in the place of whatever was tried with them."""
    connection.execute(_sql.RELEASE, _these(operations, rows))
    given_up = _batches(connection, [row["batch_id"] for row in rows])
    batches = releases(given_up, operations.new_id)
    for batch in batches:
        _emission.insert(connection, batch, operations.now)
        taken = [each.id for each in given_up if each.id in batch.replaces]
        connection.execute(_sql.TAKE_OVER, {"by": batch.id, "replaced": taken})
    return batches


def _decide_anew(connection: Connection, operations: Operations, rows: Sequence[DictRow]) -> None:
    """Take items out of the batches that left them out, so that they are in no batch but the one that is to come.

    They wait where a consumer parks what its position has passed.
    """
    connection.execute(_sql.RELEASE, _these(operations, rows))
    connection.execute(_sql.PARK, _these(operations, rows))
    leaving: dict[str, set[tuple[int, int]]] = defaultdict(set)
    for row in rows:
        if row["holder"]:
            leaving[row["holder"]].add((row["source_id"], row["arrival"]))
    for batch in _batches(connection, list(leaving)):
        slices = {
            source: tuple(arrival for arrival in arrivals if (source, arrival) not in leaving[batch.id])
            for source, arrivals in batch.slices.items()
        }
        rest = replace(batch, slices={source: arrivals for source, arrivals in slices.items() if arrivals})
        connection.execute(_sql.FORGET_SLICES, {"batch": batch.id})
        _emission.insert_slices(connection, rest)
        connection.execute(_sql.SET_ITEMS, {"batch": batch.id, "items": rest.items})


def _look_again(connection: Connection, operations: Operations, rows: Sequence[DictRow]) -> None:
    """Let the next scan see items as if they were new; what it still shows arrives, with the place that it has now."""
    if not rows:
        return
    for source, arrival, key in {(row["source_id"], row["arrival"], row["key"]) for row in rows}:
        connection.execute(_core.GONE, {"source": source, "arrival": arrival, "now": operations.now})
        _pages.doubt(connection, source, key)
    connection.execute(_sql.LOOK_AGAIN, {"sources": list({row["source_id"] for row in rows})})


def _these(operations: Operations, rows: Sequence[DictRow]) -> dict[str, Any]:
    names = {"sources": "source_id", "arrivals": "arrival", "consumers": "consumer_id"}
    return {"now": operations.now, **{name: [row[of] for row in rows] for name, of in names.items()}}


def _batches(connection: Connection, ids: Sequence[str]) -> list[BatchRecord]:
    return _rows.batches(connection.execute(_sql.BATCHES, {"batches": list(ids)}).fetchall())
