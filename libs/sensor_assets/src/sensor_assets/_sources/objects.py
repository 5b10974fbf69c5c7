"""Objects below a prefix of an object store: S3, GCS, Azure, a directory."""

import hashlib
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from fnmatch import translate
from functools import cached_property
from typing import Any, Literal, TypeAlias, get_args

from sensor_assets._batching import seconds
from sensor_assets._items import Item
from sensor_assets._listing.answers import Entry, Lister, ListingError
from sensor_assets._listing.scan import Plan, Position, Scan
from sensor_assets._listing.window import open_ranges
from sensor_assets._settings import Settings
from sensor_assets._sources.base import Page, ScanContext, Source, SourceClient, place
from sensor_assets._sources.object_events import ObjectEvents, Received, client_of, default_client, receive
from sensor_assets._sources.object_pages import Collector
from sensor_assets._sources.object_places import (
    ChangedError,
    GoneError,
    Place,
    has_extra,
    is_s3,
    open_place,
    open_store,
    split,
)
from sensor_assets._template import KeyTemplate
from sensor_assets.errors import DefinitionError, ItemChanged, ItemGone, SourceError

Strategy: TypeAlias = Literal["full", "window", "append_only"]

# A digest of the same lines differs when this does, so that everything is listed again once.
FORMAT = 1

__all__ = ["ObjectClient", "ObjectSource", "Strategy", "open_store"]


