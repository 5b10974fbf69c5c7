"""One line of log and one count for each thing that happened in a tick; nothing for what did not."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sensor_assets._log import Log
from sensor_assets._metrics import Metrics
from sensor_assets._reconcile import Settlement
from sensor_assets._scan import SourceScan
from sensor_assets._state import BatchRecord, SourceState
from sensor_assets.errors import SensorAssetsError


@dataclass(frozen=True, kw_only=True)
class Journal:
    """Tells the log and the metrics of one monitor what happened.

    The fields of a line begin with ``sensor_assets_``, so that they are no names of a log record.
    """

    monitor: str
    log: Log
    metrics: Metrics

    def line(self, level: int, message: str, *, exc_info: BaseException | None = None, **fields: Any) -> None:
        """Write one line with fields."""
        told = {f"sensor_assets_{name}": value for name, value in {"monitor": self.monitor, **fields}.items()}
        self.log.log(level, message, exc_info=exc_info, extra=told)

    def scanned(self, scan: SourceScan, error: str | None, before: SourceState) -> None:
        """Tell how a scan ended; one that found nothing, as the one before, is only counted."""
        name = scan.name
        fields: dict[str, Any] = {
            "source": name,
            "outcome": scan.outcome,
            "new": scan.new,
            "shown": scan.shown,
            "seconds": round(scan.seconds, 3),
            "calls": dict(scan.calls),
        }
        if error is not None:
            # A message on purpose says everything; where one was not foreseen only the traceback does.
            unforeseen = scan.error if not isinstance(scan.error, SensorAssetsError) else None
            # An outage is one line, not one for each time that the source is asked again.
            if error != before.error:
                self.line(logging.WARNING, error, exc_info=unforeseen, failures=before.failures + 1, **fields)
        elif scan.outcome == "superseded":
            self.line(logging.INFO, f"a newer scan of source '{name}' has begun elsewhere", **fields)
        elif before.failures:
            self.line(logging.INFO, f"source '{name}' answers again, {scan.new} new", **fields)
        elif scan.new:
            more = " so far, the rest follows" if scan.outcome == "partial" else ""
            self.line(logging.INFO, f"source '{name}': {scan.new} new of {scan.shown}{more}", **fields)
        if self.metrics.on:
            self._measure(name, scan)

    def _measure(self, name: str, scan: SourceScan) -> None:
        metrics = self.metrics
        metrics.count("scans_total", source=name, outcome=scan.outcome)
        metrics.observe("scan_seconds", scan.seconds, source=name)
        metrics.count("items_shown_total", scan.shown, source=name)
        metrics.count("arrivals_total", scan.new, source=name)
        if scan.missed:
            metrics.count("missed_total", scan.missed, source=name)
        if scan.outcome == "superseded":
            metrics.count("fence_conflicts_total", source=name)
        for operation, number in scan.calls.items():
            metrics.count("calls_total", number, source=name, operation=operation)

    def settled(self, settlement: Settlement) -> None:
        """Tell what became of a batch."""
        batch = settlement.batch
        if settlement.error:
            message = f"batch {batch.id} of {batch.consumer} is now {batch.state}: {settlement.error}"
            self.line(
                logging.WARNING,
                message,
                batch=batch.id,
                consumer=batch.consumer,
                state=batch.state,
                attempt=batch.attempt,
                failures=batch.failures,
            )
        if self.metrics.on:
            self.metrics.count("settlements_total", consumer=batch.consumer, state=batch.state)

    def emitted(self, batches: Sequence[BatchRecord], *, epoch: int, repeated: bool) -> None:
        """Tell what is launched."""
        if repeated and batches:
            message = f"emission {epoch} was not acknowledged; repeating {len(batches)} open batches"
            self.line(logging.INFO, message, epoch=epoch, batches=len(batches))
        by_consumer: dict[str, list[BatchRecord]] = {}
        for batch in batches:
            by_consumer.setdefault(batch.consumer, []).append(batch)
        for consumer, launched in by_consumer.items():
            items = sum(batch.items for batch in launched)
            ids = [batch.id for batch in launched]
            message = f"{consumer}: launching {len(launched)} batches of {items} items"
            self.line(logging.INFO, message, consumer=consumer, batches=ids, items=items, epoch=epoch)
            if self.metrics.on:
                self.metrics.count("launches_total", len(launched), consumer=consumer)
        if self.metrics.on and repeated:
            self.metrics.count("repeats_total", monitor=self.monitor)

    def ticked(
        self, states: Mapping[str, SourceState], *, seconds: float, scan_ratio: float, cursor_bytes: int
    ) -> None:
        """Measure the tick as a whole."""
        if not self.metrics.on:
            return
        metrics = self.metrics
        metrics.observe("tick_seconds", seconds, monitor=self.monitor)
        metrics.set("tick_budget_used_ratio", scan_ratio, monitor=self.monitor)
        metrics.set("cursor_bytes", cursor_bytes, monitor=self.monitor)
        for name, state in states.items():
            metrics.set("source_up", float(state.failures == 0), source=name)
            if state.scanned_at is not None:
                metrics.set("source_scanned_timestamp_seconds", state.scanned_at.timestamp(), source=name)

    def lag(self, consumer: str, since: datetime, now: datetime) -> None:
        """Measure how long the oldest item of a batch that is launched for the first time has waited."""
        if self.metrics.on:
            self.metrics.observe("launch_lag_seconds", (now - since).total_seconds(), consumer=consumer)
