"""Lists and reads the objects of one source."""

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from sensor_assets._batching import seconds
from sensor_assets._columns import Columns
from sensor_assets._items import UNMATCHED, Item
from sensor_assets._listing.answers import REFUSED, Lines, Lister, ListingError
from sensor_assets._listing.scan import Plan, Position, Scan
from sensor_assets._listing.walk import Step
from sensor_assets._sources.base import Page, ScanContext, SourceClient, place_all
from sensor_assets._sources.object_events import Received, receive
from sensor_assets._sources.object_pages import Collector
from sensor_assets._sources.object_places import (
    ChangedError,
    GoneError,
    Place,
    StorePlace,
    is_s3,
    open_place,
    speaks_s3,
    split,
)
from sensor_assets._sources.object_plan import fingerprint, ignored, plan
from sensor_assets._sources.objects import ObjectSource
from sensor_assets._sources.sqs import SqsReceiver, check_installed, client_of, default_client
from sensor_assets.errors import DefinitionError, ItemChanged, ItemGone, SourceError

if TYPE_CHECKING:
    from obstore.store import ObjectStore

# Why a key is set aside that obstore does not show; what lies before it in the same answer may be hidden as well.
_REFUSED = (
    "key {key!r} has an empty, '.' or '..' segment or a control character, which can be followed on S3 alone; rename it"
)


