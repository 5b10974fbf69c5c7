"""Departures by day. One source, by date in the key: the simplest sensor asset, and the one to copy."""

from datetime import date, timedelta

import dagster as dg
import polars as pl
from sensor_assets import Batch, Batching, Lake, ObjectSource, sensor_asset

from operations_departures.flight_file import KEY, UnreadableFileError, read_flights
from operations_departures.settings import settings

AIRPORTS = {"EWR", "JFK", "LGA"}
DEPARTURES = dg.AssetKey(["operations", "departures"])

flight_files = ObjectSource(
    "flight_files",
    url="{landing_url}/flights",
    key="{date:%Y-%m-%d}*.csv",
    ignore=["*.tmp"],
    every="{interval_seconds}",
    description="Flight files as the airports send them: some late, some corrected, some twice.",
)


@sensor_asset(
    flight_files,
    key_prefix="operations",
    partitions_def=dg.DailyPartitionsDefinition(
        start_date=str(settings.first_day), end_date=str(settings.last_day + timedelta(days=1))
    ),
    batching=Batching(max_items=500, max_bytes="256 MiB"),
    group_name="departures",
    owners=["team:operations"],
    kinds={"polars", "parquet"},
    freshness_policy=dg.FreshnessPolicy.time_window(fail_window=timedelta(hours=36), warn_window=timedelta(hours=26)),
    check_specs=[
        dg.AssetCheckSpec("schema", asset=DEPARTURES, description="Every file read was a flight file of its day."),
        dg.AssetCheckSpec("completeness", asset=DEPARTURES, description="Every day has flights of all three airports."),
    ],
)
def departures(context: dg.AssetExecutionContext, batch: Batch, lake: Lake) -> dg.MaterializeResult:
    """Every scheduled departure from New York, one file a day, rebuilt from all current files of the day."""
    rejected: dict[str, str] = {}
    incomplete: dict[str, str] = {}
    for day, files in batch.by_partition():
        tables: list[pl.DataFrame] = []
        for file in files:
            try:
                tables.append(read_flights(file.read(), date.fromisoformat(day)))
            except UnreadableFileError as error:
                batch.reject(file, str(error))
                rejected[file.key] = str(error)
        if not tables:
            incomplete[day] = "no readable file"
            continue  # what an earlier run wrote is better than nothing
        flights = pl.concat(tables).unique(KEY, keep="last", maintain_order=True).sort(KEY)  # the newest arrival wins
        lake.write(f"operations/departures/{day}.parquet", flights)
        if missing := AIRPORTS - set(flights["origin"]):
            incomplete[day] = f"no flights of {', '.join(sorted(missing))}"
        context.log.info("%s: %s flights from %s files", day, flights.height, len(tables))
        context.add_asset_metadata(
            {"dagster/partition_row_count": flights.height, "files": len(tables)}, partition_key=day
        )
    return dg.MaterializeResult(
        metadata={"days": len(batch.partitions), "rejected": len(rejected)},
        check_results=[
            dg.AssetCheckResult(check_name="schema", passed=not rejected, metadata=rejected),
            dg.AssetCheckResult(
                check_name="completeness",
                passed=not incomplete,
                severity=dg.AssetCheckSeverity.WARN,  # files may be late by three days
                metadata=incomplete,
            ),
        ],
    )
