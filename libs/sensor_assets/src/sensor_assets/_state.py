"""What the ledger knows, as plain values: the input and output of decisions."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from sensor_assets._items import Item
from sensor_assets._placing import Window

BatchState = Literal["waiting", "emitted", "done", "split", "quarantined", "skipped"]
BatchOrigin = Literal["arrivals", "replay", "release", "rebuild"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Arrival:
    """A recorded item and when it was first seen (UTC); compared by identity, so that it can key a dict."""

    source_id: int
    item: Item
    seen_at: datetime


@dataclass(frozen=True, kw_only=True)
class BatchRecord:
    """A batch as the ledger holds it.

    `slices` maps a source id to the arrival numbers that the batch takes from that source's log; a rebuild has none,
    its run reads the newest version of everything. `replaces` are the batches whose effect this one takes the place of:
    those that were halved on the way to it, or those whose items it processes again, which name it as `replaced_by`.
    `halved` tells that the batch is half of one that kept failing. `reason` says why a batch was skipped.
    """

    id: str
    consumer: str
    state: BatchState = "waiting"
    origin: BatchOrigin = "arrivals"
    halved: bool = False
    route: str | None = None
    partitions: tuple[str, ...] = ()
    replaces: tuple[str, ...] = ()
    replaced_by: str | None = None
    slices: Mapping[int, tuple[int, ...]]
    bytes: int = 0
    attempt: int = 0
    failures: int = 0
    not_before: datetime | None = None
    first_failed_at: datetime | None = None
    epoch: int = 0
    reason: str | None = None

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
class Log:
    """Where one consumer stands in a source's log.

    `position` is the last arrival that it has taken, parked or set aside, `end` the last one there is. Arrivals up to
    `released` may be processed without waiting for the other sources.
    """

    source: str
    position: int = 0
    released: int = 0
    end: int = 0


@dataclass(frozen=True, kw_only=True)
class ConsumerState:
    """What one consumer has to decide about: the log behind its position, and its open batches in order of creation.

    `more` tells that the log continues beyond `pending`, which is bounded. `others` counts the consumers that decide
    after this one and have something to decide about as well. `waiting` are the items' partitions ("" for none) for
    which arrivals are parked, with the time since when, in the order in which they are looked at; with `more_waiting`
    there are more than one decision looks at. What is None has not been asked for yet: `shown` says by
    partition key which sources ever showed something for it, `parked` are the parked arrivals that may go now, of which
    there are more with `more_parked`.
    """

    pending: tuple[Arrival, ...] = ()
    more: bool = False
    open: tuple[BatchRecord, ...] = ()
    others: int = 0
    logs: Mapping[int, Log] = field(default_factory=dict[int, Log])
    waiting: Mapping[str, datetime] = field(default_factory=dict[str, datetime])
    more_waiting: bool = False
    shown: Mapping[str, frozenset[str]] | None = None
    parked: tuple[Arrival, ...] | None = None
    more_parked: bool = False


@dataclass(frozen=True, kw_only=True)
class Ask:
    """What has to be known before a consumer can decide: one of both.

    `shown` asks by partition key which sources ever showed an item within a window, `parked` for the parked arrivals
    within any of the windows.
    """

    shown: Mapping[str, Window] | None = None
    parked: tuple[Window, ...] | None = None


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What one consumer does in this tick; applied in one transaction.

    `positions` maps a source id to the last arrival number that is now in a batch, parked or set aside. `park` are
    pending arrivals that wait for something, `unpark` parked ones that are now in a batch or set aside; `released` is
    what it is in `Log`.
    """

    cut: tuple[BatchRecord, ...] = ()
    misfits: tuple[Misfit, ...] = ()
    positions: Mapping[int, int]
    park: tuple[Arrival, ...] = ()
    unpark: tuple[Arrival, ...] = ()
    released: Mapping[int, int] = field(default_factory=dict[int, int])
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
