"""What every source is: a declaration, and the opened client that scans and reads."""

import logging
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

from sensor_assets._batching import seconds
from sensor_assets._due import MOST_PATIENCE, MOST_SCAN_SECONDS
from sensor_assets._items import UNMATCHED, Item
from sensor_assets._log import Log
from sensor_assets._pages import NoPages, PageMap, Relisting
from sensor_assets._start import Start, parse_start
from sensor_assets._template import KeyTemplate
from sensor_assets.errors import DefinitionError

if TYPE_CHECKING:
    from sensor_assets._settings import Settings

Duration = timedelta | float | str


@dataclass(frozen=True, kw_only=True)
class Page:
    """A bounded part of what a scan saw; all of it is recorded in one transaction.

    Args:
        items: What was seen.
        position: Scan position after it.
        relisting: What is to be remembered of the listing.
        acknowledge: Called once the page is durably recorded, for a queue that forgets what is acknowledged.
        incomplete: Of a scan's last page: the source holds more, which no scan has shown yet. For listings that go on
            in the next scan; see `start_from`.
        bodies: Bytes that the source is about to forget, by message id, kept in the ledger for `Item.read`. An item
            names its message in its metadata; one whose message is kept already is not recorded again.
        missed: How many of the items are new although the outside should have told of them before.
    """

    items: Sequence[Item]
    position: Any = None
    relisting: Relisting | None = None
    acknowledge: Callable[[], None] | None = None
    incomplete: bool = False
    bodies: Mapping[str, bytes] = field(default_factory=dict[str, bytes])
    missed: int = 0


@dataclass(frozen=True, kw_only=True)
class ScanContext:
    """What a scan may use.

    Args:
        position: Position that the last recorded page left, or None at first.
        known: Newest recorded version of each of the given keys, of all keys when called without.
        settings: The location's settings.
        resources: Dagster resources that the source asked for, by name.
        recorded: Every recorded (key, version) of the given keys.
        pages: What is remembered of the source's listing.
        live: The newest recorded items of the first keys after a key (by UTF-8 bytes), from the beginning with None; at
            most so many, and without those that are deleted or gone.
        log: Where to say what a person should know; shown with the monitor's tick.
        now: The time (UTC).
        remaining: Returns the seconds in which the next page, or the end, is expected; after that the scan is left
            behind and the source counts as failed. A bound for the source's own calls.
        calls: How often the scan asked the outside, by operation; a source counts as it asks: ``calls["list"] += 1``.
    """

    position: Any
    known: Callable[[Sequence[str] | None], Mapping[str, str]]
    settings: "Settings"
    resources: Mapping[str, Any] = field(default_factory=dict[str, Any])
    recorded: Callable[[Sequence[str]], set[tuple[str, str]]] = lambda _: set()
    pages: PageMap = field(default_factory=NoPages)
    live: Callable[[str | None, int], Sequence[Item]] = field(default=lambda after, limit: ())  # noqa: ARG005
    log: Log = field(default_factory=lambda: logging.getLogger("sensor_assets"))
    now: datetime = field(default_factory=lambda: datetime.now(UTC))
    remaining: Callable[[], float] = lambda: MOST_SCAN_SECONDS
    calls: Counter[str] = field(default_factory=Counter[str])


class SourceClient(ABC):
    """An opened source. Used by one evaluation or one run at a time, and by a scan in one thread of its own."""

    @abstractmethod
    def scan(self, context: ScanContext) -> Iterable[Page]:
        """Yield what the source shows now, page by page; stopping between pages loses nothing.

        Raises:
            SourceError: The source cannot be read.
        """

    def read(self, item: Item) -> bytes:
        """Return the bytes of exactly the recorded version; see `Item.read`."""
        raise NotImplementedError

    def rows(self, items: Sequence[Item]) -> list[dict[str, Any]]:
        """Return the rows of the items that still have the recorded version; see `Batch.rows`."""
        raise NotImplementedError

    def close(self) -> None:  # noqa: B027 - most clients hold nothing that is to be closed
        """Close connections; the client may be used again and opens new ones."""

    @property
    def readable(self) -> bool:
        """Whether the source's items have bytes."""
        return type(self).read is not SourceClient.read

    @property
    def tabular(self) -> bool:
        """Whether the source's items are rows of a table."""
        return type(self).rows is not SourceClient.rows


