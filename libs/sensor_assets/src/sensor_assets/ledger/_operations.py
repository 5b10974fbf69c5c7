"""What people do to the ledger by hand, each in one transaction, beside monitors and runs at work.

None of it touches a batch that is launched, and none launches anything: new batches wait for the monitor like others.
Asked twice for the same, an operation finds nothing left to do.
"""

from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeAlias
from uuid import uuid4

import psycopg
from psycopg.rows import DictRow

from sensor_assets._again import rebuilds
from sensor_assets._state import BatchRecord
from sensor_assets.errors import LedgerError
from sensor_assets.ledger import _emission
from sensor_assets.ledger import _sql_operations as _sql
from sensor_assets.ledger._postgres import PostgresLedger
from sensor_assets.ledger._replay import Replay, replay
from sensor_assets.ledger._selection import Selection, check, known

Connection: TypeAlias = psycopg.Connection[DictRow]


@dataclass(frozen=True, kw_only=True)
class Retried:
    """A batch that waits no longer for its next attempt, and what the last one failed with."""

    id: str
    consumer: str
    attempt: int
    failures: int
    not_before: datetime
    error: str | None


@dataclass(frozen=True, kw_only=True)
class Pruned:
    """How many rows were deleted."""

    batches: int
    items: int


class Operations:
    """Operations on one ledger.

    Args:
        ledger: The ledger.
        now: The time (UTC).
        new_id: Gives identities of batches.
        dry_run: Do everything, then roll it back: what is returned is what would happen.
    """

    def __init__(
        self,
        ledger: PostgresLedger,
        *,
        now: datetime,
        new_id: Callable[[], str] = lambda: str(uuid4()),
        dry_run: bool = False,
    ) -> None:
        self._ledger = ledger
        self.now = now
        self.new_id = new_id
        self._dry_run = dry_run

    @contextmanager
    def transaction(self) -> Generator[Connection]:
        """Run a block in one transaction that does not wait long for locks, and is rolled back when nothing is meant.

        Raises:
            LedgerError: A monitor holds a lock for longer than half a minute.
        """
        try:
            with self._ledger.transaction() as connection:
                connection.execute(_sql.PATIENCE)
                yield connection
                if self._dry_run:
                    raise psycopg.Rollback
        except LedgerError as error:
            if isinstance(error.__cause__, psycopg.errors.LockNotAvailable):
                message = "a monitor has been deciding for more than 30 s and nothing was done; try again"
                raise LedgerError(message) from error
            raise

    def replay(self, selection: Selection) -> Replay:
        """Process again the done batches that are selected or hold a selected item.

        Raises:
            UnknownNameError: The ledger holds no such consumer, source, route or partition.
        """
        with self.transaction() as connection:
            check(connection, selection)
            return replay(connection, selection, self.new_id, self.now)

    def rebuild(self, consumer: str, *, route: str | None, partitions: Sequence[str]) -> list[BatchRecord]:
        """Write partitions of a consumer's asset anew, all that it ever wrote unless some are named.

        Raises:
            UnknownNameError: The ledger holds no such consumer, route or partition.
        """
        with self.transaction() as connection:
            selection = Selection(consumer=consumer, route=route)
            check(connection, selection)
            connection.execute(_sql.LOCK_CONSUMERS, selection.values())
            written = connection.execute(_sql.RANGES, selection.values()).fetchall()
            waiting = connection.execute(_sql.WAITING_REBUILDS, selection.values()).fetchall()
            for partition in partitions:
                known("partition", partition, [key for row in written for key in row["partitions"]])
            batches = [
                batch
                for each in sorted({row["route"] for row in written}, key=str)
                for batch in self._rebuild(consumer, each, partitions, written, waiting)
            ]
            for batch in batches:
                _emission.insert(connection, batch, self.now)
        return batches

    def _rebuild(
        self,
        consumer: str,
        route: str | None,
        partitions: Sequence[str],
        written: Sequence[DictRow],
        waiting: Sequence[DictRow],
    ) -> list[BatchRecord]:
        ranges = [tuple(row["partitions"]) for row in written if row["route"] == route]
        ever = {key for keys in ranges for key in keys}
        queued = [tuple(row["partitions"]) for row in waiting if row["route"] == route]
        wanted = [key for key in (partitions or sorted(ever)) if key in ever]
        wanted = [key for key in wanted if not any(key in keys for keys in queued)]
        if (ever and not wanted) or (not ever and queued):
            return []
        return rebuilds(consumer, route, wanted, ranges, self.new_id)

    def retry(self, selection: Selection, *, batch: str | None = None) -> list[Retried]:
        """Let batches whose run failed be tried again with the next tick, not after their pause.

        Args:
            selection: Which batches.
            batch: Beginning of a batch's id.

        Raises:
            UnknownNameError: The ledger holds no such consumer, source, route or partition.
        """
        with self.transaction() as connection:
            check(connection, selection)
            values = {**selection.values(), "batch": batch, "now": self.now}
            return [Retried(**row) for row in connection.execute(_sql.RETRY, values).fetchall()]

    def prune(self, before: datetime) -> Pruned:
        """Delete batches that were finished before a time, and the superseded versions that no batch holds any more.

        The newest version of each key stays, so that what is new is found as before.
        """
        values: dict[str, Any] = {"before": before}
        with self.transaction() as connection:
            connection.execute(_sql.LOCK_CONSUMERS, Selection().values())
            batches = connection.execute(_sql.PRUNE_BATCHES, values).rowcount
            return Pruned(batches=batches, items=connection.execute(_sql.PRUNE_ITEMS, values).rowcount)
