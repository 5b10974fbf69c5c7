"""What the ledger knows, as plain values: the input and output of decisions."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from sensor_assets._items import Item

BatchState = Literal["waiting", "emitted", "done", "split", "quarantined"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Arrival:
    """A recorded item and when it was first seen (UTC); compared by identity, so that it can key a dict."""

    source_id: int
    item: Item
    seen_at: datetime


@dataclass(frozen=True, kw_only=True)
class BatchRecord:
    """A batch as the ledger holds it.

    `slices` maps a source id to the arrival numbers that the batch takes from that source's log. `replaces` are the
    batches that were halved on the way to this one, the first of them first.
    """

    id: str
    consumer: str
    state: BatchState = "waiting"
    route: str | None = None
    partitions: tuple[str, ...] = ()
    replaces: tuple[str, ...] = ()
    slices: Mapping[int, tuple[int, ...]]
    bytes: int = 0
    attempt: int = 0
    failures: int = 0
    not_before: datetime | None = None
    first_failed_at: datetime | None = None
    epoch: int = 0

    @property
    def items(self) -> int:
        """Number of arrivals in the batch."""
        return sum(len(arrivals) for arrivals in self.slices.values())

    @property
    def run_key(self) -> str:
        """Key under which the daemon launches this attempt at most once."""
        return f"{self.id}:a{self.attempt}"


@dataclass(frozen=True, kw_only=True)
class Misfit:
    """An arrival that can never be placed, and why."""

    source_id: int
    arrival: int
    reason: str


@dataclass(frozen=True, kw_only=True)
class ConsumerState:
    """What one consumer has to decide about: the log behind its position, and its open batches in order of creation.

    `more` tells that the log continues beyond `pending`, which is bounded. `others` counts the consumers that decide
    after this one and have something to decide about as well.
    """

    pending: tuple[Arrival, ...] = ()
    more: bool = False
    open: tuple[BatchRecord, ...] = ()
    others: int = 0


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What one consumer does in this tick; applied in one transaction.

    `positions` maps a source id to the last arrival number that is now in a batch or set aside.
    """

    cut: tuple[BatchRecord, ...] = ()
    misfits: tuple[Misfit, ...] = ()
    positions: Mapping[int, int]
    emit: tuple[str, ...] = ()
    held: str | None = None


@dataclass(frozen=True, kw_only=True)
class SourceState:
    """A source as the ledger holds it: scan position, health, and when it is due again (UTC).

    `arrivals` is the length of its log, `gone` counts the arrivals that runs did not find any more; `listed_at` is when
    scans had shown all that it held for the first time.
    """

    id: int
    name: str
    arrivals: int = 0
    gone: int = 0
    position: Any = None
    failures: int = 0
    failing_since: datetime | None = None
    error: str | None = None
    scanned_at: datetime | None = None
    due_at: datetime | None = None
    listed_at: datetime | None = None
