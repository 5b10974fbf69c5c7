"""What is new in a stream that may tell each time everything that ever happened."""

from time import monotonic

from sensor_assets._items import Item
from sensor_assets._sources.base import ScanContext

PAGE_ITEMS = 1000

# Changes that are held back at most, so that memory stays bounded.
MOST_HELD = 10_000

# With less time than this left (seconds), or less than two pages took, a scan may be at its end.
LAST_SECONDS = 2.0


class History:
    """Cut a stream of items into pages, such that a key's older versions are not taken for news.

    An item is new when it differs from the newest recorded version of its key. A stream that tells a key's versions A
    and B each time would be recorded as A, B, A, B, ... when they lie in different pages: A differs from the recorded
    B. So a change of a recorded key is held back until the stream ends. When the recorded version follows, what was
    held back for the key is history.
    """

    def __init__(self, context: ScanContext) -> None:
        self._context = context
        self._page: list[Item] = []
        self._held: dict[str, list[Item]] = {}
        self._number_held = 0
        self._page_began = monotonic()

    def add(self, item: Item) -> bool:
        """Take an item; tells whether a page is full, which is then to be fetched from `fresh`."""
        self._page.append(item)
        return len(self._page) >= PAGE_ITEMS

    def fresh(self) -> list[Item]:
        """Return what of the full page is to be recorded now, perhaps nothing."""
        took, self._page_began = monotonic() - self._page_began, monotonic()
        fresh = self._compare()
        # Held back longer, they would be forgotten with the scan: what takes longer than a tick is never at its end.
        if self._context.remaining() < max(LAST_SECONDS, 2 * took) or self._number_held > MOST_HELD:
            fresh += self._release()
        return fresh

    def rest(self) -> list[Item]:
        """Return what is left to record when the stream has ended."""
        return self._compare() + self._release()

    def _compare(self) -> list[Item]:
        page, self._page = self._page, []
        if not page:
            return []
        known = self._context.known(list({item.key for item in page}))
        fresh: list[Item] = []
        for item in page:
            if item.key not in known:
                fresh.append(item)
            elif item.version == known[item.key]:
                self._number_held -= len(self._held.pop(item.key, ()))
            else:
                self._held.setdefault(item.key, []).append(item)
                self._number_held += 1
        return fresh

    def _release(self) -> list[Item]:
        held = [item for versions in self._held.values() for item in versions]
        self._held.clear()
        self._number_held = 0
        return held