class ObjectSource(Source):
    """Follow the objects below a URL; an item is one version of one object.

    Args:
        name: Name of the source, unique within the team.
        url: ``s3://bucket/prefix``, ``gs://``, ``az://`` or ``file:///directory``; may hold ``{setting}``s. Credentials
            come from the environment.
        key: Template of the keys below the URL, such as ``{date:%Y-%m-%d}*.csv``: the date is the item's partition. A
            key that does not fit is quarantined, so that a misnamed file is seen.
        ignore: Globs of keys that are not data, such as ``*.tmp``; they are not recorded.
        strategy: What every scan looks at besides a slice of the sweep through everything: ``"window"`` the keys of
            open dates, ``"append_only"`` what comes after all known keys, ``"full"`` everything. Unless told, the
            window where the template's date makes one, nothing with `events`, else everything.
        open_for: How long a date is open: keys of older dates are found by the sweep. It covers the distance of the
            producer's time zone from UTC.
        sweep: LIST calls of a slice of the sweep, about 1,000 keys each.
        versions: Follow every version of a versioned bucket instead of the newest of each scan. S3 only.
        events: A queue with the store's notifications, so that a scan looks first where something happened.
        common: See `Common`.

    A version is the ETag, or with `versions` the version id. Two overwrites between two scans of a bucket without
    versions are one change: only the last can be read by anyone. Deleting an object is no change.

    Raises:
        DefinitionError: What is asked for cannot work.
    """

    kind = "objects"

    def __init__(
        self,
        name: str,
        *,
        url: str,
        key: str | None = None,
        ignore: Sequence[str] = (),
        strategy: Strategy | None = None,
        open_for: timedelta | float = timedelta(days=3),
        sweep: int = 20,
        versions: bool = False,
        events: ObjectEvents | None = None,
        **common: Any,
    ) -> None:
        super().__init__(name, **common)
        self.url = url
        self.key = KeyTemplate(key) if key is not None else None
        self.ignore = tuple(ignore)
        self.strategy = strategy
        self.open_for = timedelta(seconds=seconds(open_for))
        self.sweep = sweep
        self.versions = versions
        self.events = events
        if strategy is not None and strategy not in get_args(Strategy):
            raise DefinitionError(f"source '{name}': strategy is one of {get_args(Strategy)}, not '{strategy}'")
        if sweep < 1:
            raise DefinitionError(f"source '{name}': sweep is at least 1; what nothing else finds, it finds")
        if self.open_for <= timedelta():
            raise DefinitionError(f"source '{name}': open_for must be longer than nothing, not {self.open_for}")
        if strategy == "window" and open_ranges(self.key, datetime(2013, 1, 1, tzinfo=UTC), self.open_for) is None:
            raise DefinitionError(
                f"source '{name}': strategy 'window' needs a key template that begins with a date, or with text and "
                f"then a date, such as '{{date:%Y-%m-%d}}*.csv', and at most 100 open dates if it does not begin with "
                f"the year"
            )

    @property
    def gives_partition(self) -> bool:
        return self.key is not None and self.key.has_partition

    @property
    def keeps_versions(self) -> bool:
        return self.versions

    @property
    def required_resource_keys(self) -> frozenset[str]:
        return frozenset({self.events.resource} if self.events and self.events.resource else ())

    def open(self, settings: Settings) -> "ObjectClient":
        url = settings.fill(self.url, f"source '{self.name}', url")
        queue = settings.fill(self.events.queue, f"source '{self.name}', queue") if self.events else ""
        return ObjectClient(self, url, queue)

    def describe(self, settings: Settings) -> dict[str, Any]:
        url = settings.fill(self.url, f"source '{self.name}', url")
        return {"url": url, "key": self.key.text if self.key else "*", "strategy": self.chosen}

    @property
    def chosen(self) -> str:
        """The strategy, also when none was named."""
        if self.strategy is not None or self.events is not None:
            return " and ".join(part for part in (self.events and "events", self.strategy) if part)
        dated = open_ranges(self.key, datetime(2013, 1, 1, tzinfo=UTC), self.open_for) is not None
        return "window" if dated else "full"

    def plan(self, now: datetime) -> Plan:
        """Return what a scan looks at."""
        match self.strategy:
            case "full":
                return Plan()
            case "append_only":
                return Plan(tail=True, sweep=self.sweep)
            case None if self.events is not None:
                return Plan(sweep=self.sweep)
            case _:
                ranges = open_ranges(self.key, now, self.open_for)
                return Plan() if ranges is None else Plan(window=ranges, sweep=self.sweep)

    @cached_property
    def ignores(self) -> Callable[[str], bool]:
        """Return whether a key is not to be recorded."""
        if not self.ignore:
            return lambda key: False  # noqa: ARG005
        pattern = re.compile("|".join(translate(glob) for glob in self.ignore))
        return lambda key: bool(pattern.match(key) or pattern.match(key.rsplit("/", 1)[-1]))

    @cached_property
    def fingerprint(self) -> str:
        """What decides which lines of a listing become items."""
        return hashlib.sha256(repr((FORMAT, sorted(self.ignore), self.versions)).encode()).hexdigest()[:16]


