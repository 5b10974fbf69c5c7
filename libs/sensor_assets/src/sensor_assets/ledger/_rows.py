"""Rows of the ledger as values."""

import json
from collections.abc import Sequence
from itertools import groupby

from psycopg.rows import DictRow

from sensor_assets._items import Item
from sensor_assets._state import BatchRecord
from sensor_assets.ledger import _version


def emitted_by(rows: Sequence[DictRow], monitor: str) -> set[str]:
    """Return the ids of the batches that a monitor emitted."""
    return {row["id"] for row in rows if row["monitor"] == monitor}


def batches(rows: Sequence[DictRow]) -> list[BatchRecord]:
    """Join a batch's slices; rows of one batch follow each other."""
    return [_batch(list(group)) for _, group in groupby(rows, key=lambda row: row["id"])]


def _batch(rows: Sequence[DictRow]) -> BatchRecord:
    first = rows[0]
    names = (
        "id",
        "consumer",
        "state",
        "origin",
        "halved",
        "route",
        "replaced_by",
        "bytes",
        "attempt",
        "failures",
        "not_before",
        "first_failed_at",
        "epoch",
    )
    slices = {
        row["source_id"]: tuple(row["arrivals"] or range(row["first_arrival"], row["last_arrival"] + 1))
        for row in rows
        if row["source_id"] is not None
    }
    return BatchRecord(
        partitions=tuple(first["partitions"]),
        replaces=tuple(first["replaces"]),
        slices=slices,
        **{name: first[name] for name in names},
    )


def item(row: DictRow) -> Item:
    """Return an item."""
    return Item(
        key=row["key"],
        version=_version.decode(row["version"]),
        arrival=row["arrival"],
        size=row["size"],
        modified=row["modified"],
        partition=row["partition"],
        metadata=json.loads(row["metadata"]) if row["metadata"] else {},
        source=row["source"],
    )
