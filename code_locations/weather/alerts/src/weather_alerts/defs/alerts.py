"""Two logs to which each hour of weather is appended once for every state in which it was seen."""

from datetime import timedelta

import dagster as dg
import polars as pl
from sensor_assets import Batch, Lake, sensor_asset

from weather_alerts.defs.storm_reports import severity

SCHEMA = pl.Schema(
    {
        "time_hour": pl.Datetime("us", "UTC"),
        "origin": pl.String,
        "wind_speed": pl.Float64,
        "visib": pl.Float64,
        "version": pl.String,
    }
)
FRESH = dg.FreshnessPolicy.time_window(fail_window=timedelta(days=2))


@sensor_asset(
    severity["severe"],
    key_prefix="weather",
    group_name="alerts",
    owners=["team:weather"],
    kinds={"parquet"},
    freshness_policy=FRESH,
    max_in_flight=4,
    appends=True,
)
def severe(context: dg.AssetExecutionContext, batch: Batch, lake: Lake) -> dg.MaterializeResult:
    """Hours with strong wind or low visibility."""
    return append("severe", context, batch, lake)


@sensor_asset(
    severity["routine"],
    key_prefix="weather",
    group_name="alerts",
    owners=["team:weather"],
    kinds={"parquet"},
    freshness_policy=FRESH,
    max_in_flight=4,
    appends=True,
)
def routine(context: dg.AssetExecutionContext, batch: Batch, lake: Lake) -> dg.MaterializeResult:
    """All other hours."""
    return append("routine", context, batch, lake)


def append(log: str, context: dg.AssetExecutionContext, batch: Batch, lake: Lake) -> dg.MaterializeResult:
    """Add the batch to a log, as a file named after it: a run that is repeated writes the same file again.

    A launch by hand does not come here: because the asset says that it appends, its batches are processed again.
    """
    rows = [{**item.metadata, "version": item.version} for item in batch.items]
    text = pl.DataFrame(rows, schema={**SCHEMA, "time_hour": pl.String})
    alerts = text.with_columns(pl.col("time_hour").str.to_datetime("%Y-%m-%dT%H:%MZ", time_zone="UTC"))
    url = lake.append(f"weather/{log}", batch, alerts.cast(SCHEMA))
    context.log.info("%s hours appended to the %s log", len(rows), log)
    return dg.MaterializeResult(metadata={"dagster/row_count": len(rows), "file": dg.MetadataValue.url(url)})
