"""What is measured, and where it goes: Prometheus, OpenTelemetry, or nowhere.

Nothing is imported and nothing is counted unless an environment variable asks for it.
"""

import logging
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Literal

from sensor_assets.errors import SettingsError

if TYPE_CHECKING:
    from sensor_assets._settings import Settings

PORT_VARIABLE = "SENSOR_ASSETS_METRICS_PORT"
OTLP_VARIABLES = ("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")

PREFIX = "sensor_assets_"
# Every metric carries these, from the location's settings.
COMMON_LABELS = ("team", "location")

# Seconds. Few, because there is a series for each and for each source.
BUCKETS = (0.1, 0.5, 2.0, 10.0, 30.0, 60.0)


@dataclass(frozen=True)
class Metric:
    """One metric: its name without the prefix, its kind, its labels besides team and location, what it says."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    labels: tuple[str, ...]
    help: str


METRICS: Mapping[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric("scans_total", "counter", ("source", "outcome"), "Scans that ended: complete, partial, failed, silent."),
        Metric("scan_seconds", "histogram", ("source",), "Time that a scan took, waiting for the ledger included."),
        Metric("calls_total", "counter", ("source", "operation"), "Calls of scans to the outside."),
        Metric("items_shown_total", "counter", ("source",), "Items that scans showed, known ones included."),
        Metric("arrivals_total", "counter", ("source",), "Items that were new and recorded."),
        Metric(
            "missed_total", "counter", ("source",), "New items that only the sweep found, their notification was lost."
        ),
        Metric("fence_conflicts_total", "counter", ("source",), "Scans that a newer one of the same source replaced."),
        Metric("source_up", "gauge", ("source",), "1 when the last scan of the source succeeded, else 0."),
        Metric("source_scanned_timestamp_seconds", "gauge", ("source",), "When the last scan succeeded, Unix time."),
        Metric("tick_seconds", "histogram", ("monitor",), "Time that an evaluation of the monitor took."),
        Metric("tick_budget_used_ratio", "gauge", ("monitor",), "Part of the time for scans that the last tick used."),
        Metric("cursor_bytes", "gauge", ("monitor",), "Size of the monitor's cursor."),
        Metric("launches_total", "counter", ("consumer",), "Batches launched, each attempt counts."),
        Metric("repeats_total", "counter", ("monitor",), "Emissions repeated because Dagster did not take them."),
        Metric("settlements_total", "counter", ("consumer", "state"), "Batches settled from the outcome of their run."),
        Metric("launch_lag_seconds", "histogram", ("consumer",), "From an item's first sight to its batch's launch."),
        Metric("items_waiting", "gauge", ("source", "consumer"), "Items recorded and in no launched batch."),
        Metric("items_in_flight", "gauge", ("source", "consumer"), "Items in launched batches."),
        Metric("items_quarantined", "gauge", ("source", "consumer"), "Items set aside for a person to look at."),
        Metric("oldest_unprocessed_seconds", "gauge", ("source", "consumer"), "Age of the oldest item not yet done."),
        Metric("items_processed_total", "counter", ("consumer",), "Items in batches that a run has done."),
        Metric("items_rejected_total", "counter", ("consumer",), "Items that a run rejected into quarantine."),
    )
}

# Gauges of the backlog, and the column of the ledger's status each shows.
BACKLOG = {
    "items_waiting": "waiting",
    "items_in_flight": "in_flight",
    "items_quarantined": "quarantined",
    "oldest_unprocessed_seconds": "lag_seconds",
}

# Counted by runs, so they arrive by OTLP alone.
OF_RUNS = frozenset({"items_processed_total", "items_rejected_total"})

Status = Callable[[], Sequence[Mapping[str, Any]]]


class Metrics:
    """Takes measurements and forgets them; what measures asks `on` first."""

    on = False

    def count(self, name: str, amount: float = 1, **labels: str) -> None:
        """Add to a counter."""

    def set(self, name: str, value: float, **labels: str) -> None:
        """Set a gauge."""

    def observe(self, name: str, value: float, **labels: str) -> None:
        """Add a value to a histogram."""


NOWHERE = Metrics()


def of_code_server(settings: "Settings", status: Status) -> Metrics:
    """Return where a process that evaluates monitors measures to: its own HTTP endpoint, else OTLP, else nowhere.

    Args:
        settings: They name team and location.
        status: Reads the ledger's status, when the gauges of the backlog are collected.
    """
    if port := _port():
        from sensor_assets._metrics_prometheus import serve  # noqa: PLC0415 - optional, and off by default

        return _or_nowhere(lambda: serve(port, _common(settings), status))
    return _pushed(settings, status)


def of_run(settings: "Settings") -> Metrics:
    """Return where a run measures to: OTLP or nowhere, because nobody scrapes a process that lives for seconds."""
    return _pushed(settings, None)


def _or_nowhere(make: Callable[[], Metrics]) -> Metrics:
    """Return metrics, or none with a warning: work does not stop because it cannot be measured."""
    try:
        return make()
    except SettingsError as error:
        logging.getLogger("sensor_assets").warning(f"{error}; nothing is measured in this process")
        return NOWHERE


def check_environment() -> None:
    """Refuse, when definitions load, a configuration of metrics that cannot work.

    Raises:
        SettingsError: The port is no port, or the package that serves it is missing.
    """
    if _port() and find_spec("prometheus_client") is None:
        raise SettingsError(f"{PORT_VARIABLE} is set but prometheus-client is missing: add sensor-assets[prometheus]")


def _port() -> int | None:
    text = os.environ.get(PORT_VARIABLE, "")
    if not text:
        return None
    if not text.isdecimal() or not 0 < int(text) < 2**16:
        raise SettingsError(f"{PORT_VARIABLE}: '{text}' is not a port; it is a number from 1 to 65535")
    return int(text)


def _pushed(settings: "Settings", status: Status | None) -> Metrics:
    """Return OpenTelemetry where the environment names an endpoint or the process has set up its SDK."""
    asked = any(os.environ.get(name) for name in OTLP_VARIABLES) and find_spec("opentelemetry") is not None
    if not asked and "opentelemetry.sdk.metrics" not in sys.modules:
        return NOWHERE
    from sensor_assets._metrics_opentelemetry import push  # noqa: PLC0415 - optional, and off by default

    return _or_nowhere(lambda: push(_common(settings), status, own=asked))


def _common(settings: "Settings") -> dict[str, str]:
    return {"team": settings.team, "location": settings.location}
