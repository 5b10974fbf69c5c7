"""What a process of a location holds while it works: settings, ledger, opened sources. The Dagster resource."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import cached_property
from itertools import groupby
from threading import Lock
from typing import TYPE_CHECKING, Any
from uuid import uuid4
from weakref import finalize

from sensor_assets._bodies import Bodies
from sensor_assets._consumers import Consumer
from sensor_assets._items import MESSAGE, Item
from sensor_assets._metrics import Metrics, of_code_server, of_run
from sensor_assets._scan import Familiar, SourceScan
from sensor_assets._sources.base import Source, SourceClient
from sensor_assets.ledger import Ledger

if TYPE_CHECKING:
    from sensor_assets._settings import Settings

RESOURCE_KEY = "sensor_assets"

# Scans of one source that hang at the same time, before it is not asked again until one of them has ended.
MOST_HANGING = 3


class Clock:
    """The time, so that a test can turn it."""

    def now(self) -> datetime:
        """Return the time in UTC."""
        return datetime.now(UTC)


class Runtime:
    """Shared by the monitor and the runs of a location; under the resource key ``sensor_assets``."""

    def __init__(
        self, *, settings: "Settings", consumers: Sequence[Consumer], ledger: Ledger, clock: Clock | None = None
    ) -> None:
        self.settings = settings
        self.ledger = ledger
        self.clock = clock or Clock()
        self._lock = Lock()
        self._scans: defaultdict[str, list[SourceScan]] = defaultdict(list)
        self.familiar: dict[int, Familiar] = {}
        self.consumers: Mapping[str, Consumer] = {consumer.name: consumer for consumer in consumers}
        self.sources: Mapping[str, Source] = {
            source.name: source for consumer in consumers for source in consumer.sources
        }

    @cached_property
    def clients(self) -> dict[str, SourceClient]:
        """The opened sources, by name; their connections end with this object or with the process."""
        opened = {name: source.open(self.settings) for name, source in self.sources.items()}
        finalize(self, _close, opened)
        return opened

    def close(self) -> None:
        """Close the connections of sources and ledger."""
        _close(self.clients)
        self.ledger.close()

    @cached_property
    def monitor_metrics(self) -> Metrics:
        """Where monitors of this process measure to."""
        return of_code_server(self.settings, self.ledger.status)

    @cached_property
    def run_metrics(self) -> Metrics:
        """Where runs of this process measure to."""
        return of_run(self.settings)

    def idle_client(self, name: str) -> SourceClient | None:
        """Return a client that no scan uses: a new one where earlier scans still hang, None where too many do."""
        with self._lock:
            hanging = self._scans[name] = [scan for scan in self._scans[name] if scan.busy]
            if len(hanging) >= MOST_HANGING:
                return None
            if hanging:
                self.clients[name] = self.sources[name].open(self.settings)
            return self.clients[name]

    def occupy(self, scan: SourceScan) -> None:
        """Note that a scan is about to use the source's client."""
        with self._lock:
            self._scans[scan.name].append(scan)

    def new_id(self) -> str:
        """Return an identity for a batch."""
        return str(uuid4())

    def readable(self, items: Sequence[Item]) -> list[Item]:
        """Return the items with their reader attached."""
        bodies = Bodies(self.ledger, items)
        return [self._with_reader(item, bodies) for item in items]

    def _with_reader(self, item: Item, bodies: Bodies) -> Item:
        if MESSAGE in item.metadata:
            return replace(item, reader=bodies.read)
        client = self.clients[item.source]
        return replace(item, reader=client.read) if client.readable else item

    def rows(self, items: Sequence[Item]) -> list[dict[str, Any]]:
        """Return the rows of those items that are rows of a table."""
        found: list[dict[str, Any]] = []
        for name, group in groupby(sorted(items, key=lambda item: item.source), key=lambda item: item.source):
            if self.clients[name].tabular:
                found += self.clients[name].rows(list(group))
        return found


def _close(clients: Mapping[str, SourceClient]) -> None:
    for client in clients.values():
        client.close()
