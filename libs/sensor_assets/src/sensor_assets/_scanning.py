"""The scans of one tick: many at once, one page of each at a time, none waited for beyond its patience.

Whatever a scan asks the outside happens in a thread. What it shows is handed to the evaluation's thread, which alone
writes to the ledger: a scan that is left behind can so do no harm whenever it comes back, pages of many sources are
looked up in one statement, and a source with a long backlog has one page waiting, as all others have. A scan stays in
one thread from beginning to end, because much of what opens connections insists on that.

The threads are daemons and no executor's: an executor waits for its threads when the process ends, hanging or not.
"""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from queue import Empty, SimpleQueue
from threading import Thread
from time import monotonic

from sensor_assets._due import Budget
from sensor_assets._scan import Outbox, SourceScan
from sensor_assets.errors import LedgerError
from sensor_assets.ledger import Ledger, ScanSupersededError

# A scan that takes longer than this gets a neighbour: sources that answer at once need no second thread.
_PROMPT_SECONDS = 0.01
# How long a page waits for those of other sources, to be looked up with them.
_COMPANY_SECONDS = 0.05
# Larger pages are not looked up with others: recording them compares a whole range of keys, which costs less by key.
_FEW_ITEMS = 100
# How often the evaluation looks for scans that do not answer.
_LOOK_SECONDS = 0.1


@dataclass(kw_only=True)
class Scanning:
    """Drives the scans of one tick from the evaluation's thread.

    Args:
        ledger: Where pages are recorded.
        budget: Time for all scans together.
        at_once: Most scans that ask the outside at the same time; those that do not answer soon are not counted.
        soon: Seconds after which a scan that does not answer leaves its place to another.
        now: Returns the time (UTC).
    """

    ledger: Ledger
    budget: Budget
    at_once: int
    soon: float
    now: Callable[[], datetime]

    def run(self, scans: Sequence[SourceScan]) -> list[SourceScan]:
        """Scan and record, longest overdue first as they are given; returns the scans that were begun.

        Raises:
            LedgerError: The ledger cannot be used; what was recorded until then is recorded.
        """
        tick = _Tick(self, scans)
        try:
            tick.run()
        finally:
            for scan in scans:
                scan.leave()
        return [scan for scan in scans if scan.begun]


class _Worker(Thread):
    """Draws one scan after the other, until none waits or one is left behind."""

    def __init__(self, tick: "_Tick") -> None:
        super().__init__(name="sensor_assets scan", daemon=True)
        self.scan: SourceScan | None = None
        self.over = False
        self._tick = tick
        self._made = monotonic()

    def run(self) -> None:
        tick = self._tick
        while (scan := tick.next()) is not None:
            self.scan = scan
            scan.draw(tick.outbox, tick.until)
            if isinstance(scan.error, LedgerError):
                tick.outbox.put(scan)
            if scan.left:
                break
        self.over = True
        tick.outbox.put(None)

    def asks(self, now: float, within: float) -> bool:
        """Tell whether its scan asks the outside and was heard of within so many seconds."""
        scan = self.scan
        if self.over or (scan is not None and scan.answered):
            return False
        return (now - self._made if scan is None else scan.silence(now)) <= within


