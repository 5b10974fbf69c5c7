"""The code location that the daemon tests serve: two sources, an asset with partitions and one without.

What an object holds says how the function treats it, so that a test can make a run fail, wait or find a poisoned item
while everything around the function is the real thing.
"""

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
from sensor_assets import Batch, Batching, Item, ObjectSource, Retry, Settings, sensor_asset, with_sources
from sensor_assets.ledger import PostgresLedger

GATE_SECONDS = 60.0


class LocationSettings(Settings):
    """Where the objects lie and where the effects go."""

    landing_url: str
    sink: Path


settings = LocationSettings.load()
retry = Retry(max_failures=int(os.environ.get("MAX_FAILURES", "1")), backoff=0.1, give_up=2)
day_files = ObjectSource("day_files", url="{landing_url}/days", key="{date:%Y-%m-%d}*.csv", every=1)
loose_files = ObjectSource("loose_files", url="{landing_url}/loose", ignore=["*.tmp"], every=1)


@sensor_asset(
    day_files,
    partitions_def=dg.DailyPartitionsDefinition("2013-01-01", end_date="2014-01-01"),
    retry=retry,
)
def days(batch: Batch) -> None:
    for partition, items in batch.by_partition():
        store(f"partitions/{partition}", items)
    store(f"days/{batch.id}", batch.items)


@sensor_asset(loose_files, batching=Batching(max_items=4), retry=retry)
def loose(batch: Batch) -> None:
    store(f"loose/{batch.id}", batch.items)


def store(path: str, items: tuple[Item, ...]) -> None:
    """Write what the items hold to one file, whole or not at all."""
    rows = [[item.key, body] for item, body in bodies(items)]
    target = settings.sink / f"{path}.json"
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_suffix(f".{os.getpid()}")
    part.write_text(json.dumps(rows))
    part.replace(target)


def bodies(items: tuple[Item, ...]) -> Iterator[tuple[Item, str]]:
    for item in items:
        body = item.read().decode()
        behaviour, _, name = body.partition(" ")
        if behaviour == "poison":
            raise ValueError(f"{item.key} is poisoned")
        if behaviour in ("wait", "fail"):
            obey(behaviour, settings.sink / name.strip())
        yield item, body


def obey(behaviour: str, gate: Path) -> None:
    """Wait until the gate stands open, or fail as long as it does not."""
    pid = gate.with_suffix(".part")
    pid.write_text(str(os.getpid()))
    pid.replace(gate.with_suffix(".pid"))
    deadline = time.monotonic() + GATE_SECONDS
    while not gate.exists():
        if behaviour == "fail" or time.monotonic() > deadline:
            raise RuntimeError(f"{gate.name} is closed")
        time.sleep(0.05)


ledger = PostgresLedger(settings.ledger_url.get_secret_value(), settings.ledger_schema)
defs = with_sources(dg.Definitions(assets=[days, loose]), settings=settings, ledger=ledger)
