"""What is measured: by Prometheus over HTTP, by OpenTelemetry over OTLP, and nothing at all when nobody asks."""

import gzip
import json
import os
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from prometheus_client.parser import text_string_to_metric_families
from sensor_assets import SettingsError
from sensor_assets._metrics import METRICS, OF_RUNS, OTLP_VARIABLES, PORT_VARIABLE, PREFIX, check_environment

from .conftest import LedgerSchema

# A location whose monitor is evaluated three times and whose one run is executed, in a process of its own.
LOCATION = """
import json, os, sys
from urllib.request import urlopen
import dagster as dg
from sensor_assets import Batch, Item, SourceError, sensor_asset, source
from sensor_assets.ledger import PostgresLedger
from tests.location import SOON, Location, ephemeral

ledger = PostgresLedger(sys.argv[1], sys.argv[2])

@source("letters", every=SOON)
def letters(context):
    context.calls["list"] += 1
    yield from (Item(key=key, version="1") for key in "abc")

@source("sick", every=SOON)
def sick(context):
    raise SourceError("no route to host")

@sensor_asset([letters, sick])
def read(batch: Batch) -> None:
    batch.reject(batch.items[0], "smudged")

with ephemeral() as instance:
    location = Location(ledger, [read], instance)
    requests = [request for _ in range(3) for request in location.evaluate().run_requests[:1]]
    location.run(requests[-1])
    location.evaluate()
    {then}
    metric_packages = {"prometheus_client", "opentelemetry"}
    print(json.dumps(sorted(name for name in sys.modules if name.split(".")[0] in metric_packages)))
ledger.close()
"""

SCRAPE = f"""
    text = urlopen(f"http://127.0.0.1:{{os.environ['{PORT_VARIABLE}']}}/metrics").read().decode()
    print("SCRAPED", text, "SCRAPED", sep="", file=sys.stderr)
"""
FLUSH = """
    from opentelemetry import metrics
    metrics.get_meter_provider().force_flush()
"""


def evaluated(schema: LedgerSchema, *, then: str = "", **environment: str) -> tuple[list[str], str]:
    """Run the location; returns the metric packages that were imported, and what was scraped, else said on stderr."""
    clean = {name: value for name, value in os.environ.items() if name not in (PORT_VARIABLE, *OTLP_VARIABLES)}
    done = subprocess.run(
        [sys.executable, "-c", LOCATION.replace("    {then}", then), schema.url, schema.schema],
        env={**clean, **environment},
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1]), done.stderr.split("SCRAPED")[1 if then is SCRAPE else 0]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def samples(text: str) -> dict[tuple[str, str], float]:
    """Return the samples of an exposition by name and the label that tells most."""
    return {
        (sample.name, sample.labels.get("source") or sample.labels.get("consumer") or ""): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name.startswith(PREFIX)
    }


def test_nothing_is_imported_when_nobody_asks_for_metrics(ledger_schema: LedgerSchema) -> None:
    imported, _ = evaluated(ledger_schema)
    assert imported == []


@pytest.fixture(scope="module")
def scraped(migrated: LedgerSchema) -> tuple[list[str], str]:
    """Return what a code server that serves metrics has imported, and what it serves."""
    migrated.empty()
    return evaluated(migrated, then=SCRAPE, **{PORT_VARIABLE: str(free_port())})


def test_a_code_server_serves_prometheus(scraped: tuple[list[str], str]) -> None:
    imported, text = scraped
    assert "prometheus_client" in imported
    assert not any(name.startswith("opentelemetry") for name in imported)
    found = samples(text)
    assert found[f"{PREFIX}source_up", "letters"] == 1
    assert found[f"{PREFIX}source_up", "sick"] == 0
    assert found[f"{PREFIX}arrivals_total", "letters"] == 3
    assert found[f"{PREFIX}items_shown_total", "letters"] == found[f"{PREFIX}calls_total", "letters"] * 3
    assert found[f"{PREFIX}launches_total", "read"] >= 1
    assert found[f"{PREFIX}launch_lag_seconds_count", "read"] == 1
    assert found[f"{PREFIX}items_waiting", "letters"] == 0
    assert found[f"{PREFIX}items_quarantined", "letters"] == 1
    assert found[f"{PREFIX}oldest_unprocessed_seconds", "letters"] == 0
    labels = {tuple(label) for label in re.findall(r'(team|location)="([^"]+)"', text)}
    assert labels == {("team", "tested"), ("location", "tested-location")}


