"""The aircraft of the fleet, from a database table of which only changed rows are read."""

from datetime import timedelta

import dagster as dg
import polars as pl
from sensor_assets import Batch, Batching, Lake, TableSource, sensor_asset

AIRCRAFT = dg.AssetKey(["fleet", "aircraft"])
FILE = "fleet/aircraft.parquet"
SCHEMA = pl.Schema(
    {
        "tailnum": pl.String,
        "year": pl.Int64,
        "type": pl.String,
        "manufacturer": pl.String,
        "model": pl.String,
        "engines": pl.Int64,
        "seats": pl.Int64,
        "speed": pl.Int64,
        "engine": pl.String,
        "changed": pl.Int64,  # id of the transaction that wrote the row
    }
)

planes = TableSource(
    "planes",
    url="{fleet_database_url}",
    table="planes",
    key="tailnum",
    version="changed",
    every="{interval_seconds}",
    description="The registry of planes in another team's database, which changes under concurrent transactions.",
)


@sensor_asset(
    planes,
    key_prefix="fleet",
    batching=Batching(max_items=5000),
    group_name="fleet",
    owners=["team:fleet"],
    kinds={"polars", "parquet"},
    freshness_policy=dg.FreshnessPolicy.time_window(fail_window=timedelta(days=7)),
    check_specs=[dg.AssetCheckSpec("unique", asset=AIRCRAFT, description="No tail number is there twice.")],
)
def aircraft(context: dg.AssetExecutionContext, batch: Batch, lake: Lake) -> dg.MaterializeResult:
    """Every plane as its newest row says: changed rows replace those of the same tail number."""
    changed = pl.DataFrame(batch.rows(), schema=SCHEMA)
    before = lake.read(FILE)
    kept = changed.clear() if before is None else before.join(changed, on="tailnum", how="anti")
    after = pl.concat([kept, changed]).sort("tailnum")
    lake.write(FILE, after)
    context.log.info("%s planes changed, %s in all", changed.height, after.height)
    return dg.MaterializeResult(
        metadata={"dagster/row_count": after.height, "changed": changed.height},
        check_results=[dg.AssetCheckResult(check_name="unique", passed=after["tailnum"].is_unique().all())],
    )
