"""One source, scanned and read as the monitor and the runs do it, on a real ledger."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from threading import Thread
from typing import Any

from sensor_assets import Item, ScanContext, Settings, Source
from sensor_assets._bodies import Bodies
from sensor_assets._items import MESSAGE
from sensor_assets.ledger import PostgresLedger, Scan

from .location import settings

NOW = datetime(2013, 1, 1, tzinfo=UTC)


BUDGET_SECONDS = 30.0
"""What an evaluation has for all its scans; the daemon gives up on it after 60."""


def error_within(seconds: float, scanner: "Scanner") -> BaseException | None:
    """Return the error that a scan ends with in that time, or None; a scan that hangs is left to itself."""
    caught: list[BaseException] = []

    def scan() -> None:
        try:
            scanner.scan()
        except BaseException as error:  # noqa: BLE001 - whatever it is, the test judges it
            caught.append(error)

    thread = Thread(target=scan, daemon=True)
    thread.start()
    thread.join(seconds)
    return caught[0] if caught else None


class Scanner:
    """Scans a source into the ledger, page by page."""

    def __init__(self, ledger: PostgresLedger, source: Source, *, given: Settings | None = None) -> None:
        self.ledger = ledger
        self.source = source
        self.settings = given or settings()
        self.client = source.open(self.settings)
        self.resources: Mapping[str, Any] = {}
        self.seconds = BUDGET_SECONDS
        self.now: datetime | None = None
        self.acknowledges = True

    def close(self) -> None:
        self.client.close()

    def scan(self, *, pages: int | None = None) -> int:
        """Scan and record, the whole source or some pages; returns the number of new arrivals."""
        scan, context = self.begin()
        new = 0
        for number, page in enumerate(self.client.scan(context), start=1):
            new += self.ledger.record(scan, page, NOW)
            if page.acknowledge is not None and self.acknowledges:
                page.acknowledge()
            if number == pages:
                break
        return new

    def look(self) -> list[Item]:
        """Scan one page and record nothing, as a process does that is killed."""
        _, context = self.begin()
        for page in self.client.scan(context):
            return list(page.items)
        return []

    def begin(self) -> tuple[Scan, ScanContext]:
        """Begin a scan; returns the right to record what it sees, and what it may use."""
        state = self.ledger.sources([self.source.name])[self.source.name]
        scan = self.ledger.begin_scan(state)
        return scan, ScanContext(
            position=scan.source.position,
            known=lambda keys: self.ledger.known(state.id, keys),
            recorded=lambda keys: self.ledger.recorded(state.id, keys),
            settings=self.settings,
            resources=self.resources,
            pages=self.ledger.pages(state.id),
            live=lambda after, limit: self.ledger.live(state.id, after, limit),
            remaining=lambda: self.seconds,
            now=self.now or datetime.now(UTC),
        )

    def items(self) -> list[Item]:
        """Return the newest version of every key, in the order of arrival."""
        state = self.ledger.sources([self.source.name])[self.source.name]
        return self.ledger.newest_items("nobody", [state.id])

    def keys(self) -> list[str]:
        return sorted(item.key for item in self.items())

    def item(self, key: str) -> Item:
        return next(item for item in self.items() if item.key == key)

    def read(self, key: str) -> bytes:
        """Read the newest version of a key as a run does."""
        return self.read_item(self.item(key))

    def read_item(self, item: Item) -> bytes:
        """Read an item as a run does."""
        return Bodies(self.ledger, [item]).read(item) if MESSAGE in item.metadata else self.client.read(item)

    def rows(self, items: Sequence[Item]) -> list[dict[str, Any]]:
        return self.client.rows(items)
