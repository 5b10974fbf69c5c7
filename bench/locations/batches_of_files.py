"""A sensor asset with a partition for each day, which rebuilds the days of its batch."""

import os
from pathlib import Path

import dagster as dg
from sensor_assets import Batch, Batching, ObjectSource, Settings, sensor_asset, with_sources

SINK = Path(os.environ["SINK"])

files = ObjectSource("files", url=f"file://{os.environ['LANDING']}", key="{date:%Y-%m-%d}/*.csv", every=5)


@sensor_asset(
    files,
    partitions_def=dg.DailyPartitionsDefinition("2013-01-01"),
    batching=Batching(max_items=1000, max_wait=float(os.environ["DAY_SECONDS"])),
)
def landed(batch: Batch) -> None:
    """All files of a day in one."""
    for day, items in batch.by_partition():
        (SINK / day).write_bytes(b"".join(item.read() for item in items))


defs = with_sources(dg.Definitions(assets=[landed]), settings=Settings.load())
