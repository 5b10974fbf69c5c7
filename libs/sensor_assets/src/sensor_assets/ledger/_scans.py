"""Beginning, looking up and ending scans of many sources, each in one statement, within the caller's transaction."""

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import TypeAlias

import psycopg
from psycopg.rows import DictRow, tuple_row

from sensor_assets._sources.base import Page
from sensor_assets._state import SourceState
from sensor_assets.errors import LedgerError
from sensor_assets.ledger import _recording, _sql, _starting, _version
from sensor_assets.ledger._api import Scan, ScanEnd
from sensor_assets.ledger._storable import legible, storable

Connection: TypeAlias = psycopg.Connection[DictRow]

LOST_ROW = "the ledger lost a row that it needs; was it restored from a backup while in use?"
MAX_ERROR_BYTES = 4000


def begin(connection: Connection, sources: Sequence[SourceState]) -> list[Scan]:
    """Give each source's scan the next number."""
    found = connection.execute(_sql.BEGIN_SCANS, {"sources": [source.id for source in sources]}).fetchall()
    rows = {row["id"]: row for row in found}
    if len(rows) < len(sources):
        raise LedgerError(LOST_ROW)
    now = {source.id: {name: rows[source.id][name] for name in ("position", "arrivals", "gone")} for source in sources}
    return [Scan(source=replace(source, **now[source.id]), number=rows[source.id]["scans"]) for source in sources]


def news(connection: Connection, pages: Sequence[tuple[Scan, Page]]) -> list[bool]:
    """Tell of each page whether recording it would find anything new."""
    shown = [_recording.without_repeats(storable(page.items)) for _, page in pages]
    asked = [
        [number, scan.source.id, key]
        for number, ((scan, _), items) in enumerate(zip(pages, shown, strict=True))
        for key in dict.fromkeys(items.keys)
    ]
    newest: dict[int, dict[str, str]] = defaultdict(dict)
    with connection.cursor(binary=True, row_factory=tuple_row) as cursor:
        for number, key, version in cursor.execute(_sql.KNOWN_OF_PAGES, {"asked": json.dumps(asked)}):
            newest[number][key] = _version.decode(version)
    return [
        bool(_recording.new_places(items.keys, items.versions, newest[number])) for number, items in enumerate(shown)
    ]


def end(connection: Connection, ends: Sequence[ScanEnd], now: datetime) -> dict[str, SourceState]:
    """Note how scans ended and return the sources of those that were the newest."""
    values = {
        "sources": [end.scan.source.id for end in ends],
        "numbers": [end.scan.number for end in ends],
        "dues": [end.due_at for end in ends],
        "errors": [None if end.error is None else legible(end.error, MAX_ERROR_BYTES) for end in ends],
        "listed": [end.listed for end in ends],
        "now": now,
    }
    after = {row["name"]: SourceState(**row) for row in connection.execute(_sql.END_SCANS, values)}
    if listed := [end.scan.source.id for end in ends if end.listed and end.scan.source.listed_at is None]:
        _starting.begin(connection, listed)
    return after
