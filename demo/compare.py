"""Compare, row by row, what the feeds played with what the assets contain.

    python -m demo.compare --state .local --database-url postgresql://... --days 14

The verdict comes from the data in the lake and in the sources. The ledger is only asked for what it set aside, and it
and Dagster for how many batches and runs it took. Exit code 0 if no row is lost or doubled and exactly the malformed
file is in quarantine.
"""

import argparse
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo
from psycopg.rows import scalar_row

from demo import difference, expected, progress
from demo.data import Year, load, typed
from demo.difference import Difference
from demo.feeds import SEED
from demo.plan import Plan, make_plan
from demo.render import plane

TEAMS = ("operations", "weather", "fleet")


@dataclass(frozen=True)
class Platform:
    """What the databases tell: the planes as they are now, the keys in quarantine, counts of batches and runs."""

    planes: pl.DataFrame
    quarantined: tuple[str, ...]
    batches: int
    runs: int


def compare(plan: Plan, year: Year, state: Path, planes: pl.DataFrame) -> Iterator[Difference]:
    """Yield the difference of each asset."""
    lake = state / "store" / "lake"
    flights, weather = expected.departures(plan, year), expected.observations(plan, year)
    hours = expected.punctuality(flights, weather)
    airports = pl.read_csv(state / "store/landing/reference/airports.csv", infer_schema=False)

    def table(asset: str, rows: pl.DataFrame) -> Difference:
        return difference.of_table(asset, rows, read(lake, asset))

    yield table("operations/departures", flights)
    yield table("weather/observations", weather)
    yield from difference.of_logs(
        weather, expected.published(plan, year), read(lake, "weather/severe"), read(lake, "weather/routine")
    )
    yield table("fleet/aircraft", planes)
    yield table("fleet/airports", typed(airports))
    yield table("operations/punctuality", hours)
    yield table("operations/delays_by_weather", expected.delays_by_weather(hours))


def read(lake: Path, asset: str) -> pl.DataFrame | None:
    """Return all rows of an asset: one parquet file, or a folder of them; None if there is neither."""
    whole = lake / f"{asset}.parquet"
    files = [whole] if whole.exists() else sorted((lake / asset).glob("**/*.parquet"))
    return expected.union(pl.read_parquet(file) for file in files)


def ask(database_url: str, year: Year) -> Platform:
    """Read the planes table, the quarantine of each team, and the counts."""
    with _connect(database_url, "outside") as outside:
        columns = list(plane(year, 0, 0))
        names = sql.SQL(", ").join(map(sql.Identifier, columns))
        rows = outside.execute(sql.SQL("select {} from planes").format(names)).fetchall()
        kinds = typed(year.planes.head(0)).schema
        planes = pl.DataFrame(rows, schema=kinds, orient="row")
    quarantined: list[str] = []
    batches = 0
    with _connect(database_url, "ledger") as ledger:
        scalars = ledger.cursor(row_factory=scalar_row)
        for team in TEAMS:
            ledger.execute(sql.SQL("set search_path to {}").format(sql.Identifier(team)))
            scalars.execute(
                "select key from quarantine join item using (source_id, arrival) where released_at is null order by key"
            )
            quarantined += [str(key) for key in scalars]
            batches += scalars.execute("select count(*) from batch where state = 'done'").fetchone() or 0
    with _connect(database_url, "dagster") as dagster:
        runs = dagster.cursor(row_factory=scalar_row).execute("select count(*) from runs").fetchone() or 0
    return Platform(planes, tuple(quarantined), batches, runs)


def report(plan: Plan, differences: list[Difference], platform: Platform, seconds: float) -> bool:
    """Print the table and the last line; return whether everything is as it must be."""
    print(f"{'asset':<30} {'expected':>9} {'actual':>9} {'lost':>7} {'doubled':>8}")
    for row in differences:
        line = f"{row.asset:<30} {row.expected:>9} {row.actual:>9} {row.lost:>7} {row.doubled:>8}  {row.remark}"
        print(line.rstrip())
    right = platform.quarantined == (plan.malformed,)
    if not right:
        print(f"quarantine: {', '.join(platform.quarantined) or 'empty'}; it should hold exactly {plan.malformed}")
    lost, doubled = sum(row.lost for row in differences), sum(row.doubled for row in differences)
    print(
        f"items={plan.items} batches={platform.batches} runs={platform.runs} lost={lost} doubled={doubled} "
        f"quarantined={len(platform.quarantined)} seconds={seconds:.0f}"
    )
    return right and lost == 0 and doubled == 0


def _connect(url: str, database: str) -> psycopg.Connection:
    return psycopg.connect(make_conninfo(url, dbname=database))


def main() -> None:
    """Compare, print, and exit with the verdict."""
    parser = argparse.ArgumentParser(prog="python -m demo.compare", description=__doc__)
    parser.add_argument("--state", type=Path, required=True, help="directory that holds store/ and feeds.json")
    parser.add_argument("--database-url", required=True, help="any database of the server, as a role that reads all")
    parser.add_argument("--days", type=int, default=14, help="how many days were played")
    parser.add_argument("--seed", type=int, default=SEED)
    arguments = parser.parse_args()
    plan = make_plan(arguments.seed, arguments.days)
    played = progress.load(arguments.state)
    if played is None or not played.done or played.days != plan.days:
        raise SystemExit(f"compare: {progress.path(arguments.state)} does not say that {plan.days} days are played")
    year = load(plan.days)
    platform = ask(arguments.database_url, year)
    differences = list(compare(plan, year, arguments.state, platform.planes))
    sys.exit(0 if report(plan, differences, platform, time.time() - played.started) else 1)


if __name__ == "__main__":
    main()
