"""A sensor asset in a module whose annotations are texts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import dagster as dg
from sensor_assets import Batch, Item, ScanContext, sensor_asset, source

greeted: list[str] = []


@source("letters", every=1)
def letters(context: ScanContext) -> Iterator[Item]:
    yield Item(key="a", version="1")


@sensor_asset(letters)
def read(context: dg.AssetExecutionContext, batch: Batch, greeting: dg.ResourceParam[str]) -> dg.MaterializeResult[Any]:
    greeted.extend(f"{greeting} {item.key}" for item in batch.items)
    return dg.MaterializeResult(metadata={"run": context.run_id})


assets = [read]
