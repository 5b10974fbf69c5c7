"""The airports that planes fly to: a reference file that is replaced as a whole."""

from datetime import timedelta

import dagster as dg
import polars as pl
from sensor_assets import Batch, Lake, ObjectSource, sensor_asset

AIRPORTS = dg.AssetKey(["fleet", "airports"])
SCHEMA = pl.Schema(
    {
        "faa": pl.String,
        "name": pl.String,
        "lat": pl.Float64,
        "lon": pl.Float64,
        "alt": pl.Int64,  # feet
        "tz": pl.Int64,  # hours from UTC
        "dst": pl.String,
        "tzone": pl.String,
    }
)

airports_file = ObjectSource(
    "airports_file",
    url="{landing_url}/reference",
    key="airports.csv",
    every="{interval_seconds}",
    description="The airports of the United States; a new file replaces the old one.",
)


@sensor_asset(
    airports_file,
    key_prefix="fleet",
    group_name="fleet",
    owners=["team:fleet"],
    kinds={"polars", "parquet"},
    freshness_policy=dg.FreshnessPolicy.time_window(fail_window=timedelta(days=90)),
    check_specs=[dg.AssetCheckSpec("schema", asset=AIRPORTS, description="The file was a table of airports.")],
)
def airports(context: dg.AssetExecutionContext, batch: Batch, lake: Lake) -> dg.MaterializeResult:
    """Airports as in the newest file; a file that cannot be read leaves the table as it was."""
    files = batch.current()  # the only key, in its newest version; the batch itself may hold an older one
    reason, metadata = None, {}
    try:
        table = read_airports(files[-1].read() if files else b"")
        lake.write("fleet/airports.parquet", table)
        metadata = {"dagster/row_count": table.height}
        context.log.info("%s airports", table.height)
    except ValueError as error:
        reason = str(error)
        for file in files:
            batch.reject(file, reason)
    check = dg.AssetCheckResult(check_name="schema", passed=reason is None, description=reason)
    return dg.MaterializeResult(metadata=metadata, check_results=[check])


def read_airports(content: bytes) -> pl.DataFrame:
    """Return the airports in a file; raise ValueError, with the reason, if it is no table of airports."""
    try:
        text = pl.read_csv(content, infer_schema=False, null_values="NA")
        table = text.select(SCHEMA.names()).cast(SCHEMA)
    except pl.exceptions.PolarsError as error:
        raise ValueError(str(error).splitlines()[0]) from error
    if table.is_empty() or table["lat"].null_count():
        raise ValueError("no airports, or one without a place: the file is empty or cut off")
    return table