@dataclass(frozen=True, kw_only=True)
class Common:
    """What every source takes.

    Args:
        every: Seconds between two scans, a timedelta, or a ``"{setting}"``.
        stale_after: How long scans may fail before the monitor's tick fails as well.
        start_from: What an asset gets of the items that are there when it begins to follow the source: "all", none of
            them ("now"), or those from a date on: whose partition is not before it, or where the partition is no date,
            that were not modified before it (UTC). All are recorded, so that a backfill finds them, and whatever
            changes later is processed. It is looked at once: changing it later changes nothing.
        patience: Seconds that a scan may take to show its first page, and each further one, before the source counts as
            failed; at most 25. Unless told it depends on the time between two ticks: 12 s with every 30 s. A tick waits
            for its slowest source, so one that needs longer than its neighbours' intervals wants a `SourceGroup`.
        description: Shown in the UI.
        key_prefix: Prefix of the source's node in the asset graph; unless told, that of the asset which follows it.
        group_name: Group of the source's node.
        metadata: More metadata for that node.
    """

    every: Duration = 30.0
    stale_after: timedelta | float = timedelta(hours=1)
    start_from: Start | str = "all"
    patience: timedelta | float | None = None
    description: str | None = None
    key_prefix: str | Sequence[str] | None = None
    group_name: str = "sources"
    metadata: Mapping[str, Any] = field(default_factory=dict[str, Any])


class CommonOptionsButMetadata(TypedDict, total=False):
    """The fields of `Common` as keyword arguments, for a source whose own ``metadata`` is something else."""

    every: Duration
    stale_after: timedelta | float
    start_from: Start | str
    patience: timedelta | float | None
    description: str | None
    key_prefix: str | Sequence[str] | None
    group_name: str


class CommonOptions(CommonOptionsButMetadata, total=False):
    """The fields of `Common` as keyword arguments, so that a type checker knows them."""

    metadata: Mapping[str, Any]


class Source(ABC):
    """A place outside Dagster where data appears. Declared at import, opened with the settings of an environment."""

    kind: str = "source"

    def __init__(self, name: str, **common: Unpack[CommonOptions]) -> None:
        if not name.isidentifier():
            raise DefinitionError(f"source '{name}': a name has letters, digits and underscores, as in flight_files")
        if unknown := sorted(set(common) - {field.name for field in fields(Common)}):
            raise DefinitionError(
                f"source '{name}': there is no argument {', '.join(unknown)}; see {type(self).__name__}"
            )
        self.name = name
        self.common = Common(**common)
        self.start_from: Start = parse_start(self.common.start_from, f"source '{name}'")
        patience = self.patience
        if patience is not None and not 0 < patience <= MOST_PATIENCE:
            raise DefinitionError(
                f"source '{name}': patience must be more than 0 and at most {MOST_PATIENCE:.0f} seconds, "
                f"not {patience}: the daemon gives up on a tick after 60 s"
            )

    @property
    def patience(self) -> float | None:
        """Seconds that a scan may take to answer, if the source says so."""
        return None if self.common.patience is None else seconds(self.common.patience)

    @property
    def required_resource_keys(self) -> frozenset[str]:
        """Names of the Dagster resources that a scan needs."""
        return frozenset()

    @property
    def gives_partition(self) -> bool:
        """Whether items may carry a partition."""
        return True

    @property
    def keeps_versions(self) -> bool:
        """Whether an older version can still be read when there is a newer one; then each is processed."""
        return False

    @abstractmethod
    def open(self, settings: "Settings") -> SourceClient:
        """Fill in the settings and return a client; does not touch the outside yet.

        Raises:
            DefinitionError: A placeholder names no setting, or the filled-in value cannot work.
        """

    @abstractmethod
    def describe(self, settings: "Settings") -> dict[str, Any]:
        """Return metadata for the source's node in the UI; never a secret."""

    def objection(self, key: str) -> str | None:  # noqa: ARG002 - a source that has none takes every key
        """Return why a scan would not record a key, or would put it into quarantine; None when it would take it."""
        return None

    def interval(self, settings: "Settings") -> float:
        """Return the seconds between two scans.

        Raises:
            DefinitionError: `every` is not a positive number.
        """
        every = self.common.every
        text = settings.fill(every, f"source '{self.name}', every") if isinstance(every, str) else every
        try:
            value = float(text) if isinstance(text, str) else seconds(text)
        except ValueError:
            value = -1.0
        if value <= 0:
            raise DefinitionError(f"source '{self.name}': every must be a positive number of seconds, not '{text}'")
        return value

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r})"


def place(item_key: str, template: KeyTemplate | None) -> tuple[str | None, dict[str, Any]]:
    """Return a key's partition, and metadata that says why it has no place where it does not fit the template."""
    if template is None:
        return None, {}
    match = template.match(item_key)
    if match is None:
        return None, {UNMATCHED: mismatch(item_key, template)}
    return match.partition, {}


def place_all(
    keys: Sequence[str], template: KeyTemplate | None
) -> tuple[Sequence[str | None], dict[int, dict[str, Any]]]:
    """Return `place` of many keys, as `Columns` take it: the partitions, and the metadata of keys without a place."""
    if template is None:
        return (), {}
    partitions, misfits = template.match_all(keys)
    return partitions, {number: place(keys[number], template)[1] for number in misfits}


def mismatch(key: str, template: KeyTemplate) -> str:
    """Say that a key does not fit."""
    return f"key '{key}' does not match '{template.text}'"
