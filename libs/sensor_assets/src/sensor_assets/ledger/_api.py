"""What the rest of the library asks of a ledger."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from math import inf
from typing import Any, Protocol

from sensor_assets._items import Item
from sensor_assets._pages import PageMap
from sensor_assets._reconcile import Settlement
from sensor_assets._sources.base import Page
from sensor_assets._start import Start
from sensor_assets._state import Ask, BatchRecord, ConsumerState, Decision, SourceState
from sensor_assets.errors import LedgerError


class ScanSupersededError(LedgerError):
    """A newer scan of the source has begun, so this one may record nothing more."""


@dataclass(frozen=True, kw_only=True)
class Scan:
    """The right to record what one scan of a source sees, until a newer scan begins."""

    source: SourceState
    number: int


@dataclass(frozen=True, kw_only=True)
class ScanEnd:
    """How a scan ended.

    Args:
        scan: The scan.
        due_at: When the source is due again (UTC).
        error: Why it failed.
        listed: Whether scans have now shown all that the source holds, so that consumers that do not start with all of
            it can begin.
    """

    scan: Scan
    due_at: datetime
    error: str | None = None
    listed: bool = False


@dataclass(frozen=True, kw_only=True)
class Emission:
    """What the monitor answers: launch these batches, and acknowledge this epoch by the cursor."""

    epoch: int
    batches: tuple[BatchRecord, ...]
    repeated: bool = False
    held: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, kw_only=True)
class Following:
    """A consumer and the sources whose logs it reads.

    Args:
        name: The consumer.
        sources: Ids of the sources.
        limit: The most arrivals of a log, and of what is parked, that one decision may see.
        max_in_flight: The most batches that may be launched and unfinished; with so many, no arrivals are read.
        starts: Where in the history of a source it starts, unless with all of it.
        all_versions: Ids of the sources of which a newer version replaces nothing: each is processed.
    """

    name: str
    sources: tuple[int, ...]
    limit: int
    max_in_flight: float = inf
    starts: Mapping[int, Start] = field(default_factory=dict[int, Start])
    all_versions: frozenset[int] = frozenset()


# A decision that needs to know more asks, and is made again with the answer in the state; None when it cannot be made.
Decide = Callable[[str, ConsumerState], Decision | Ask | None]
Rejection = tuple[Item, str]


class Ledger(Protocol):
    """Every item, recorded once in order of arrival, and the batches that process them."""

    def sources(self, names: Sequence[str]) -> dict[str, SourceState]:
        """Return the state of the sources, registering new names."""
        ...

    def begin_scan(self, source: SourceState) -> Scan:
        """Begin a scan; every scan of the source that began earlier loses its right to record."""
        ...

    def begin_scans(self, sources: Sequence[SourceState]) -> list[Scan]:
        """Begin a scan of each source, in one statement."""
        ...

    def news(self, pages: Sequence[tuple[Scan, Page]]) -> list[bool]:
        """Tell of each page whether `record` would find a new item in it, in one statement that writes nothing."""
        ...

    def known(self, source_id: int, keys: Sequence[str] | None = None) -> dict[str, str]:
        """Return the newest recorded version of each key, of all keys without `keys`."""
        ...

    def recorded(self, source_id: int, keys: Sequence[str]) -> set[tuple[str, str]]:
        """Return every recorded (key, version) of some keys, without those that are gone."""
        ...

    def live(self, source_id: int, after: str | None, limit: int) -> list[Item]:
        """Return the newest item of each of the first keys after a key, as far as it is not deleted or gone."""
        ...

    def bodies(self, source: str, messages: Sequence[str]) -> dict[str, bytes]:
        """Return the kept bodies of a source's messages, by message id."""
        ...

    def pages(self, source_id: int) -> PageMap:
        """Return what is remembered of a source's listing."""
        ...

    def doubt(self, source: str, key: str) -> None:
        """Let the next scan look again at the part of a source's listing that holds a key."""
        ...

    def record(self, scan: Scan, page: Page, now: datetime) -> int:
        """Record the items whose version differs from the newest recorded one, position and relisting, in one commit.

        In the same commit the bodies of messages are kept; an item of a message that was kept before is left out.

        Returns:
            The number of new arrivals.

        Raises:
            ScanSupersededError: A newer scan began; nothing was recorded.
        """
        ...

    def end_scan(self, scan: Scan, *, now: datetime, due_at: datetime, error: str | None) -> None:
        """Note how the scan ended and when the source is due again."""
        ...

    def end_scans(self, ends: Sequence[ScanEnd], now: datetime) -> dict[str, SourceState]:
        """Note how scans ended, in one statement; those that were superseded change nothing.

        Returns:
            The sources as they are now, by name.
        """
        ...

    def retry_sources(self, names: Sequence[str]) -> None:
        """Let the next tick ask those of the sources that fail, however long they were to be left alone."""
        ...

    def emit(self, monitor: str, epoch: int, consumers: Sequence[Following], decide: Decide, now: datetime) -> Emission:
        """Decide for every consumer and commit batches, positions and the next epoch in one transaction.

        When the ledger is ahead of `epoch`, the last answer never became durable: the same batches are returned again,
        under the same run keys, and nothing is decided.
        """
        ...

    def launched(self, consumers: Sequence[str], monitor: str, epoch: int) -> list[BatchRecord]:
        """Return the emitted batches whose emission Dagster has durably taken."""
        ...

    def succeeded_since(self, consumer: str, moment: datetime) -> bool:
        """Tell whether a batch of the consumer was done after that moment."""
        ...

    def settle(self, settlement: Settlement, now: datetime) -> None:
        """Store the next state of a batch that was emitted; does nothing when its run has settled it meanwhile."""
        ...

    def batch(self, batch_id: str) -> BatchRecord | None:
        """Return a batch, or None when the ledger does not hold it."""
        ...

    def batch_items(self, batch: BatchRecord, *, all_versions: Sequence[str] = ()) -> list[Item]:
        """Return the batch's items in order of arrival, without those that are quarantined or gone.

        Those that a newer arrival replaced are left out as well, except of the sources named in `all_versions`.
        """
        ...

    def newest_items(
        self,
        consumer: str,
        sources: Sequence[int],
        *,
        window: tuple[str, str | None] | None = None,
        route: str | None = None,
        batch_id: str | None = None,
    ) -> list[Item]:
        """Return the newest version of every key, in order of arrival, as far as it may be processed.

        Left out is what is quarantined, what is gone, and what is in another batch than `batch_id` that is failing.

        `window` narrows to partitions from (inclusive) to (exclusive), or to one partition with (name, None); `route`
        to what a router has sent there.
        """
        ...

    def replay(
        self,
        consumer: str,
        *,
        route: str | None,
        partitions: Sequence[str],
        new_id: Callable[[], str],
        now: datetime,
    ) -> int:
        """Let the monitor process again every done batch of a route and of any of the partitions, all without them.

        Returns:
            The number of new batches.
        """
        ...

    def exclusive(self, consumer: str, partitions: Sequence[str]) -> AbstractContextManager[Callable[[], None]]:
        """Wait for, then hold, the only right to write these partitions; it ends with the block or the process.

        The block is given a function that raises LedgerError when the right was lost meanwhile.
        """
        ...

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
        """Mark a batch done, quarantine what it rejected and note what it did not find any more, in one commit."""
        ...

    def status(self) -> list[dict[str, Any]]:
        """Return one row for each source and consumer: seen, waiting, in_flight, done, quarantined, lag, health."""
        ...

    def close(self) -> None:
        """Close connections."""
        ...
