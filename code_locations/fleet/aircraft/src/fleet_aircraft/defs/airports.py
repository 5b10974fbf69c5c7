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
def airports(context: dg.AssetExecutionContext, batch: Batch, lake: Lake) -> dg.MaterializeResult[None]:
    """Airports as in the newest file; a file that cannot be read leaves the table as it was."""
    if not batch.items:
        raise dg.Failure("no airports file has landed yet", allow_retries=False)
    newest = batch.current()[-1]
    try:
        table = read_airports(newest.read())
    except ValueError as error:
        batch.reject(newest, str(error))
        check = dg.AssetCheckResult(check_name="schema", passed=False, description=str(error))
        return dg.MaterializeResult(check_results=[check])
    lake.write("fleet/airports.parquet", table)
    context.log.info("%s airports", table.height)
    check = dg.AssetCheckResult(check_name="schema", passed=True)
    return dg.MaterializeResult(metadata={"dagster/row_count": table.height}, check_results=[check])


def read_airports(content: bytes) -> pl.DataFrame:
    """Return the airports in a file; raise ValueError, with the reason, if it is no table of airports."""
    try:
        text = pl.read_csv(content, infer_schema=False, null_values="NA")
        table = text.select(SCHEMA.names()).cast(dict(SCHEMA))
    except pl.exceptions.PolarsError as error:
        raise ValueError(str(error).splitlines()[0]) from error
    if table.is_empty() or table["lat"].null_count():
        raise ValueError("no airports, or one without a place: the file is empty or cut off")
    return table
