"""Scanning and reading the rows of a table."""

from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from time import monotonic
from typing import Any

from sqlalchemy import ColumnElement, Row, func, or_, select

from sensor_assets._items import UNMATCHED, Item
from sensor_assets._sources import texts
from sensor_assets._sources.base import Page, ScanContext, SourceClient
from sensor_assets._sources.database import Database, Remaining, Session
from sensor_assets._sources.table import TableSource
from sensor_assets._sources.table_look import Looker, below
from sensor_assets._sources.table_position import Position, judge
from sensor_assets._sources.table_shape import Shape, column
from sensor_assets.errors import SourceError

PAGE_ROWS = 1000

# Pages of recorded keys that one scan compares with the table; the next one goes on.
PAGES_COMPARED = 20

# Keys in one condition; databases bound the number of values.
KEYS_AT_ONCE = 500

# Seconds that a run waits for rows.
READ_SECONDS = 300.0


class TableClient(SourceClient):
    """Reads by keyset, within one snapshot a scan; see `Position` for what it remembers."""

    def __init__(self, source: TableSource, database: Database) -> None:
        self._source = source
        self._database = database
        self._looker = Looker(source, database)

    def close(self) -> None:
        self._database.close()

    @contextmanager
    def _session(self, remaining: Remaining) -> Generator[Session]:
        try:
            with self._database.session(remaining) as session:
                yield session
        except SourceError:
            self._looker.forget()  # types may have changed, which is an error of the database's at first
            raise

    def scan(self, context: ScanContext) -> Iterator[Page]:
        with self._session(context.remaining) as session:
            context.calls["scan"] += 1
            shape, look = self._looker.look(session)
            verdict = judge(
                Position.parse(context.position),
                look,
                self._source.mode,
                lambda one, other: shape.read_version(one) < shape.read_version(other),
            )
            if verdict.notice and verdict.alarm:
                yield Page(items=(), position=verdict.position.dump())
                raise self._database.failed(verdict.notice)
            if verdict.notice:
                context.log.warning(f"source '{self._source.name}': {verdict.notice}")
            if verdict.wait:
                return
            position = yield from self._pass(session, shape, verdict.position, context)
            yield from self._compare(session, shape, position, context)

    def _pass(
        self, session: Session, shape: Shape, position: Position, context: ScanContext
    ) -> Generator[Page, None, Position]:
        """Yield the rows between the horizon and the next one, and return the position after them."""
        before, bounds = position, self._bounds(shape, position)
        since = [shape.beyond(shape.read_row(position.after))] if position.after is not None else []
        rows = session.all(shape.rows(*bounds, *since).limit(PAGE_ROWS))
        following: Iterator[Sequence[Row[Any]]] = iter(())
        if len(rows) == PAGE_ROWS:
            # One query for all the rest: each page by a query of its own would sort a large transaction every time.
            last = shape.read_row(shape.write_row(rows[-1]))
            following = session.pages(shape.rows(*bounds, shape.beyond(last)), PAGE_ROWS)
        while len(rows) == PAGE_ROWS:
            # What is below the horizon stays as it is, so a scan that stops here goes on from the last row.
            position = replace(position, after=shape.write_row(rows[-1]))
            yield Page(items=self._items(shape, rows), position=position.dump())
            rows = next(following, ())
        items = self._items(shape, rows) + self._unfollowed(session, shape, before)
        position = replace(position, horizon=position.until, until=None, after=None, whole=False)
        if self._source.deletes_every is not None and position.compared is None:
            position = replace(position, compared=context.now.isoformat())
        recorded = Position.parse(context.position)
        if not items and recorded.horizon is not None and recorded == replace(position, horizon=recorded.horizon):
            # Nothing happened: the older horizon is as good, and nothing has to be written.
            return recorded
        yield Page(items=items, position=position.dump())
        return position

    def _bounds(self, shape: Shape, position: Position) -> list[ColumnElement[bool]]:
        if position.whole:
            return []
        bounds: list[ColumnElement[bool]] = []
        if position.horizon is not None:
            start = shape.read_version(position.horizon)
            if self._source.overlap is not None:
                start = below(start, self._source.overlap)
            bounds.append(shape.version >= start)
        if self._source.mode != "overlap" and position.until is not None:
            bounds.append(shape.version < shape.read_version(position.until))
        return bounds

    def _items(self, shape: Shape, rows: Sequence[Row[Any]]) -> list[Item]:
        name, end = self._source.name, len(shape.order)
        if shape.partition is None:
            return [Item(key=texts.join(row[1:end]), version=texts.write(row[0]), source=name) for row in rows]
        partitions = [texts.partition(row[end]) for row in rows]
        homeless = {UNMATCHED: f"the row has no value in partition column '{self._source.partition}'"}
        return [
            Item(
                key=texts.join(row[1:end]),
                version=texts.write(row[0]),
                partition=partition,
                metadata={} if partition is not None else homeless,
                source=name,
            )
            for row, partition in zip(rows, partitions, strict=True)
        ]

    def _unfollowed(self, session: Session, shape: Shape, position: Position) -> list[Item]:
        """Return what tells of new rows without key or version, which cannot be followed: they end in quarantine."""
        keys = [each for each in shape.nullable if each is not shape.version]
        found: list[Item] = []
        if keys:
            bounds = [] if position.horizon is None else self._bounds(shape, replace(position, whole=False))
            if self._source.mode == "overlap" and position.horizon is not None:
                bounds = [shape.version > shape.read_version(position.horizon)]
            condition = or_(*(each.is_(None) for each in keys))
            found += self._counted(session, shape, [condition, *bounds], "key", position.until or "")
        if len(keys) < len(shape.nullable):
            found += self._counted(session, shape, [shape.version.is_(None)], "version", "")
        return found

    def _counted(
        self, session: Session, shape: Shape, conditions: Sequence[ColumnElement[bool]], role: str, until: str
    ) -> list[Item]:
        statement = select(func.count()).select_from(shape.table).where(*shape.admitted(), *conditions)
        count = session.all(statement)[0][0]
        if not count:
            return []
        names = ", ".join(self._source.key if role == "key" else (self._source.version,))
        reason = f"{count} row(s) of table '{self._source.table}' have no value in {role} column {names}"
        return [
            Item(
                key=f"(rows without {role})",
                version=f"{count} {until}".strip(),
                metadata={UNMATCHED: f"{reason}: they cannot be followed"},
                source=self._source.name,
            )
        ]

    def _compare(self, session: Session, shape: Shape, position: Position, context: ScanContext) -> Iterator[Page]:
        """Yield the deletion of recorded rows that the table no longer has; goes on where the last scan stopped."""
        if self._source.deletes_every is None or position.compared is None:
            return
        if position.comparing is None:
            if (context.now - datetime.fromisoformat(position.compared)).total_seconds() < self._source.deletes_every:
                return
            position = replace(position, comparing="")
        for _ in range(PAGES_COMPARED):
            recorded = context.live(position.comparing, PAGE_ROWS)
            if not recorded:
                position = replace(position, comparing=None, compared=context.now.isoformat())
                yield Page(items=(), position=position.dump())
                return
            rows = [item for item in recorded if UNMATCHED not in item.metadata]
            position = replace(position, comparing=recorded[-1].key)
            yield Page(items=self._deleted(session, shape, rows), position=position.dump())

    def _deleted(self, session: Session, shape: Shape, recorded: Sequence[Item]) -> list[Item]:
        present: set[str] = set()
        for keys in _parts(shape, recorded):
            statement = select(*shape.key).where(*shape.admitted(), shape.among(keys))
            present |= {texts.join(row) for row in session.all(statement)}
        return [
            Item.deletion(item.key, version=item.version, partition=item.partition, source=item.source)
            for item in recorded
            if item.key not in present
        ]

    def rows(self, items: Sequence[Item]) -> list[dict[str, Any]]:
        recorded = {item.key: item for item in items if not item.deleted}
        until = monotonic() + READ_SECONDS
        with self._session(lambda: until - monotonic()) as session:
            shape, _ = self._looker.shape(session)
            names = self._source.columns or [each.name for each in shape.table.columns]
            shown = [column(shape.table, self._database, self._source, name) for name in names]
            end, found = len(shape.order), dict[str, dict[str, Any]]()
            for keys in _parts(shape, list(recorded.values())):
                statement = select(*shape.order, *shown).where(*shape.admitted(), shape.among(keys))
                for row in session.all(statement):
                    key = texts.join(row[1:end])
                    if key in recorded and texts.write(row[0]) == recorded[key].version:
                        found[key] = dict(zip(names, row[end:], strict=True))
        return [found[key] for key in recorded if key in found]


def _parts(shape: Shape, items: Sequence[Item]) -> Iterator[list[tuple[Any, ...]]]:
    """Yield the items' keys as values, some at a time; without those that no row can have."""
    keys: list[tuple[Any, ...]] = []
    for item in items:
        try:
            keys.append(texts.split(item.key, shape.kinds[1:]))
        except ValueError:
            continue
    for first in range(0, len(keys), KEYS_AT_ONCE):
        yield keys[first : first + KEYS_AT_ONCE]
