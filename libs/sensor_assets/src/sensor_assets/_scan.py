"""One scan of one source: what it draws from the source in its thread, and what the evaluation hears of it."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import blake2b
from queue import SimpleQueue
from threading import Semaphore
from time import monotonic
from typing import Any, Literal

from sensor_assets._columns import Columns
from sensor_assets._sources.base import Page, ScanContext, SourceClient
from sensor_assets.ledger import Scan

# Complete: all was shown. Partial: the tick was over before. Silent: it did not answer within its patience. Superseded:
# a newer scan of the source has begun elsewhere.
Outcome = Literal["complete", "partial", "failed", "silent", "superseded"]

# Pages of one source that are remembered, of about 1,000 items each.
MOST_FAMILIAR = 2000


@dataclass(frozen=True, kw_only=True)
class Familiar:
    """Pages that held nothing new, by digest, and the state of the source's log in which that was so.

    They hold nothing new as long as nothing was recorded or noticed gone, and nobody else has scanned the source. Kept
    in the process: where it is lost, the ledger is asked once more.
    """

    number: int
    arrivals: int
    gone: int
    digests: frozenset[bytes] = frozenset()

    def still(self, scan: Scan) -> frozenset[bytes]:
        """Return the digests of the pages of which the next scan need not ask the ledger."""
        same = (self.number + 1, self.arrivals, self.gone) == (scan.number, scan.source.arrivals, scan.source.gone)
        return self.digests if same else frozenset()


class SourceScan:
    """One scan of one source. `draw` runs in a thread; everything else belongs to the evaluation's thread.

    Args:
        scan: The right to record.
        client: The opened source, which no other scan uses.
        context: Returns what the scan may use; it is given the function that tells the remaining seconds and the
            counter of calls.
        patience: Seconds without an answer after which it is left behind.
        familiar: Digests of pages that hold nothing new.
    """

    def __init__(
        self,
        scan: Scan,
        client: SourceClient,
        context: Callable[[Callable[[], float], Counter[str]], ScanContext],
        *,
        patience: float,
        familiar: frozenset[bytes] = frozenset(),
    ) -> None:
        self.scan = scan
        self.patience = patience
        self.page: Page | None = None
        self.position: Any = scan.source.position
        self.error: BaseException | None = None
        self.outcome: Outcome = "partial"
        self.begun = self.ended = self.answered = self.left = self.brought_news = False
        self.listed = True
        self.new = self.shown = self.pages = self.missed = 0
        self.calls: Counter[str] = Counter()
        self.began = self.heard = monotonic()
        self.seconds = 0.0
        self._client = client
        self._make_context = context
        self._familiar = familiar
        self._seen: set[bytes] = set()
        self._until = 0.0
        self._go_on = Semaphore(0)

    @property
    def name(self) -> str:
        """Name of the source."""
        return self.scan.source.name

    @property
    def busy(self) -> bool:
        """Whether the client is in use."""
        return self.begun and not self.ended

    def draw(self, outbox: "Outbox", until: float) -> None:
        """Scan to the end; each page that the ledger must see goes to `outbox` and is waited for.

        Whatever the source raises is an answer too.
        """
        self.begun, self._until = True, until
        self.began = self.heard = monotonic()
        try:
            self._draw(outbox)
            outcome: Outcome = "complete"
        except BaseException as error:  # noqa: BLE001 - also a SystemExit of the user's function ends here
            self.error, outcome = error, "failed"
        self.ended = True
        if not self.left:
            self.outcome, self.seconds = outcome, monotonic() - self.began

    def _draw(self, outbox: "Outbox") -> None:
        pages = iter(self._client.scan(self._make_context(self.remaining, self.calls)))
        try:
            for page in pages:
                self.pages += 1
                self.shown += len(page.items)
                self.listed = not page.incomplete
                if not self._is_familiar(page):
                    self.page, self.answered = page, True
                    outbox.put(self)
                    self._go_on.acquire()
                if self.left:
                    return
                if page.acknowledge is not None:
                    page.acknowledge()
                self.position = page.position
                self.missed += page.missed
                self.heard = monotonic()
        finally:
            close = getattr(pages, "close", None)
            if close is not None:
                close()

    def _is_familiar(self, page: Page) -> bool:
        """Tell whether a page leaves the ledger as it is, as far as that is known without asking."""
        # Bodies are to be kept before the queue forgets them, whatever they tell.
        if page.bodies or page.relisting is not None or page.position != self.position:
            return False
        if not len(page.items):
            return True
        if self.brought_news:
            return False
        digest = digest_of(page)
        self._seen.add(digest)
        return digest in self._familiar

    def go_on(self) -> None:
        """Let the scan draw the next page, now that this one is recorded."""
        self.heard, self.answered, self.page = monotonic(), False, None
        self._go_on.release()

    def leave(self) -> None:
        """Wait for the scan no more; it ends at its next page, which nobody records."""
        self.left = True
        self._go_on.release()

    def remaining(self) -> float:
        """Return the seconds in which an answer is expected."""
        return min(self._until, self.heard + self.patience) - monotonic()

    def silence(self, now: float) -> float:
        """Return the seconds since the scan was last heard of, 0 when it is the evaluation that has to answer."""
        return 0.0 if self.answered or self.ended else now - self.heard

    def familiar(self) -> Familiar | None:
        """Return the pages that held nothing new, or None when there was something new."""
        if self.new or self.outcome in ("failed", "silent", "superseded") or len(self._seen) > MOST_FAMILIAR:
            return None
        source = self.scan.source
        digests = self._seen | (self._familiar if self.outcome == "partial" else set())
        return Familiar(number=self.scan.number, arrivals=source.arrivals, gone=source.gone, digests=frozenset(digests))


def digest_of(page: Page) -> bytes:
    """Return a digest of what decides whether a page's items are new: keys and versions in their order."""
    items = page.items if isinstance(page.items, Columns) else Columns.of(page.items)
    digest = blake2b(digest_size=16)
    for column in (items.keys, items.versions):
        # With their lengths, so that no two columns read the same.
        digest.update(repr([len(text) for text in column]).encode())
        digest.update("".join(column).encode("utf-8", "surrogatepass"))
    return digest.digest()


# Scans whose page the ledger must see, and None when a thread is done.
Outbox = SimpleQueue[SourceScan | None]
