"""The code location that the daemon's tests of partitions serve: days, days two to a run, and airports that come along.

What an object holds says how the function treats it: "fail NAME" and "wait NAME" are about a gate.
"""

import json
import os
import time
from pathlib import Path

import dagster as dg
from sensor_assets import Batch, Item, ObjectSource, Retry, Settings, sensor_asset, with_sources
from sensor_assets.ledger import PostgresLedger

GATE_SECONDS = 60.0


class LocationSettings(Settings):
    """Where the objects lie and where the effects go."""

    landing_url: str
    sink: Path


settings = LocationSettings.load()
retry = Retry(backoff=0.1)
daily = dg.DailyPartitionsDefinition("2013-01-01", end_date="2014-01-01")
day_files = ObjectSource("day_files", url="{landing_url}/days", key="{date:%Y-%m-%d}*.csv", every=1)
airport_files = ObjectSource("airport_files", url="{landing_url}/airports", key="{airport}/*.csv", every=1)


@sensor_asset(day_files, partitions_def=daily, retry=retry)
def days(batch: Batch) -> None:
    store("days", batch)


@sensor_asset(
    day_files, partitions_def=daily, retry=retry, backfill_policy=dg.BackfillPolicy.multi_run(max_partitions_per_run=2)
)
def pairs(batch: Batch) -> None:
    store("pairs", batch)


@sensor_asset(
    airport_files, partitions_def=dg.DynamicPartitionsDefinition(name="airports"), add_partitions=True, retry=retry
)
def airports(batch: Batch) -> None:
    store("airports", batch)


def store(asset: str, batch: Batch) -> None:
    """Write each partition to a file, whole or not at all."""
    built = {partition: [content(item, asset) for item in items] for partition, items in batch.by_partition()}
    for partition, rows in built.items():
        target = settings.sink / asset / f"{partition}.json"
        target.parent.mkdir(parents=True, exist_ok=True)
        part = target.with_suffix(f".{os.getpid()}")
        part.write_text(json.dumps(rows))
        part.replace(target)


def content(item: Item, asset: str) -> str:
    body = item.read().decode()
    behaviour, _, gate = body.partition(" ")
    closed = settings.sink / gate.strip()
    if behaviour == "fail" and not closed.exists():
        raise RuntimeError(f"{gate} is closed")
    if behaviour == "wait" and asset == "days":
        closed.with_suffix(".pid").write_text(str(os.getpid()))
        deadline = time.monotonic() + GATE_SECONDS
        while not closed.exists():
            if time.monotonic() > deadline:
                raise RuntimeError(f"{gate} is closed")
            time.sleep(0.05)
    return body


ledger = PostgresLedger(settings.ledger_url.get_secret_value(), settings.ledger_schema)
defs = with_sources(dg.Definitions(assets=[days, pairs, airports]), settings=settings, ledger=ledger)