class _Tick:
    """What the evaluation's thread remembers while scans go on."""

    def __init__(self, rules: Scanning, scans: Sequence[SourceScan]) -> None:
        self.outbox: Outbox = SimpleQueue()
        self._rules = rules
        self._began = monotonic()
        self.until = self._began + rules.budget.seconds
        self._waiting = deque(scans)
        self._workers: list[_Worker] = []
        self._shown: list[SourceScan] = []
        self._shown_at = 0.0
        # Scans whose page is recorded stand behind those that have not begun: each gets one page, then each the next.
        self._recorded: deque[SourceScan] = deque()

    def next(self) -> SourceScan | None:
        """Return the next scan that may begin; the workers' threads call it."""
        while True:
            try:
                scan = self._waiting.popleft()
            except IndexError:
                return None
            if self._rules.budget.may_start(monotonic() - self._began, scan.patience):
                return scan

    def run(self) -> None:
        while True:
            now = monotonic()
            self._workers = [worker for worker in self._workers if not self._is_over(worker, now)]
            asking = [worker for worker in self._workers if worker.asks(now, self._rules.soon)]
            more = self._set_going(asking, now)
            if not self._workers:
                return
            self._hear(0.0 if self._shown and not (asking or more) else self._patience())
            lonely = now - self._shown_at > _COMPANY_SECONDS or len(self._shown) >= self._rules.at_once
            if self._shown and (lonely or not (asking or more)):
                self._look_up()

    def _is_over(self, worker: _Worker, now: float) -> bool:
        """Tell whether a worker needs no more attention; leaves it behind where its scan does not answer in time."""
        scan = worker.scan
        if worker.over or scan is None:
            return worker.over
        silence = scan.silence(now)
        if silence > scan.patience or (now > self.until and not scan.answered and not scan.ended):
            scan.outcome = "silent" if silence > scan.patience else "partial"
            scan.seconds = now - scan.began
            scan.leave()
        return scan.left

    def _set_going(self, asking: Sequence[_Worker], now: float) -> bool:
        """Let recorded scans go on, and start workers; tells whether any was started."""
        free = self._rules.at_once - len(asking)
        while free > 0 and self._recorded:
            self._recorded.popleft().go_on()
            free -= 1
        # Twice as many each time, until sources are seen to answer promptly. When many pages wait, they come first.
        if len(self._shown) >= self._rules.at_once or any(worker.asks(now, _PROMPT_SECONDS) for worker in asking):
            return False
        started = [_Worker(self) for _ in range(min(free, len(self._waiting), max(len(asking), 1)))]
        for worker in started:
            worker.start()
        self._workers += started
        return bool(started)

    def _patience(self) -> float:
        """Return how long to wait for the next page."""
        if self._waiting:
            return _PROMPT_SECONDS
        return _COMPANY_SECONDS if self._shown else _LOOK_SECONDS

    def _hear(self, wait: float) -> None:
        try:
            scan = self.outbox.get(timeout=wait) if wait else self.outbox.get_nowait()
        except Empty:
            return
        if scan is None or (scan.left and scan.error is None):
            return
        if scan.error is not None:
            raise scan.error
        if self._must_be_written(scan):
            self._record(scan)
        else:
            self._shown_at = self._shown_at if self._shown else monotonic()
            self._shown.append(scan)

    def _must_be_written(self, scan: SourceScan) -> bool:
        """Tell of a page whether it is to be recorded without being looked up; after news there will be more."""
        page = scan.page
        if page is None or scan.brought_news or page.relisting is not None or page.position != scan.position:
            return True
        if page.bodies:
            # Without news, too: they are to be kept before the queue forgets them.
            return True
        return len(page.items) > _FEW_ITEMS

    def _look_up(self) -> None:
        """Ask for all pages at once which of them hold anything new, and record those."""
        shown, self._shown = self._shown, []
        fresh = self._rules.ledger.news([(scan.scan, scan.page) for scan in shown if scan.page is not None])
        for scan, news in zip(shown, fresh, strict=True):
            if news:
                self._record(scan)
            else:
                self._done_with_page(scan)

    def _record(self, scan: SourceScan) -> None:
        if scan.page is None:
            return
        try:
            new = self._rules.ledger.record(scan.scan, scan.page, self._rules.now())
        except ScanSupersededError:
            scan.outcome = "superseded"
            scan.leave()
            return
        scan.new += new
        scan.brought_news = new > 0
        self._done_with_page(scan)

    def _done_with_page(self, scan: SourceScan) -> None:
        if monotonic() > self.until:
            scan.leave()
        else:
            self._recorded.append(scan)
