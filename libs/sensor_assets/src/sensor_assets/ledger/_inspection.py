"""What a person asks the ledger: which items and batches there are, what is in quarantine, what became of a key."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from difflib import get_close_matches
from typing import Any, Literal, TypeAlias

import psycopg
from psycopg.rows import DictRow

from sensor_assets._items import Item
from sensor_assets.ledger import _rows
from sensor_assets.ledger import _sql_inspection as _sql
from sensor_assets.ledger._postgres import PostgresLedger
from sensor_assets.ledger._selection import Selection, check, like
from sensor_assets.ledger._sql_operations import LIST_QUARANTINED

Connection: TypeAlias = psycopg.Connection[DictRow]
ItemState = Literal["waiting", "running", "done", "quarantined", "skipped", "before-start"]

_NEAR = 3


@dataclass(frozen=True, kw_only=True)
class ItemRow:
    """An item and how far a consumer is with it; `newest` tells that no newer version replaced it."""

    item: Item
    seen_at: datetime
    consumer: str
    state: ItemState
    batch: str | None
    newest: bool


@dataclass(frozen=True, kw_only=True)
class BatchRow:
    """A batch as a person sees it."""

    id: str
    state: str
    origin: str
    halved: bool
    route: str | None
    partitions: Sequence[str]
    items: int
    attempt: int
    failures: int
    not_before: datetime | None
    created_at: datetime
    finished_at: datetime | None
    replaced_by: str | None
    run_id: str | None
    error: str | None
    reason: str | None
    consumer: str = ""
    rejected: int = 0
    bytes: int = 0


@dataclass(frozen=True, kw_only=True)
class Standing:
    """How a consumer stands to a version: where it is in the log, whether it is in quarantine, in which batches.

    `parked_at` is since when it waits behind the consumer's position; `passed` tells that it lies before its start.
    """

    consumer: str
    held: str | None
    position: int
    reason: str | None
    since: datetime | None
    released_at: datetime | None
    blamed: str | None
    parked_at: datetime | None
    passed: bool
    all_versions: bool
    batches: tuple[BatchRow, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Version:
    """One version of a key, and what became of it."""

    item: Item
    seen_at: datetime
    gone_at: datetime | None
    superseded_by: int | None
    consumers: tuple[Standing, ...]


class Inspection:
    """Questions to one ledger; nothing is changed."""

    def __init__(self, ledger: PostgresLedger) -> None:
        self._ledger = ledger

    def items(
        self, selection: Selection, *, partition: str | None, state: ItemState | None, limit: int, skip: int = 0
    ) -> list[ItemRow]:
        """Return items by source and consumer, newest first; once for each consumer that follows the source.

        Args:
            selection: Which items, and of which consumer.
            partition: The items' own partition.
            state: How far the consumer is.
            limit: Most rows.
            skip: Rows that are left out at the beginning.

        Raises:
            UnknownNameError: The ledger holds no such consumer or source.
        """
        values = {**selection.values(), "place": partition, "state": state, "limit": limit, "skip": skip}
        with self._ledger.transaction() as connection:
            check(connection, selection)
            rows = connection.execute(_sql.ITEMS, values).fetchall()
        return [
            ItemRow(item=_rows.item(row), **{name: row[name] for name in _names(ItemRow) if name != "item"})
            for row in rows
        ]

    def batches(self, selection: Selection, *, state: str | None, limit: int, skip: int = 0) -> list[BatchRow]:
        """Return batches by consumer, the latest first.

        Raises:
            UnknownNameError: The ledger holds no such consumer, route or partition.
        """
        values = {**selection.values(), "state": state, "limit": limit, "skip": skip}
        with self._ledger.transaction() as connection:
            check(connection, selection)
            return [BatchRow(**row) for row in connection.execute(_sql.BATCHES, values).fetchall()]

    def quarantined(self, selection: Selection, *, limit: int) -> list[dict[str, Any]]:
        """Return what is in quarantine and not replaced by a newer version.

        Raises:
            UnknownNameError: The ledger holds no such consumer or source.
        """
        with self._ledger.transaction() as connection:
            check(connection, selection)
            values = {**selection.values(), "limit": limit}
            return connection.execute(LIST_QUARANTINED, values).fetchall()

    def consumers(self) -> list[dict[str, Any]]:
        """Return for each consumer how many batches wait and are launched, and why it holds what waits."""
        with self._ledger.transaction() as connection:
            return connection.execute(_sql.OPEN).fetchall()

    def versions(self, key: str, source: str | None) -> list[Version]:
        """Return every recorded version of a key, in order of arrival.

        Raises:
            UnknownNameError: The ledger holds no such source.
        """
        with self._ledger.transaction() as connection:
            check(connection, Selection(source=source))
            rows = connection.execute(_sql.VERSIONS, {"key": key, "source": source}).fetchall()
            return [_version(connection, key, row) for row in rows]

    def keys_like(self, key: str, source: str | None) -> list[str]:
        """Return a few keys that look like one that was not found, each after its source."""
        name = key.rsplit("/", 1)[-1]
        asked = {"source": source, "head": like(f"{key[:4]}*"), "tail": like(f"*{name[-8:]}")}
        with self._ledger.transaction() as connection:
            rows = connection.execute(_sql.LIKE_KEYS, asked).fetchall()
        by_key = {row["key"]: row["source"] for row in rows}
        return [f"{by_key[near]}: {near}" for near in get_close_matches(key, by_key, n=_NEAR)]


def _version(connection: Connection, key: str, row: DictRow) -> Version:
    asked = {"source": row["source_id"], "arrival": row["arrival"]}
    return Version(
        item=_rows.item({**row, "key": key}),
        seen_at=row["seen_at"],
        gone_at=row["gone_at"],
        superseded_by=row["superseded_by"],
        consumers=tuple(
            Standing(**standing, batches=_history(connection, standing["consumer"], asked))
            for standing in connection.execute(_sql.STANDING, asked).fetchall()
        ),
    )


def _history(connection: Connection, consumer: str, asked: dict[str, Any]) -> tuple[BatchRow, ...]:
    rows = connection.execute(_sql.HISTORY, {**asked, "consumer": consumer}).fetchall()
    return tuple(BatchRow(**row, consumer=consumer) for row in rows)


def _names(kind: Any) -> Sequence[str]:
    return list(kind.__dataclass_fields__)
