"""Punctuality and delays by weather from two small upstream tables."""

import base64
from datetime import UTC, datetime

import dagster as dg
import polars as pl
import pytest
from operations_punctuality.defs.punctuality import delays_by_weather, punctuality
from sensor_assets import Lake

DAY = "2013-01-01"
TEN = datetime(2013, 1, 1, 10, tzinfo=UTC)
ELEVEN = TEN.replace(hour=11)


@pytest.fixture
def lake(lake: Lake) -> Lake:
    flights = {
        "time_hour": [TEN, TEN, TEN, ELEVEN],
        "origin": ["EWR", "EWR", "EWR", "JFK"],
        "dep_time": [1010, 1040, None, 1100],
        "dep_delay": [14, 15, None, -1],
    }
    weather = {"time_hour": [TEN], "origin": ["EWR"], "wind_speed": [25.0], "visib": [10.0], "precip": [0.0]}
    times = {"time_hour": pl.Datetime("us", "UTC")}
    lake.write(f"operations/departures/{DAY}.parquet", pl.DataFrame(flights, schema_overrides=times))
    lake.write(f"weather/observations/{DAY}.parquet", pl.DataFrame(weather, schema_overrides=times))
    return lake


def run(lake: Lake, asset: dg.AssetsDefinition, *days: str) -> dg.ExecuteInProcessResult:
    """Run an asset as Dagster does, over a range of days if there are any."""
    tags = (
        {"dagster/asset_partition_range_start": days[0], "dagster/asset_partition_range_end": days[-1]} if days else {}
    )
    return dg.materialize([asset], resources={"lake": lake}, tags=tags)


def test_hours_have_counts_delays_and_the_weather_of_the_hour(lake: Lake) -> None:
    result = run(lake, punctuality, DAY)
    hours = lake.read(f"operations/punctuality/{DAY}.parquet")
    assert hours is not None
    assert hours.rows() == [
        (TEN, "EWR", 3, 1, 1, 14.5, 25.0, 10.0, 0.0),
        (ELEVEN, "JFK", 1, 0, 0, -1.0, None, None, None),
    ]
    (check,) = result.get_asset_check_evaluations()
    assert not check.passed
    assert check.metadata[DAY].value == "50% of hours have weather"


def test_each_day_carries_its_figures_and_a_plot(lake: Lake) -> None:
    result = run(lake, punctuality, DAY)
    (materialization,) = result.asset_materializations_for_node("operations__punctuality")
    metadata = materialization.metadata
    assert (materialization.partition, metadata["flights"].value, metadata["delayed"].value) == (DAY, 4, 1)
    prefix, _, image = str(metadata["plot"].value).partition("base64,")
    assert prefix == f"![Delays on {DAY}](data:image/png;"
    assert base64.b64decode(image.removesuffix(")")).startswith(b"\x89PNG")


def test_a_run_over_several_days_leaves_out_a_day_without_one_side(lake: Lake) -> None:
    assert run(lake, punctuality, DAY, "2013-01-02").success
    assert [file.path for file in lake.list("operations/punctuality")] == [f"operations/punctuality/{DAY}.parquet"]


def test_delays_are_summed_by_the_weather_of_the_hour(lake: Lake) -> None:
    run(lake, punctuality, DAY)
    run(lake, delays_by_weather)
    totals = lake.read("operations/delays_by_weather.parquet")
    assert totals is not None
    assert totals.rows() == [("unknown", 1, 0, 0, 0.0), ("strong wind", 3, 1, 1, 1 / 3)]
