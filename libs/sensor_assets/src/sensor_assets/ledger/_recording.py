"""Recording a page: what of it is new, and one COPY of that."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import repeat
from typing import LiteralString, TypeAlias

import psycopg
from psycopg.rows import DictRow, tuple_row

from sensor_assets._columns import Columns
from sensor_assets.ledger import _sql, _version
from sensor_assets.ledger._storable import metadata_text

Connection: TypeAlias = psycopg.Connection[DictRow]

# A sorted page is compared with all that is recorded between its first and its last key: an index is read from there
# on, which is several times cheaper than looking for each key. Where the ledger holds much more in between (many
# versions of a key, a page that is a sparse sample), the keys are looked for one by one after all.
RANGE_LEAST_KEYS = 50
RANGE_ROWS_PER_KEY = 3


def without_repeats(items: Columns) -> Columns:
    """Drop an item that repeats the version which its key had last in the same page."""
    if len(set(items.keys)) == len(items):
        return items
    last: dict[str, str] = {}
    distinct: list[int] = []
    for place, (key, version) in enumerate(zip(items.keys, items.versions, strict=True)):
        if last.get(key) != version:
            distinct.append(place)
            last[key] = version
    return items.take(distinct)


def new(connection: Connection, source_id: int, items: Columns) -> Columns:
    """Return the items of a page that are new, within the transaction that holds the source's row."""
    if not len(items):
        return items
    places = new_places(items.keys, items.versions, newest_versions(connection, source_id, items.keys))
    return items if len(places) == len(items) else items.take(places)


def new_places(keys: Sequence[str], versions: Sequence[str], newest: Mapping[str, str]) -> list[int]:
    """Return the places of a page that are new, given the newest recorded version of each of its keys. Pure.

    An item is new when it differs from the newest recorded version of its key: a thing that returns to an earlier state
    (same bytes, same ETag) has changed twice, and one that was gone has returned. Where a page shows several versions
    of a key, oldest first, those after the newest recorded one are new.
    """
    if not newest:
        return list(range(len(keys)))
    shown = list(zip(keys, versions, strict=True))
    if len(set(keys)) == len(keys):
        return [place for place, (key, version) in enumerate(shown) if newest.get(key) != version]
    known_until = {key: place for place, (key, version) in enumerate(shown) if newest.get(key) == version}
    return [place for place, key in enumerate(keys) if place > known_until.get(key, -1)]


def newest_versions(connection: Connection, source_id: int, keys: Sequence[str]) -> dict[str, str]:
    """Return the newest recorded version of each key that has one and is not gone; others may be among them."""
    if len(keys) >= RANGE_LEAST_KEYS and list(keys) == sorted(keys):
        found = _between(connection, source_id, keys[0], keys[-1], limit=RANGE_ROWS_PER_KEY * len(keys))
        if found is not None:
            return found
    return of_keys(connection, source_id, keys)


def of_keys(connection: Connection, source_id: int, keys: Sequence[str]) -> dict[str, str]:
    """Return the newest recorded version of each key that has one and is not gone."""
    # As JSON: psycopg writes arrays in Python, one element after the other.
    rows = _rows(connection, _sql.KNOWN_OF_KEYS, {"source": source_id, "keys": json.dumps(keys, ensure_ascii=False)})
    return {key: _version.decode(version) for key, version in rows}


def recorded(connection: Connection, source_id: int, keys: Sequence[str]) -> set[tuple[str, str]]:
    """Return every recorded (key, version) of some keys."""
    rows = _rows(connection, _sql.RECORDED, {"source": source_id, "keys": json.dumps(keys, ensure_ascii=False)})
    return {(key, _version.decode(version)) for key, version in rows}


def _between(connection: Connection, source_id: int, first: str, last: str, *, limit: int) -> dict[str, str] | None:
    asked = {"source": source_id, "first": first, "last": last, "limit": limit}
    rows = _rows(connection, _sql.KNOWN_BETWEEN, asked)
    if len(rows) == limit:
        return None
    newest: dict[str, bytes | None] = {}
    for key, version in rows:
        newest.setdefault(key, version)
    return {key: _version.decode(version) for key, version in newest.items() if version is not None}


def _rows(connection: Connection, statement: LiteralString, values: Mapping[str, object]) -> list[tuple[str, bytes]]:
    with connection.cursor(binary=True, row_factory=tuple_row) as cursor:
        return cursor.execute(statement, values).fetchall()


def append(connection: Connection, source_id: int, after: int, items: Columns, now: datetime) -> None:
    """Append items to the source's log, numbered from the arrival after the last one."""
    rows = zip(
        repeat(source_id),
        range(after + 1, after + 1 + len(items)),
        items.sizes,
        items.modified,
        repeat(now),
        items.keys,
        map(_version.encode, items.versions),
        items.partitions or repeat(None),
        [metadata_text(items.metadata.get(place)) for place in range(len(items))] if items.metadata else repeat(""),
    )
    with connection.cursor() as cursor, cursor.copy(_sql.APPEND) as copy:
        copy.set_types(_sql.APPEND_TYPES)
        for row in rows:
            copy.write_row(row)
