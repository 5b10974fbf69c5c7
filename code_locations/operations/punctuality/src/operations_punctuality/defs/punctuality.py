"""Punctuality by day, from departures and from another team's weather; it runs by Dagster's own automation."""

from datetime import timedelta

import dagster as dg
import polars as pl
from sensor_assets import Lake

from operations_punctuality.automation import follow_complete_days, follow_updates
from operations_punctuality.hours import by_hour, by_weather, plot
from operations_punctuality.settings import settings

PUNCTUALITY = dg.AssetKey(["operations", "punctuality"])
ENOUGH_WEATHER = 0.9
FRESH = dg.FreshnessPolicy.time_window(fail_window=timedelta(hours=36), warn_window=timedelta(hours=26))


# The result is not MaterializeResult[None]: of an asset with checks, Dagster 1.13 only knows the bare form.
@dg.asset(
    key_prefix="operations",
    deps=[dg.AssetKey(["operations", "departures"]), dg.AssetKey(["weather", "observations"])],
    partitions_def=dg.DailyPartitionsDefinition(
        start_date=str(settings.first_day), end_date=str(settings.last_day + timedelta(days=1))
    ),
    backfill_policy=dg.BackfillPolicy.single_run(),
    automation_condition=follow_complete_days,
    group_name="punctuality",
    owners=["team:operations"],
    kinds={"polars", "parquet"},
    freshness_policy=FRESH,
    check_specs=[dg.AssetCheckSpec("weather_known", asset=PUNCTUALITY, description="Nine of ten hours have weather.")],
)
def punctuality(context: dg.AssetExecutionContext, lake: Lake) -> dg.MaterializeResult:
    """Flights, cancellations and delays by airport and hour, with the weather of the hour; one file a day."""
    unknown: dict[str, str] = {}
    for day in context.partition_keys:
        departures = lake.read(f"operations/departures/{day}.parquet")
        observations = lake.read(f"weather/observations/{day}.parquet")
        if departures is None or observations is None:
            context.log.warning("%s: no readable departures or observations yet", day)
            continue
        hours = by_hour(departures, observations)
        lake.write(f"operations/punctuality/{day}.parquet", hours)
        if (known := hours["visib"].count() / hours.height) < ENOUGH_WEATHER:
            unknown[day] = f"{known:.0%} of hours have weather"
        context.log.info("%s: %s flights, %s delayed", day, hours["flights"].sum(), hours["delayed"].sum())
        context.add_asset_metadata(
            {
                "dagster/partition_row_count": hours.height,
                "flights": int(hours["flights"].sum()),
                "delayed": int(hours["delayed"].sum()),
                "plot": dg.MetadataValue.md(plot(day, hours)),
            },
            partition_key=day,
        )
    check = dg.AssetCheckResult(
        check_name="weather_known", passed=not unknown, severity=dg.AssetCheckSeverity.WARN, metadata=unknown
    )
    return dg.MaterializeResult(check_results=[check])


@dg.asset(
    key_prefix="operations",
    deps=[PUNCTUALITY],
    automation_condition=follow_updates,
    group_name="punctuality",
    owners=["team:operations"],
    kinds={"polars", "parquet"},
    freshness_policy=FRESH,
)
def delays_by_weather(context: dg.AssetExecutionContext, lake: Lake) -> dg.MaterializeResult:
    """Delays under each kind of weather, over all days there are."""
    days = [lake.read(file.path) for file in lake.list("operations/punctuality")]
    totals = by_weather(pl.concat(day for day in days if day is not None))
    lake.write("operations/delays_by_weather.parquet", totals)
    context.log.info("%s days, %s flights", len(days), totals["flights"].sum())
    rows = [dg.TableRecord(row) for row in totals.to_dicts()]
    return dg.MaterializeResult(metadata={"days": len(days), "delays": dg.MetadataValue.table(rows)})


follow_upstream = dg.AutomationConditionSensorDefinition(
    "follow_upstream",
    target=dg.AssetSelection.assets(PUNCTUALITY, delays_by_weather),
    default_status=dg.DefaultSensorStatus.RUNNING,
    minimum_interval_seconds=round(settings.interval_seconds),
    run_tags={"dagster/max_retries": "2"},
)
