"""Metrics for Prometheus: an HTTP endpoint in the code server, one for a process."""

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    start_http_server,
)
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from sensor_assets._metrics import (
    BACKLOG,
    BUCKETS,
    COMMON_LABELS,
    METRICS,
    OF_RUNS,
    PREFIX,
    Metric,
    Metrics,
    Status,
)
from sensor_assets.errors import LedgerError, SettingsError


@cache
def serve_registry(port: int) -> CollectorRegistry:
    """Serve a registry on a port, once in a process.

    Raises:
        SettingsError: The port is taken.
    """
    # Else there are half as many series again, which say when each was first used.
    disable_created_metrics()
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    try:
        start_http_server(port, registry=registry)
    except OSError as error:
        raise SettingsError(f"metrics cannot be served on port {port}: {error.strerror or error}") from None
    return registry


def serve(port: int, common: Mapping[str, str], status: Status) -> Metrics:
    """Return metrics that this process serves on a port.

    Raises:
        SettingsError: The port is taken.
    """
    return PrometheusMetrics(serve_registry(port), common, status)


class PrometheusMetrics(Metrics):
    """Counts in a registry; the backlog is read from the ledger whenever the registry is scraped."""

    on = True

    def __init__(self, registry: CollectorRegistry, common: Mapping[str, str], status: Status) -> None:
        self._common = [common[name] for name in COMMON_LABELS]
        self._metrics = {
            metric.name: _make(metric, registry)
            for metric in METRICS.values()
            if metric.name not in BACKLOG and metric.name not in OF_RUNS
        }
        registry.register(_Backlog(self._common, status))

    def count(self, name: str, amount: float = 1, **labels: str) -> None:
        self._child(name, labels).inc(amount)

    def set(self, name: str, value: float, **labels: str) -> None:
        self._child(name, labels).set(value)

    def observe(self, name: str, value: float, **labels: str) -> None:
        self._child(name, labels).observe(value)

    def _child(self, name: str, labels: Mapping[str, str]) -> Any:
        return self._metrics[name].labels(*self._common, *(labels[label] for label in METRICS[name].labels))


def _make(metric: Metric, registry: CollectorRegistry) -> Any:
    name, labels = PREFIX + metric.name, (*COMMON_LABELS, *metric.labels)
    if metric.kind == "histogram":
        return Histogram(name, metric.help, labels, buckets=BUCKETS, registry=registry)
    kind = Counter if metric.kind == "counter" else Gauge
    return kind(name, metric.help, labels, registry=registry)


class _Backlog(Collector):
    def __init__(self, common: list[str], status: Status) -> None:
        self._common = common
        self._status = status

    def describe(self) -> Iterator[GaugeMetricFamily]:
        """Return the families without asking the ledger, as the registry wants it at the start."""
        yield from self._families().values()

    def collect(self) -> Iterator[GaugeMetricFamily]:
        families = self._families()
        try:
            rows = self._status()
        except LedgerError:
            return  # a scrape without the backlog says that it is unknown; the tick says why
        for row in rows:
            for name, family in families.items():
                family.add_metric([*self._common, row["source"], row["consumer"]], float(row[BACKLOG[name]]))
        yield from families.values()

    def _families(self) -> dict[str, GaugeMetricFamily]:
        return {
            name: GaugeMetricFamily(PREFIX + name, METRICS[name].help, labels=(*COMMON_LABELS, *METRICS[name].labels))
            for name in BACKLOG
        }
