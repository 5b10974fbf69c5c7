"""Punctuality and delays by weather from two small upstream tables."""

import base64
from datetime import datetime, timezone
from unittest.mock import Mock

import dagster as dg
import polars as pl
import pytest
from sensor_assets import Lake

from operations_punctuality.defs.punctuality import delays_by_weather, punctuality

DAY = "2013-01-01"
TEN = datetime(2013, 1, 1, 10, tzinfo=timezone.utc)
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


def test_hours_have_counts_delays_and_the_weather_of_the_hour(context: Mock, lake: Lake) -> None:
    context.partition_keys = [DAY]
    result = punctuality(context=context, lake=lake)
    hours = lake.read(f"operations/punctuality/{DAY}.parquet")
    assert hours is not None
    assert hours.rows() == [
        (TEN, "EWR", 3, 1, 1, 14.5, 25.0, 10.0, 0.0),
        (ELEVEN, "JFK", 1, 0, 0, -1.0, None, None, None),
    ]
    assert isinstance(result, dg.MaterializeResult)
    (check,) = result.check_results
    assert not check.passed
    assert check.metadata[DAY].value == "50% of hours have weather"


def test_each_day_carries_its_figures_and_a_plot(context: Mock, lake: Lake) -> None:
    context.partition_keys = [DAY]
    punctuality(context=context, lake=lake)
    (metadata,), named = context.add_asset_metadata.call_args
    assert named == {"partition_key": DAY}
    assert (metadata["flights"], metadata["delayed"]) == (4, 1)
    prefix, _, image = metadata["plot"].md_str.partition("base64,")
    assert prefix == f"![Delays on {DAY}](data:image/png;"
    assert base64.b64decode(image.removesuffix(")")).startswith(b"\x89PNG")


def test_a_day_without_one_side_is_left_out(context: Mock, lake: Lake) -> None:
    context.partition_keys = ["2013-01-02", DAY]
    punctuality(context=context, lake=lake)
    assert [file.path for file in lake.list("operations/punctuality")] == [f"operations/punctuality/{DAY}.parquet"]
    assert context.log.warning.call_count == 1


def test_delays_are_summed_by_the_weather_of_the_hour(context: Mock, lake: Lake) -> None:
    context.partition_keys = [DAY]
    punctuality(context=context, lake=lake)
    delays_by_weather(context=context, lake=lake)
    totals = lake.read("operations/delays_by_weather.parquet")
    assert totals is not None
    assert totals.rows() == [("unknown", 1, 0, 0, 0.0), ("strong wind", 3, 1, 1, 1 / 3)]
