"""Hourly weather by day, from an HTTP service that is asked only for what changed (conditional GET)."""

from datetime import date, timedelta

import dagster as dg
from sensor_assets import Batch, HttpSource, Lake, sensor_asset

from weather_observations.document import UnreadableDocumentError, read_observations
from weather_observations.settings import settings

HOURS = 24
OBSERVATIONS = dg.AssetKey(["weather", "observations"])

hourly_weather = HttpSource(
    "hourly_weather",
    url="{weather_url}/",
    index="index.json",
    key="{date:%Y-%m-%d}.csv",
    every="{interval_seconds}",
    stale_after=timedelta(minutes=15),
    description="A document for each day, which grows by the hour and may be corrected afterwards.",
)


@sensor_asset(
    hourly_weather,
    key_prefix="weather",
    partitions_def=dg.DailyPartitionsDefinition(
        start_date=str(settings.first_day), end_date=str(settings.last_day + timedelta(days=1))
    ),
    group_name="observations",
    owners=["team:weather"],
    kinds={"polars", "parquet"},
    freshness_policy=dg.FreshnessPolicy.time_window(fail_window=timedelta(hours=6), warn_window=timedelta(hours=2)),
    check_specs=[
        dg.AssetCheckSpec("schema", asset=OBSERVATIONS, description="Every document was the weather of its day."),
        dg.AssetCheckSpec("completeness", asset=OBSERVATIONS, description="Every day has 24 hours at each airport."),
    ],
)
def observations(context: dg.AssetExecutionContext, batch: Batch, lake: Lake) -> dg.MaterializeResult:
    """Weather at New York's airports by the hour, one file a day, as in the newest version of the day's document."""
    rejected: dict[str, str] = {}
    incomplete: dict[str, str] = {}
    for day, documents in batch.by_partition():
        for document in documents:  # one, since the day is the whole key
            try:
                weather = read_observations(document.read(), date.fromisoformat(day))
            except UnreadableDocumentError as error:
                batch.reject(document, str(error))
                rejected[document.key] = str(error)
                continue
            lake.write(f"weather/observations/{day}.parquet", weather)
            hours = weather.group_by("origin").len().filter(len=HOURS).height
            if hours < weather["origin"].n_unique():
                incomplete[day] = f"{weather.height} observations so far"
            context.log.info("%s: %s observations, version %s", day, weather.height, document.version)
            metadata = {"dagster/partition_row_count": weather.height, "version": document.version}
            context.add_asset_metadata(metadata, partition_key=day)
    return dg.MaterializeResult(
        metadata={"days": len(batch.partitions), "rejected": len(rejected)},
        check_results=[
            dg.AssetCheckResult(check_name="schema", passed=not rejected, metadata=rejected),
            dg.AssetCheckResult(
                check_name="completeness",
                passed=not incomplete,
                severity=dg.AssetCheckSeverity.WARN,  # the day may not be over
                metadata=incomplete,
            ),
        ],
    )