class ObjectClient(SourceClient):
    """Lists and reads the objects of one source.

    Args:
        source: The declaration.
        url: Where they are.
        queue: Where the store's notifications are, for a source with events.

    Raises:
        DefinitionError: What the source asks for does not work there.
    """

    def __init__(self, source: ObjectSource, url: str, queue: str = "") -> None:
        self._source = source
        self._where = f"source '{source.name}'"
        self._fingerprint = fingerprint(source)
        self._ignores = ignored(source.ignore)
        self._url = url
        self._queue = queue
        self._place: Place | None = None
        self._lister: Lister[Any] | None = None
        self._receiver: SqsReceiver | None = None
        if "://" not in url:
            raise DefinitionError(f"{self._where}: '{url}' is not a URL; a directory is file:///directory")
        if source.versions and not speaks_s3(url):
            raise DefinitionError(f"{self._where}: versions=True is for S3, not for {url}")
        if source.events is not None:
            if not is_s3(url):
                raise DefinitionError(f"{self._where}: events are for S3, not for {url}")
            check_installed(self._where)
        self._bucket, self._prefix = split(url)

    def use(self, store: "ObjectStore") -> None:
        """Follow another store instead of the URL, for a test."""
        self._place, self._lister = StorePlace(store), None

    @property
    def place(self) -> Place:
        """Where the objects are.

        Raises:
            ListingError: It cannot be opened.
        """
        if self._place is None:
            self._place = open_place(self._url)
        return self._place

    @property
    def lister(self) -> Lister[Any]:
        """What lists the objects; counts its calls.

        Raises:
            ListingError: It cannot be opened.
        """
        if self._lister is None:
            self._lister = self.place.lister(self._fingerprint.encode(), versions=self._source.versions)
        return self._lister

    def close(self) -> None:
        receiver, self._receiver = self._receiver, None
        if receiver is not None:
            receiver.close()
        if self._place is not None:
            self._place.close()

    def _failed(self, reason: str) -> SourceError:
        return SourceError(
            f"{self._where} cannot read {self._url}: {reason.rstrip('.')}. "
            "Check that it exists and that this location may list and read it."
        )

    def scan(self, context: ScanContext) -> Iterator[Page]:
        source = self._source
        position = Position.load(context.position, self._fingerprint)
        collected = Collector(lambda lines: self._items(lines, context), context.position)
        try:
            self.lister.begin(context.remaining)
            looked = plan(source, context.now) if self.place.sorts else Plan()
            scan = Scan(self.lister, context.pages, looked, position)
            received, sick = self._received(context)
            for step in self._counted(scan.look(self._announced(received, context, looked)), context):
                yield from collected.add(step, scan.position.dump())
            if received.acknowledge is not None:
                yield from collected.rest(acknowledge=received.acknowledge)
            for step in self._counted(scan.steps(), context):
                missed = self._missed(step.lines, context) if position.swept else 0
                if missed:
                    scan.position = replace(scan.position, missed=scan.position.missed + missed)
                yield from collected.add(step, scan.position.dump(), missed)
            yield from collected.rest(scan.position.dump())
        except ListingError as error:
            # What was listed so far is recorded, so that the next scan gets further.
            yield from collected.rest()
            raise self._failed(str(error)) from error
        for key in self.lister.unseen:
            context.log.log(
                logging.WARNING,
                f"{self._where}: keys just before {key!r} may not be seen, because of its empty, '.' or '..' segment "
                "or control character: rename it",
            )
        if sick is not None:
            raise sick

    def _counted(self, steps: Iterable[Step], context: ScanContext) -> Iterator[Step]:
        """Pass the steps on, and count what they asked the store."""
        counted = self.lister.calls
        try:
            yield from steps
        finally:
            context.calls["list"] += self.lister.calls - counted

    def _received(self, context: ScanContext) -> tuple[Received, SourceError | None]:
        """Take what the queue has; a queue that is sick takes nothing from the scan but its hurry."""
        events = self._source.events
        if events is None:
            return Received(), None
        try:
            if events.resource is not None:
                client = client_of(context.resources[events.resource])
                return receive(SqsReceiver(self._where, self._queue, client), context)
            if self._receiver is None:
                client = default_client(self._where, self._queue, 0)
                self._receiver = SqsReceiver(self._where, self._queue, client)
            return receive(self._receiver, context)
        except SourceError as error:
            return Received(), error

    def _announced(self, received: Received, context: ScanContext, looked: Plan) -> set[str]:
        """Return the keys at which something happened: events say so, or runs that read other versions."""
        ours = {
            notice.key.removeprefix(self._prefix)
            for notice in received.notices
            if notice.bucket == self._bucket and notice.key.startswith(self._prefix)
        }
        # Where everything is looked at, nothing needs to be looked at first.
        return ours if looked.sweep is None else ours | set(context.pages.doubtful())

    def _missed(self, lines: Lines, context: ScanContext) -> int:
        """Return how many versions are new although their event is overdue."""
        if self._source.events is None or not lines:
            return 0
        overdue = context.now - timedelta(seconds=seconds(self._source.events.grace))
        items = self._items(lines, context)
        late = items.take([place for place, time in enumerate(items.modified) if time is not None and time < overdue])
        known = context.known(list(late.keys)) if late.keys else {}
        return sum(known.get(key) != version for key, version in zip(late.keys, late.versions, strict=True))

    def _items(self, lines: Lines, context: ScanContext) -> Columns:
        """Return the lines that are data; of a versioned bucket, those that are not recorded."""
        source = self._source
        seen = context.recorded(list(dict.fromkeys(lines.keys))) if source.versions and lines else set()
        keys, versions, sizes, ignores = lines.keys, lines.versions, lines.sizes, self._ignores
        others = {place for place, version in enumerate(versions) if version is None}
        others |= {place for place, size in enumerate(sizes) if size == 0 and keys[place].endswith("/")}
        others |= {place for place, key in enumerate(keys) if not key or (ignores is not None and ignores(key))}
        others |= {place for place, pair in enumerate(zip(keys, versions, strict=True)) if seen and pair in seen}
        if others:
            lines = lines.take([place for place in range(len(lines)) if place not in others])
        partitions, misfits = place_all(lines.keys, source.key)
        return Columns(
            keys=lines.keys,
            versions=[version or "" for version in lines.versions],
            sizes=lines.sizes,
            modified=lines.modified,
            partitions=partitions,
            metadata={**misfits, **_set_aside(lines)},
            source=source.name,
        )

    def read(self, item: Item) -> bytes:
        where = f"{self._url}/{item.key}"
        try:
            return self.place.read(item)
        except ChangedError as error:
            raise ItemChanged(
                item, f"{where} was overwritten after it was recorded as version {item.version}"
            ) from error
        except GoneError as error:
            raise ItemGone(item, f"{where} was deleted after it was recorded") from error
        except ListingError as error:
            raise self._failed(str(error)) from error


def _set_aside(lines: Lines) -> Mapping[int, Mapping[str, Any]]:
    """Return the metadata of the keys that can be listed and not read, which says why."""
    if REFUSED not in lines.versions:
        return {}
    refused: Sequence[int] = [place for place, version in enumerate(lines.versions) if version == REFUSED]
    return {place: {UNMATCHED: _REFUSED.format(key=lines.keys[place])} for place in refused}
