"""Metrics through OpenTelemetry: the provider that the process has, or one that pushes by OTLP."""

from collections.abc import Callable, Iterable, Mapping
from functools import cache
from typing import Any

from opentelemetry import metrics as api
from opentelemetry.metrics import CallbackOptions, Meter, Observation

from sensor_assets._metrics import BACKLOG, BUCKETS, METRICS, PREFIX, Metric, Metrics, Status
from sensor_assets.errors import LedgerError, SettingsError


@cache
def set_up() -> None:
    """Let the process push by OTLP over HTTP, once, unless it has set up an SDK of its own.

    Raises:
        SettingsError: The exporter is missing.
    """
    try:
        from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter  # noqa: PLC0415
        from opentelemetry.sdk.metrics import MeterProvider  # noqa: PLC0415
        from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader  # noqa: PLC0415
    except ImportError:
        raise SettingsError(
            "an OTLP endpoint is set but its exporter is missing: add sensor-assets[opentelemetry]"
        ) from None
    if not isinstance(api.get_meter_provider(), MeterProvider):
        # The provider flushes when the process ends, so that a run of a few seconds is counted as well.
        api.set_meter_provider(MeterProvider([PeriodicExportingMetricReader(OTLPMetricExporter())]))


def push(common: Mapping[str, str], status: Status | None, *, own: bool) -> Metrics:
    """Return metrics that go to the process's meter provider; `own` sets one up where there is none.

    Raises:
        SettingsError: The exporter is missing.
    """
    if own:
        set_up()
    return OpenTelemetryMetrics(api.get_meter("sensor_assets"), common, status)


class OpenTelemetryMetrics(Metrics):
    """Measures through a meter; the backlog is read from the ledger whenever the provider collects."""

    on = True

    def __init__(self, meter: Meter, common: Mapping[str, str], status: Status | None) -> None:
        self._common = dict(common)
        self._instruments = {
            metric.name: _make(metric, meter) for metric in METRICS.values() if metric.name not in BACKLOG
        }
        if status is not None:
            for name, column in BACKLOG.items():
                meter.create_observable_gauge(
                    PREFIX + name, [_backlog(status, column, self._common)], description=METRICS[name].help
                )

    def count(self, name: str, amount: float = 1, **labels: str) -> None:
        self._instruments[name].add(amount, {**self._common, **labels})

    def set(self, name: str, value: float, **labels: str) -> None:
        self._instruments[name].set(value, {**self._common, **labels})

    def observe(self, name: str, value: float, **labels: str) -> None:
        self._instruments[name].record(value, {**self._common, **labels})


def _make(metric: Metric, meter: Meter) -> Any:
    # A backend that stores for Prometheus appends the suffix of counters itself.
    name = PREFIX + metric.name.removesuffix("_total")
    match metric.kind:
        case "counter":
            return meter.create_counter(name, description=metric.help)
        case "gauge":
            return meter.create_gauge(name, description=metric.help)
        case "histogram":
            return meter.create_histogram(
                name, unit="s", description=metric.help, explicit_bucket_boundaries_advisory=BUCKETS
            )


def _backlog(
    status: Status, column: str, common: Mapping[str, str]
) -> Callable[[CallbackOptions], Iterable[Observation]]:
    def observe(_: CallbackOptions) -> Iterable[Observation]:
        try:
            rows = status()
        except LedgerError:
            return
        for row in rows:
            labels = {**common, "source": row["source"], "consumer": row["consumer"]}
            yield Observation(float(row[column]), labels)

    return observe
