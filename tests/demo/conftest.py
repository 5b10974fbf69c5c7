"""A played week: the plan, the data, and a lake that holds exactly what it must."""

import shutil
from pathlib import Path

import polars as pl
import pytest

from demo import expected
from demo.data import Year, csv, load, typed
from demo.plan import Plan, make_plan
from demo.render import airports, plane

DAYS = 7


@pytest.fixture(scope="session")
def plan() -> Plan:
    return make_plan(2013, DAYS)


@pytest.fixture(scope="session")
def year() -> Year:
    return load(DAYS)


@pytest.fixture(scope="session")
def planes(plan: Plan, year: Year) -> pl.DataFrame:
    newest = {row: revision for transaction in plan.planes for row, revision in transaction.rows}
    rows = [plane(year, row, revision) for row, revision in newest.items()]
    return pl.DataFrame(rows, schema=typed(year.planes.head(0)).schema)


@pytest.fixture
def state(right: Path, tmp_path: Path) -> Path:
    """Return a copy of the right state directory, to be spoiled."""
    return Path(shutil.copytree(right, tmp_path / "state"))


@pytest.fixture(scope="session")
def right(tmp_path_factory: pytest.TempPathFactory, plan: Plan, year: Year, planes: pl.DataFrame) -> Path:
    """Return a state directory whose lake is right; the logs also hold the earlier states of the observations."""
    state = tmp_path_factory.mktemp("right")
    flights, weather = expected.departures(plan, year), expected.observations(plan, year)
    hours = expected.punctuality(flights, weather)
    seen = expected.published(plan, year)
    tables = {
        "operations/departures/2013-01-01": flights.filter(pl.col("day") == 1),
        "operations/departures/the-rest": flights.filter(pl.col("day") != 1),
        "weather/observations/all": weather,
        "weather/severe/1": seen.filter(expected.is_severe()),
        "weather/routine/1": seen.filter(~expected.is_severe()),
        "fleet/aircraft": planes,
        "fleet/airports": typed(airports(year, 1)),
        "operations/punctuality/all": hours,
        "operations/delays_by_weather": expected.delays_by_weather(hours),
    }
    for name, rows in tables.items():
        file = state / "store/lake" / f"{name}.parquet"
        file.parent.mkdir(parents=True, exist_ok=True)
        rows.write_parquet(file)
    source = state / "store/landing/reference/airports.csv"
    source.parent.mkdir(parents=True)
    source.write_bytes(csv(airports(year, 1)))
    return state
