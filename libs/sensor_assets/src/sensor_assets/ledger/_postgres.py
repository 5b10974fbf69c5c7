"""The ledger on Postgres."""

from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from datetime import datetime
from threading import Lock
from typing import Any, LiteralString, TypeAlias

import psycopg
from psycopg.rows import DictRow, dict_row
from psycopg.types.json import Jsonb
from psycopg_pool import ConnectionPool

from sensor_assets._items import Item
from sensor_assets._reconcile import Settlement
from sensor_assets._sources.base import Page
from sensor_assets._start import Start
from sensor_assets._state import BatchRecord, SourceState
from sensor_assets.errors import LedgerError
from sensor_assets.ledger import (
    _emission,
    _messages,
    _pages,
    _recording,
    _revision,
    _rows,
    _scans,
    _sql,
    _starting,
    _version,
)
from sensor_assets.ledger._api import Decide, Emission, Following, Rejection, Scan, ScanEnd, ScanSupersededError
from sensor_assets.ledger._failures import FAILURES, NOT_MIGRATED, explain
from sensor_assets.ledger._replay import replay
from sensor_assets.ledger._selection import Selection
from sensor_assets.ledger._storable import storable, stored_keys

Connection: TypeAlias = psycopg.Connection[DictRow]

# Typed for plain rows in psycopg, though it reads none.
_alive: Any = ConnectionPool.check_connection


