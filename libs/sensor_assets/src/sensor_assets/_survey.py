"""Scan the sources that are due, and note how that went and when each is due again."""

import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from time import monotonic
from typing import Any

from sensor_assets._due import Budget, budget, due, next_due, retry_at, tick_seconds
from sensor_assets._journal import Journal
from sensor_assets._runtime import MOST_HANGING, Runtime
from sensor_assets._scan import SourceScan
from sensor_assets._scanning import Scanning
from sensor_assets._sources.base import ScanContext, Source
from sensor_assets._state import SourceState
from sensor_assets.errors import SensorAssetsError
from sensor_assets.ledger import Scan, ScanEnd


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Bounds of one evaluation.

    Args:
        launches: Most batches launched.
        scans: Most scans that ask the outside at the same time, those apart that do not answer soon.
        soon: Seconds after which a scan that does not answer leaves its place to another.
    """

    launches: int = 25
    scans: int = 16
    soon: float = 0.5


@dataclass(frozen=True, kw_only=True)
class Survey:
    """What scanning found: the sources' new states, the new arrivals by source, how many were checked.

    `budget_used` is the part of the time for scans that was used.
    """

    states: Mapping[str, SourceState]
    arrived: Mapping[str, int] = field(default_factory=dict[str, int])
    checked: int = 0
    budget_used: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Surveyor:
    """Scans the sources of one monitor.

    Args:
        runtime: Ledger, clients, clock.
        sources: The monitor's sources by name.
        resources: Dagster resources by name.
        journal: Is told how each scan ended.
        limits: Bounds.
    """

    runtime: Runtime
    sources: Mapping[str, Source]
    resources: Mapping[str, Any]
    journal: Journal
    limits: Limits

    def survey(self, states: Mapping[str, SourceState], *, retry: bool) -> Survey:
        """Scan what is due; `retry` asks sources that fail as well, before they are due.

        Raises:
            LedgerError: The ledger cannot be used.
        """
        intervals = {name: source.interval(self.runtime.settings) for name, source in self.sources.items()}
        tick = tick_seconds(list(intervals.values()))
        now_due = due(states, self.runtime.clock.now(), tick, retry=retry)
        if not now_due:
            return Survey(states=states)
        began = monotonic()
        time = budget(tick, [source.patience for source in self.sources.values() if source.patience is not None])
        begun = self.runtime.ledger.begin_scans(now_due)
        scans, ends = self._open(begun, time)
        scanned = Scanning(
            ledger=self.runtime.ledger,
            budget=time,
            at_once=self.limits.scans,
            soon=self.limits.soon,
            now=self.runtime.clock.now,
        ).run(scans)
        if len(scanned) < len(scans):
            left = f"scanned for {time.seconds:.0f} s; {len(scans) - len(scanned)} due sources are first next time"
            self.journal.line(logging.INFO, left)
        ends |= {scan.name: error_of(scan) for scan in scanned if scan.outcome != "superseded"}
        return Survey(
            states={**states, **self._end({scan.source.name: scan for scan in begun}, ends, scanned, intervals)},
            arrived={scan.name: scan.new for scan in scanned if scan.new},
            checked=len(scanned),
            budget_used=(monotonic() - began) / time.seconds,
        )

    def _open(self, begun: Sequence[Scan], time: Budget) -> tuple[list[SourceScan], dict[str, str | None]]:
        """Return the scans that can be made, and the errors of the sources that cannot be asked."""
        scans: list[SourceScan] = []
        errors: dict[str, str | None] = {}
        now = self.runtime.clock.now()
        for scan in begun:
            name = scan.source.name
            client = self.runtime.idle_client(name)
            if client is None:
                errors[name] = (
                    f"source '{name}' does not answer: {MOST_HANGING} scans of it still hang. "
                    "Give its calls a timeout; to free them, restart the code location's process"
                )
                continue
            familiar = self.runtime.familiar.get(scan.source.id)
            source_scan = SourceScan(
                scan,
                client,
                self._context(scan, now),
                patience=self.sources[name].patience or time.patience,
                familiar=familiar.still(scan) if familiar else frozenset(),
            )
            self.runtime.occupy(source_scan)
            scans.append(source_scan)
        return scans, errors

    def _context(self, scan: Scan, now: datetime) -> Callable[[Callable[[], float], Counter[str]], ScanContext]:
        ledger, source = self.runtime.ledger, scan.source.id

        def make(remaining: Callable[[], float], calls: Counter[str]) -> ScanContext:
            return ScanContext(
                position=scan.source.position,
                known=lambda keys: ledger.known(source, keys),
                settings=self.runtime.settings,
                resources=self.resources,
                recorded=lambda keys: ledger.recorded(source, keys),
                pages=ledger.pages(source),
                live=lambda after, limit: ledger.live(source, after, limit),
                log=self.journal.log,
                now=now,
                remaining=remaining,
                calls=calls,
            )

        return make

    def _end(
        self,
        begun: Mapping[str, Scan],
        errors: Mapping[str, str | None],
        scanned: Sequence[SourceScan],
        intervals: Mapping[str, float],
    ) -> Mapping[str, SourceState]:
        """Write down all ends at once, and tell the journal."""
        now = self.runtime.clock.now()
        by_name = {scan.name: scan for scan in scanned}
        ends: list[ScanEnd] = []
        for name, error in errors.items():
            before = begun[name].source
            if error is not None:
                end = ScanEnd(scan=begun[name], due_at=retry_at(before.failures + 1, intervals[name], now), error=error)
            elif by_name[name].outcome == "partial":
                end = ScanEnd(scan=begun[name], due_at=now)
            else:
                due_at = next_due(name, intervals[name], now, before.due_at)
                end = ScanEnd(scan=begun[name], due_at=due_at, listed=by_name[name].listed)
            ends.append(end)
        after = self.runtime.ledger.end_scans(ends, now) if ends else {}
        self.runtime.familiar |= {
            scan.scan.source.id: seen for scan in scanned if (seen := scan.familiar()) is not None
        }
        for scan in scanned:
            name = scan.name
            self.journal.scanned(scan, errors.get(name), begun[name].source)
        return after


def error_of(scan: SourceScan) -> str | None:
    """Say in one sentence why a scan failed, or return None."""
    name = scan.name
    if scan.outcome == "silent":
        return f"source '{name}' did not answer within {scan.patience:g} s"
    if scan.outcome != "failed":
        return None
    if isinstance(scan.error, SensorAssetsError):
        return str(scan.error)
    return f"source '{name}' failed: {type(scan.error).__name__}: {scan.error}"
