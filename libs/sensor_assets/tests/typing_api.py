"""What type checkers see of the public API: not run, but checked by `make lint`, where an unused ignore is an error."""

# pyright: reportUnnecessaryTypeIgnoreComment=true, reportUnusedFunction=false

from collections.abc import Iterator
from typing import assert_type

import dagster as dg
from sensor_assets import Batch, Item, Lake, ObjectSource, Router, ScanContext, Send, Waiting, sensor_asset, source

files = ObjectSource("files", url="{landing_url}", every=30)


@sensor_asset(files, key_prefix="team")
def loaded(context: dg.AssetExecutionContext, batch: Batch, lake: Lake) -> int:
    assert_type(batch.items, tuple[Item, ...])
    assert_type(batch.items[0].read(), bytes)
    for partition, items in batch.by_partition():
        assert_type(partition, str)
        assert_type(items, tuple[Item, ...])
    return len(batch.items)


def a_sensor_asset_is_an_assets_definition() -> dg.AssetsDefinition:
    return loaded


def a_direct_call_keeps_the_parameters_and_the_result(context: dg.AssetExecutionContext, batch: Batch) -> None:
    lake = Lake(url="file:///lake")
    assert_type(loaded(context, batch, lake), int)
    loaded(context, batch="no batch", lake=lake)  # pyright: ignore[reportArgumentType]
    loaded(context, batch)  # pyright: ignore[reportCallIssue]


@source("tickets", every=60)
def tickets(context: ScanContext) -> Iterator[Item]:
    known = context.known(None)
    yield Item(key="1", version=known.get("1", "a"))


def send_all(waiting: Waiting) -> Send:
    assert_type(waiting.count, int)
    return Send(to="all")


router = Router(tickets, send_all, name="tickets", targets=["all"])


@sensor_asset(router["all"])
def routed(batch: Batch) -> None: ...