class PostgresLedger:
    """A team's ledger in its own schema; one small connection pool a process.

    Args:
        url: ``postgresql://role@host/database``. Session locks are used, so a pooler in transaction mode will not do.
        schema: The team's schema, migrated by `migrate`.

    Raises:
        LedgerError: The database cannot be reached within 10 seconds.
    """

    def __init__(self, url: str, schema: str) -> None:
        self._url = url
        self._options: dict[str, Any] = {
            "options": f"-c search_path={schema}",
            "application_name": "sensor_assets",
            "row_factory": dict_row,
            "connect_timeout": 10,
        }
        self._schema = schema
        self._pool: ConnectionPool[Connection] | None = None
        self._opening = Lock()
        self._checked = False
        self._registered: set[tuple[str, int, bool]] = set()

    def _opened(self) -> ConnectionPool[Connection]:
        """Return the pool; it opens with the first use, because definitions load where no database may be near."""
        with self._opening:
            if self._pool is None:
                # A connection that broke while idle (Postgres restarted) is replaced when it is taken, not surfaced.
                self._pool = ConnectionPool(
                    self._url,
                    connection_class=psycopg.Connection[DictRow],
                    kwargs=self._options,
                    min_size=0,
                    max_size=4,
                    timeout=10,
                    open=True,
                    check=_alive,
                )
            return self._pool

    @contextmanager
    def transaction(self) -> Generator[Connection]:
        """Run a block in one transaction, on a connection of the pool.

        Raises:
            LedgerError: The database is away, full, read-only, or not what this version works with.
        """
        with self._explained():
            self._check_revision()
            with self._opened().connection() as connection, connection.transaction():
                yield connection

    @contextmanager
    def _explained(self) -> Generator[None]:
        try:
            yield
        except FAILURES as error:
            if isinstance(error, NOT_MIGRATED):
                self._checked = False  # perhaps another version has migrated it meanwhile
            raise LedgerError(explain(error, self._url, self._schema)) from error

    def _check_revision(self) -> None:
        if self._checked:
            return
        with self._opened().connection() as connection:
            row = connection.execute(_revision.FOUND).fetchone()
        _revision.check(row["version_num"] if row else None, self._schema)
        self._checked = True

    def close(self) -> None:
        if self._pool is not None:
            self._pool.close()

    def sources(self, names: Sequence[str]) -> dict[str, SourceState]:
        with self.transaction() as connection:
            found = _sources(connection, names)
            if len(found) < len(set(names)):
                connection.execute(_sql.REGISTER_SOURCES, {"names": list(names)})
                found = _sources(connection, names)
        return found

    def begin_scan(self, source: SourceState) -> Scan:
        return self.begin_scans([source])[0]

    def begin_scans(self, sources: Sequence[SourceState]) -> list[Scan]:
        with self.transaction() as connection:
            return _scans.begin(connection, sources)

    def known(self, source_id: int, keys: Sequence[str] | None = None) -> dict[str, str]:
        with self.transaction() as connection:
            if keys is not None:
                stored = stored_keys(keys)
                found = _recording.of_keys(connection, source_id, list(stored))
                return {stored[key]: version for key, version in found.items()}
            rows = connection.execute(_sql.KNOWN, {"source": source_id}, binary=True)
            return {row["key"]: _version.decode(row["version"]) for row in rows}

    def live(self, source_id: int, after: str | None, limit: int) -> list[Item]:
        with self.transaction() as connection:
            asked = {"source": source_id, "after": after, "limit": limit}
            return [_rows.item(row) for row in connection.execute(_sql.LIVE, asked)]

    def bodies(self, source: str, messages: Sequence[str]) -> dict[str, bytes]:
        with self.transaction() as connection:
            return _messages.bodies(connection, source, messages)

    def recorded(self, source_id: int, keys: Sequence[str]) -> set[tuple[str, str]]:
        with self.transaction() as connection:
            stored = stored_keys(keys)
            found = _recording.recorded(connection, source_id, list(stored))
            return {(stored[key], version) for key, version in found}

    def pages(self, source_id: int) -> _pages.PostgresPageMap:
        return _pages.PostgresPageMap(self, source_id)

    def doubt(self, source: str, key: str) -> None:
        with self.transaction() as connection:
            for state in _sources(connection, [source]).values():
                _pages.doubt(connection, state.id, key)

    def record(self, scan: Scan, page: Page, now: datetime) -> int:
        items = _recording.without_repeats(storable(page.items))
        source_id = scan.source.id
        with self.transaction() as connection:
            asked = {"source": source_id, "number": scan.number}
            row = connection.execute(_sql.LOCK_SCAN, asked).fetchone()
            if row is None:
                raise ScanSupersededError(f"a newer scan of source '{scan.source.name}' has begun")
            items = _messages.keep(connection, source_id, items, page.bodies, now)
            if page.relisting is not None:
                _pages.replace(connection, source_id, page.relisting)
            new = _recording.new(connection, source_id, items)
            if new or page.position != row["position"]:
                position = None if page.position is None else Jsonb(page.position)
                values = {"source": source_id, "new": len(new), "position": position}
                connection.execute(_sql.MOVE_SOURCE, values)
            if new:
                _recording.append(connection, source_id, row["arrivals"], new, now)
        return len(new)

    def news(self, pages: Sequence[tuple[Scan, Page]]) -> list[bool]:
        with self.transaction() as connection:
            return _scans.news(connection, pages)

    def end_scan(self, scan: Scan, *, now: datetime, due_at: datetime, error: str | None) -> None:
        self.end_scans([ScanEnd(scan=scan, due_at=due_at, error=error)], now)

    def end_scans(self, ends: Sequence[ScanEnd], now: datetime) -> dict[str, SourceState]:
        with self.transaction() as connection:
            return _scans.end(connection, ends, now)

    def retry_sources(self, names: Sequence[str]) -> None:
        with self.transaction() as connection:
            connection.execute(_sql.RETRY_SOURCES, {"names": list(names)})

    def emit(self, monitor: str, epoch: int, consumers: Sequence[Following], decide: Decide, now: datetime) -> Emission:
        self._register(monitor, consumers)
        names = [consumer.name for consumer in consumers]
        if self._idle(monitor, epoch, names):
            return Emission(epoch=epoch, batches=())
        with self.transaction() as connection:
            current = _one(connection, _sql.LOCK_MONITOR, monitor=monitor)["epoch"]
            positions = connection.execute(_sql.LOCK_POSITIONS, {"consumers": names}).fetchall()
            if begins := [row["source_id"] for row in positions if row["begins"]]:
                # It was registered while another process noted that the source was listed.
                _starting.begin(connection, begins)
            rows = connection.execute(_sql.OPEN_BATCHES, {"consumers": names}, binary=True).fetchall()
            unfinished = _rows.batches(rows)
            if current > epoch:
                again = [
                    b
                    for b in unfinished
                    if b.state == "emitted" and b.epoch > epoch and b.id in _rows.emitted_by(rows, monitor)
                ]
                return Emission(epoch=current, batches=tuple(again), repeated=True)
            # A ledger behind the cursor was restored from a backup: go on from what Dagster has taken.
            following = max(current, epoch) + 1
            emitted, held = _emission.decide_all(
                connection, monitor, following, consumers, positions, unfinished, decide, now
            )
            if emitted or current < epoch:
                reached = following if emitted else epoch
                connection.execute(_sql.SET_EPOCH, {"monitor": monitor, "epoch": reached})
                return Emission(epoch=reached, batches=tuple(emitted), held=held)
            return Emission(epoch=current, batches=(), held=held)

    def _idle(self, monitor: str, epoch: int, consumers: Sequence[str]) -> bool:
        with self.transaction() as connection:
            values = {"monitor": monitor, "epoch": epoch, "consumers": list(consumers)}
            row = connection.execute(_sql.IDLE, values).fetchone()
        return row is not None and row["idle"]

    def _register(self, monitor: str, consumers: Sequence[Following]) -> None:
        pairs = {(c.name, source, source in c.all_versions) for c in consumers for source in c.sources}
        if pairs <= self._registered:
            return
        starts: dict[tuple[str, int], Start] = {
            (consumer.name, source): consumer.starts.get(source, "all")
            for consumer in consumers
            for source in consumer.sources
        }
        with self.transaction() as connection:
            connection.execute(_sql.REGISTER_MONITOR, {"monitor": monitor})
            all_versions = {(name, source) for name, source, all_of_them in pairs if all_of_them}
            positions = _starting.positions(dict(sorted(starts.items())), all_versions)
            connection.execute(_sql.REGISTER_CONSUMERS, positions)
            _starting.begin(connection, {source for _, source in starts})
        self._registered |= pairs

    def launched(self, consumers: Sequence[str], monitor: str, epoch: int) -> list[BatchRecord]:
        with self.transaction() as connection:
            rows = connection.execute(_sql.OPEN_BATCHES, {"consumers": list(consumers)}, binary=True).fetchall()
        mine = _rows.emitted_by(rows, monitor)
        return [b for b in _rows.batches(rows) if b.state == "emitted" and (b.epoch <= epoch or b.id not in mine)]

    def succeeded_since(self, consumer: str, moment: datetime) -> bool:
        with self.transaction() as connection:
            return _one(connection, _sql.SUCCEEDED_SINCE, consumer=consumer, moment=moment)["found"]

    def settle(self, settlement: Settlement, now: datetime) -> None:
        batch = settlement.batch
        with self.transaction() as connection:
            changed = connection.execute(
                _sql.SETTLE,
                {
                    "id": batch.id,
                    "state": batch.state,
                    "failures": batch.failures,
                    "not_before": batch.not_before,
                    "first_failed_at": batch.first_failed_at,
                    "error": settlement.error,
                    "attempt": batch.attempt,
                    "now": now,
                },
            ).rowcount
            if not changed:
                return
            for child in settlement.children:
                _emission.insert(connection, child, now)
            if batch.state == "quarantined":
                for source, arrivals in batch.slices.items():
                    for arrival in arrivals:
                        _emission.quarantine(
                            connection, batch.consumer, source, arrival, settlement.error, batch.id, now
                        )

    def batch(self, batch_id: str) -> BatchRecord | None:
        with self.transaction() as connection:
            found = _rows.batches(connection.execute(_sql.ONE_BATCH, {"batch": batch_id}).fetchall())
        return found[0] if found else None

    def batch_items(self, batch: BatchRecord, *, all_versions: Sequence[str] = ()) -> list[Item]:
        values = {"batch": batch.id, "consumer": batch.consumer, "all_versions": list(all_versions)}
        with self.transaction() as connection:
            rows = connection.execute(_sql.BATCH_ITEMS, values, binary=True)
            return [_rows.item(row) for row in rows]

    def newest_items(
        self,
        consumer: str,
        sources: Sequence[int],
        *,
        window: tuple[str, str | None] | None = None,
        route: str | None = None,
        batch_id: str | None = None,
    ) -> list[Item]:
        start, stop = window or (None, None)
        values = {"consumer": consumer, "sources": list(sources), "start": start, "stop": stop}
        values |= {"route": route, "batch": batch_id}
        with self.transaction() as connection:
            # Not prepared: a plan for any window would have to serve for no window as well, and read the whole log.
            rows = connection.execute(_sql.NEWEST_ITEMS, values, prepare=False, binary=True)
            return [_rows.item(row) for row in rows]

    def replay(
        self,
        consumer: str,
        *,
        route: str | None,
        partitions: Sequence[str],
        new_id: Callable[[], str],
        now: datetime,
    ) -> int:
        selections = [Selection(consumer=consumer, route=route, partition=key) for key in partitions or (None,)]
        with self.transaction() as connection:
            return sum(len(replay(connection, selection, new_id, now).batches) for selection in selections)

    @contextmanager
    def exclusive(self, consumer: str, partitions: Sequence[str]) -> Generator[Callable[[], None]]:
        """Hold a session lock for each partition on a connection of its own, so that a dead process frees them."""
        with self._explained():
            connection = psycopg.connect(self._url, autocommit=True, **self._options)
        with connection:
            with self._explained():
                for partition in sorted(set(partitions)):
                    connection.execute(_sql.LOCK_PARTITION, {"name": f"{consumer}/{partition}"})

            def still_held() -> None:
                try:
                    connection.execute("select 1")
                except psycopg.OperationalError as error:
                    reason = explain(error, self._url, self._schema)
                    raise LedgerError(f"the only right to write was lost: {reason}") from error

            yield still_held

    def finish(
        self,
        consumer: str,
        batch_id: str | None,
        run_id: str,
        *,
        rejected: Sequence[Rejection],
        gone: Sequence[Item],
        now: datetime,
    ) -> None:
        with self.transaction() as connection:
            names = {item.source for item in (*gone, *(item for item, _ in rejected))}
            ids = {name: state.id for name, state in _sources(connection, list(names)).items()} if names else {}
            for item, reason in rejected:
                _emission.quarantine(connection, consumer, ids[item.source], item.arrival, reason, batch_id, now)
            for item in gone:
                connection.execute(_sql.GONE, {"source": ids[item.source], "arrival": item.arrival, "now": now})
                # It may return just as it was, and its page with it.
                _pages.doubt(connection, ids[item.source], item.key)
            if batch_id is not None:
                values = {"batch": batch_id, "run": run_id, "rejected": len(rejected), "now": now}
                connection.execute(_sql.FINISH, values)

    def status(self) -> list[dict[str, Any]]:
        with self.transaction() as connection:
            return connection.execute(_sql.STATUS).fetchall()


def _sources(connection: Connection, names: Sequence[str]) -> dict[str, SourceState]:
    rows = connection.execute(_sql.SOURCES, {"names": list(names)})
    return {row["name"]: SourceState(**row) for row in rows}


def _one(connection: Connection, statement: LiteralString, **values: Any) -> DictRow:
    row = connection.execute(statement, values).fetchone()
    if row is None:
        raise LedgerError(_scans.LOST_ROW)
    return row