def test_what_is_served_is_what_is_documented(scraped: tuple[list[str], str]) -> None:
    _, text = scraped
    served = {
        family.name.removeprefix(PREFIX): family
        for family in text_string_to_metric_families(text)
        if family.name.startswith(PREFIX)
    }
    assert set(served) == {name.removesuffix("_total") for name in METRICS if name not in OF_RUNS}
    page = (Path(__file__).parents[3] / "docs" / "reference" / "metrics.md").read_text()
    rows = dict(re.findall(rf"^\| `{PREFIX}(\w+)` \| (.+) \|$", page, re.MULTILINE))
    expected = {
        metric.name: f"{metric.kind} | {', '.join(metric.labels)} | {metric.help}" for metric in METRICS.values()
    }
    assert rows == expected


class Collector:
    """An OTLP receiver: keeps what it is sent."""

    def __init__(self) -> None:
        self.points: dict[str, list[dict[str, Any]]] = {}
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                collector.take(ExportMetricsServiceRequest.FromString(body))
                self.send_response(200)
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def take(self, request: ExportMetricsServiceRequest) -> None:
        for resource in request.resource_metrics:
            for scope in resource.scope_metrics:
                for metric in scope.metrics:
                    data = getattr(metric, metric.WhichOneof("data") or "gauge")
                    for point in data.data_points:
                        labels = {label.key: label.value.string_value for label in point.attributes}
                        value = getattr(point, "count", None) or point.as_int or point.as_double  # pyright: ignore
                        self.points.setdefault(metric.name, []).append({**labels, "value": value})


@pytest.fixture
def collector() -> Iterator[Collector]:
    collector = Collector()
    yield collector
    collector.server.shutdown()
    collector.server.server_close()


def test_code_server_and_runs_push_by_otlp(ledger_schema: LedgerSchema, collector: Collector) -> None:
    imported, _ = evaluated(
        ledger_schema, then=FLUSH, **{OTLP_VARIABLES[1]: f"http://127.0.0.1:{collector.server.server_port}"}
    )
    assert "prometheus_client" not in imported
    up = {point["source"]: point["value"] for point in collector.points[f"{PREFIX}source_up"]}
    assert up == {"letters": 1.0, "sick": 0.0}
    processed = collector.points[f"{PREFIX}items_processed"][-1]
    assert (processed["consumer"], processed["team"], processed["value"]) == ("read", "tested", 3)
    assert {point["source"] for point in collector.points[f"{PREFIX}items_quarantined"]} == {"letters", "sick"}


def test_a_port_that_is_none_is_refused_when_definitions_load(monkeypatch: pytest.MonkeyPatch) -> None:
    for wrong in ("http", "0", "70000", "-1"):
        monkeypatch.setenv(PORT_VARIABLE, wrong)
        with pytest.raises(SettingsError, match=f"{PORT_VARIABLE}: '{wrong}' is not a port"):
            check_environment()


def test_a_port_that_is_taken_is_a_warning_and_stops_no_work(ledger_schema: LedgerSchema) -> None:
    with socket.create_server(("0.0.0.0", 0)) as taken:
        port = str(taken.getsockname()[1])
        _, said = evaluated(ledger_schema, **{PORT_VARIABLE: port})
    assert f"metrics cannot be served on port {port}: Address already in use; nothing is measured" in said


def test_a_missing_package_is_named_when_definitions_load(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PORT_VARIABLE, "9464")
    monkeypatch.setattr("sensor_assets._metrics.find_spec", lambda name: None)
    with pytest.raises(SettingsError, match=r"prometheus-client is missing: add sensor-assets\[prometheus\]"):
        check_environment()
