"""What a process of a location holds while it works: settings, ledger, opened sources. The Dagster resource."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import cached_property
from itertools import groupby
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from sensor_assets._consumers import Consumer
from sensor_assets._items import Item
from sensor_assets._sources.base import Source, SourceClient
from sensor_assets.ledger import Ledger

if TYPE_CHECKING:
    from sensor_assets._settings import Settings

RESOURCE_KEY = "sensor_assets"


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
        self.consumers: Mapping[str, Consumer] = {consumer.name: consumer for consumer in consumers}
        self.sources: Mapping[str, Source] = {
            source.name: source for consumer in consumers for source in consumer.sources
        }

    @cached_property
    def clients(self) -> Mapping[str, SourceClient]:
        """The opened sources, by name."""
        return {name: source.open(self.settings) for name, source in self.sources.items()}

    def new_id(self) -> str:
        """Return an identity for a batch."""
        return str(uuid4())

    def readable(self, items: Sequence[Item]) -> list[Item]:
        """Return the items with their reader attached."""
        return [self._with_reader(item) for item in items]

    def _with_reader(self, item: Item) -> Item:
        client = self.clients[item.source]
        return replace(item, reader=client.read) if client.readable else item

    def rows(self, items: Sequence[Item]) -> list[dict[str, Any]]:
        """Return the rows of items of table sources."""
        found: list[dict[str, Any]] = []
        for name, group in groupby(sorted(items, key=lambda item: item.source), key=lambda item: item.source):
            found += self.clients[name].rows(list(group))
        return found
