"""What type checkers see of the public API: not run, but checked by `make lint`, where an unused ignore is an error."""

# pyright: reportUnnecessaryTypeIgnoreComment=true, reportUnusedFunction=false

from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any, assert_type

import dagster as dg
from sensor_assets import (
    Batch,
    Batching,
    FunctionSource,
    Hold,
    HttpSource,
    Item,
    Lake,
    ObjectEvents,
    ObjectSource,
    Retry,
    Router,
    ScanContext,
    Send,
    SensorAsset,
    SensorAssetDefinition,
    Settings,
    TableSource,
    Waiting,
    sensor_asset,
    source,
    with_sources,
)
from sensor_assets.testing import Location, Tick, evaluate, settings_for

# Sources

files = ObjectSource("files", url="{landing_url}", key="{date:%Y-%m-%d}*.csv", every=30, group_name="outside")
versions = ObjectSource("versions", url="s3://x/y", strategy="append_only", open_for=timedelta(days=1), versions=True)
told = ObjectSource("told", url="s3://x/y", sweep=5, events=ObjectEvents(queue="{queue}", grace=60))
pages = HttpSource("pages", url="{site}", index="index.json", headers={"Accept": "text/csv"}, every="{interval}")
rows = TableSource("rows", url="{database}", table="t", key="id", version="v", lag=timedelta(minutes=1))


def what_a_source_does_not_take_is_an_error() -> None:
    ObjectSource("files", url=3)  # pyright: ignore[reportArgumentType]
    ObjectSource("files", url="file:///x", evry=30)  # pyright: ignore[reportCallIssue]
    ObjectSource("files", url="file:///x", every=[30])  # pyright: ignore[reportArgumentType]
    ObjectSource("files", url="s3://x/y", strategy="sometimes")  # pyright: ignore[reportArgumentType]
    ObjectSource("files", url="s3://x/y", events="queue")  # pyright: ignore[reportArgumentType]
    ObjectEvents("queue")  # pyright: ignore[reportCallIssue]
    ObjectSource("files")  # pyright: ignore[reportCallIssue]
    HttpSource("pages", url="x", links="parse")  # pyright: ignore[reportArgumentType]
    TableSource("rows", url="x", table="t", key="id")  # pyright: ignore[reportCallIssue]
    Batching(10)  # pyright: ignore[reportCallIssue]
    Batching(max_items="many")  # pyright: ignore[reportArgumentType]
    Retry(failures=3)  # pyright: ignore[reportCallIssue]


@source("tickets", every=60, description="Open tickets.")
def tickets(context: ScanContext, helpdesk: Sequence[str]) -> Iterator[Item]:
    known = context.known(None)
    assert_type(context.settings, Settings)
    for ticket in helpdesk:
        yield Item(key=ticket, version=known.get(ticket, "a"))


@source("wrong")  # pyright: ignore[reportArgumentType]
def yields_no_items(context: ScanContext) -> Iterator[str]:
    yield "1"


def a_function_becomes_a_source() -> FunctionSource:
    return tickets


# The decorator


@sensor_asset(files, key_prefix="team", batching=Batching(max_items=10, max_bytes="1 GiB", max_wait=timedelta(hours=1)))
def loaded(context: dg.AssetExecutionContext, batch: Batch, lake: Lake) -> int:
    assert_type(batch.items, tuple[Item, ...])
    assert_type(batch.items[0].read(), bytes)
    assert_type(batch.rows(), list[dict[str, Any]])
    for partition, items in batch.by_partition():
        assert_type(partition, str)
        assert_type(items, tuple[Item, ...])
    return len(batch.items)


@sensor_asset([files, tickets, rows])
def joined(batch: Batch) -> dg.MaterializeResult[Any]:
    batch.reject("not an item", "why")  # pyright: ignore[reportArgumentType]
    return dg.MaterializeResult()


def a_sensor_asset_is_an_assets_definition() -> dg.AssetsDefinition:
    return loaded


def a_sensor_asset_is_called_as_its_function(
    asset: SensorAssetDefinition[[Batch], dg.MaterializeResult[Any]], batch: Batch
) -> None:
    assert_type(asset(batch), dg.MaterializeResult[Any])
    assert_type(joined(batch), dg.MaterializeResult[Any])
    asset("no batch")  # pyright: ignore[reportArgumentType]


def a_direct_call_keeps_the_parameters_and_the_result(context: dg.AssetExecutionContext, batch: Batch) -> None:
    lake = Lake(url="file:///lake")
    assert_type(loaded(context, batch, lake), int)
    assert_type(loaded(context=context, batch=Batch.of({"a": b""}), lake=lake), int)
    loaded(context, batch="no batch", lake=lake)  # pyright: ignore[reportArgumentType]
    loaded(context, batch, lake, 1)  # pyright: ignore[reportCallIssue]
    loaded(context, batch)  # pyright: ignore[reportCallIssue]


def what_cannot_be_followed_is_an_error() -> None:
    sensor_asset("files")  # pyright: ignore[reportArgumentType]
    sensor_asset([files, "pages"])  # pyright: ignore[reportArgumentType]
    sensor_asset(files, batching={"max_items": 3})  # pyright: ignore[reportArgumentType]
    sensor_asset(files, max_in_flight="4")  # pyright: ignore[reportArgumentType]


# Conditions


def send_all(waiting: Waiting) -> Send | Hold:
    assert_type(waiting.count, int)
    assert_type(waiting.items, tuple[Item, ...])
    return Send(to="all", items=waiting.items) if waiting.forced else Hold("not yet")


def decides_nothing(waiting: Waiting) -> str:
    return "all"


router = Router(tickets, send_all, name="tickets", targets=["all"], max_hold=timedelta(hours=1))
Router(tickets, decides_nothing, name="tickets", targets=["all"])  # pyright: ignore[reportArgumentType]


@sensor_asset(router["all"])
def routed(batch: Batch) -> None: ...


@sensor_asset(router)  # pyright: ignore[reportArgumentType]
def of_the_router_itself(batch: Batch) -> None: ...


# The component, in Python


def plain(context: dg.AssetExecutionContext, batch: Batch) -> None: ...


def a_component_takes_what_the_decorator_takes() -> dg.Component:
    SensorAsset(sources="files", asset={}, compute=plain)  # pyright: ignore[reportArgumentType]
    SensorAsset(sources=files, asset={"key": "plain"})  # pyright: ignore[reportCallIssue]
    return SensorAsset(sources=[files, pages], asset={"key": "plain"}, compute=plain, retry=Retry(max_failures=2))


# Settings and the whole location


class ShopSettings(Settings):
    landing_url: str


def settings_are_typed() -> None:
    settings = ShopSettings.load()
    assert_type(settings, ShopSettings)
    assert_type(settings.landing_url, str)
    assert_type(settings_for(ShopSettings, landing_url="x"), ShopSettings)
    assert_type(with_sources(dg.Definitions(assets=[loaded]), settings=settings), dg.Definitions)


def the_test_kit_is_typed(location: Location) -> None:
    tick = location.evaluate()
    assert_type(tick, Tick)
    assert_type(tick.run_requests, Sequence[dg.RunRequest])
    assert_type(location.run(tick.run_requests[0]), dg.ExecuteInProcessResult)
    evaluate(loaded, store=None)  # pyright: ignore[reportCallIssue]