class ObjectClient(SourceClient):
    """Lists and reads the objects of one source."""

    def __init__(self, source: ObjectSource, url: str, queue: str = "") -> None:
        self._source = source
        self._url = url
        self._queue = queue
        if "://" not in url:
            raise DefinitionError(f"source '{source.name}': '{url}' is not a URL; a directory is file:///directory")
        for wanted, what in ((source.versions, "versions=True"), (source.events is not None, "events")):
            if wanted and not is_s3(url):
                raise DefinitionError(f"source '{source.name}': {what} is for S3, not for {url}")
            if wanted and not has_extra():
                raise DefinitionError(f"source '{source.name}': {what} needs the extra: sensor-assets[s3]")
        self._bucket, self._prefix = split(url)

    @cached_property
    def _place(self) -> Place:
        return open_place(self._url)

    @cached_property
    def lister(self) -> Lister[Any]:
        """What lists the objects; counts its calls."""
        return self._place.lister(self._source.fingerprint.encode(), versions=self._source.versions)

    @cached_property
    def _sqs(self) -> Any:
        return default_client()

    def _failed(self, reason: str) -> SourceError:
        return SourceError(
            f"source '{self._source.name}' cannot read {self._url}: {reason.rstrip('.')}. "
            "Check that it exists and that this location may list and read it."
        )

    def scan(self, context: ScanContext) -> Iterator[Page]:
        try:
            self.lister.begin()
        except ListingError as error:
            raise self._failed(str(error)) from error
        source = self._source
        plan = source.plan(context.now) if self._place.sorts else Plan()
        position = Position.load(context.position, source.fingerprint)
        scan = Scan(self.lister, context.pages, plan, position)
        collected = Collector(lambda entries: self._items(entries, context), context.position)
        received, sick = self._received(context)
        try:
            for step in scan.look(self._announced(received, context, plan)):
                yield from collected.add(step, scan.position.dump())
            if received.acknowledge is not None:
                yield from collected.rest(acknowledge=self._acknowledging(received.acknowledge))
            for step in scan.steps():
                if source.events is not None and scan.position.swept:
                    missed = self._missed(step.entries, context, source.events.grace)
                    scan.position = replace(scan.position, missed=scan.position.missed + missed)
                yield from collected.add(step, scan.position.dump())
            yield from collected.rest(scan.position.dump())
        except ListingError as error:
            # What was listed so far is recorded, so that the next scan gets further.
            yield from collected.rest()
            raise self._failed(str(error)) from error
        if sick is not None:
            raise sick

    def _received(self, context: ScanContext) -> tuple[Received, SourceError | None]:
        """Take what the queue has; a queue that is sick takes nothing from the scan but its hurry."""
        if self._source.events is None:
            return Received((), None), None
        name = self._source.events.resource
        try:
            client = client_of(context.resources[name]) if name else self._sqs
            return receive(client, self._queue), None
        except ListingError as error:
            return Received((), None), SourceError(f"source '{self._source.name}': {error}")

    def _acknowledging(self, acknowledge: Callable[[], None]) -> Callable[[], None]:
        def acknowledging() -> None:
            try:
                acknowledge()
            except ListingError as error:
                raise SourceError(f"source '{self._source.name}': {error}") from error

        return acknowledging

    def _announced(self, received: Received, context: ScanContext, plan: Plan) -> set[str]:
        """Return the keys at which something happened: events say so, or runs that read other versions."""
        ours = {
            notice.key.removeprefix(self._prefix)
            for notice in received.notices
            if notice.bucket == self._bucket and notice.key.startswith(self._prefix)
        }
        # Where everything is looked at, nothing needs to be looked at first.
        return ours if plan.sweep is None else ours | set(context.pages.doubtful())

    def _missed(self, entries: Sequence[Entry], context: ScanContext, grace: timedelta) -> int:
        """Return how many versions are new although their event is overdue."""
        overdue = context.now - grace
        late = [item for item in self._items(entries, context) if item.modified and item.modified < overdue]
        known = context.known([item.key for item in late]) if late else {}
        return sum(known.get(item.key) != item.version for item in late)

    def _items(self, entries: Sequence[Entry], context: ScanContext) -> list[Item]:
        """Return the lines that are data; of a versioned bucket, those that are not recorded."""
        source = self._source
        name, template, ignores = source.name, source.key, source.ignores
        seen = context.recorded(list({entry.key for entry in entries})) if source.versions and entries else set()
        items: list[Item] = []
        for key, version, size, modified in entries:
            marker = not key or (size == 0 and key.endswith("/"))
            if version is None or marker or (key, version) in seen or ignores(key):
                continue
            partition, metadata = place(key, template)
            items.append(
                Item(
                    key=key,
                    version=version,
                    size=size,
                    modified=modified,
                    partition=partition,
                    metadata=metadata,
                    source=name,
                )
            )
        return items

    def read(self, item: Item) -> bytes:
        where = f"{self._url}/{item.key}"
        try:
            return self._place.read(item)
        except ChangedError as error:
            raise ItemChanged(
                item, f"{where} was overwritten after it was recorded as version {item.version}"
            ) from error
        except GoneError as error:
            raise ItemGone(item, f"{where} was deleted after it was recorded") from error
        except ListingError as error:
            raise self._failed(str(error)) from error
