"""The comparison finds what a faulty platform would have done to the lake: each test but the first is such a fault."""

from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from demo import expected
from demo.compare import Platform, compare, report
from demo.data import Year
from demo.plan import Plan

TABLES = {
    "operations/departures": "operations/departures/2013-01-01",
    "weather/observations": "weather/observations/all",
    "fleet/aircraft": "fleet/aircraft",
    "fleet/airports": "fleet/airports",
    "operations/punctuality": "operations/punctuality/all",
    "operations/delays_by_weather": "operations/delays_by_weather",
}
LOGS = {"weather/severe": "weather/severe/1", "weather/routine": "weather/routine/1"}


class Check:
    """Run the comparison on the lake and report (lost, doubled) of the assets that differ."""

    def __init__(self, plan: Plan, year: Year, state: Path, planes: pl.DataFrame) -> None:
        self.plan, self.year, self.state, self.planes = plan, year, state, planes

    def __call__(self) -> dict[str, tuple[int, int]]:
        found = compare(self.plan, self.year, self.state, self.planes)
        return {row.asset: (row.lost, row.doubled) for row in found if not row.equal}

    def file(self, name: str) -> Path:
        return self.state / "store/lake" / f"{name}.parquet"

    def change(self, name: str, fault: Callable[[pl.DataFrame], pl.DataFrame]) -> None:
        fault(pl.read_parquet(self.file(name))).write_parquet(self.file(name))


@pytest.fixture
def check(plan: Plan, year: Year, state: Path, planes: pl.DataFrame) -> Check:
    return Check(plan, year, state, planes)


def test_a_right_lake_has_no_difference(check: Check) -> None:
    assert check() == {}


@pytest.mark.parametrize("asset", [*TABLES, *LOGS])
def test_a_doubled_row_is_found(check: Check, asset: str) -> None:
    check.change((TABLES | LOGS)[asset], lambda rows: pl.concat([rows, rows.tail(1)]))
    assert check() == {asset: (0, 1)}


@pytest.mark.parametrize("asset", TABLES)
def test_a_lost_row_is_found(check: Check, asset: str) -> None:
    check.change(TABLES[asset], lambda rows: rows.head(-1))
    assert check() == {asset: (1, 0)}


@pytest.mark.parametrize("asset", TABLES)
def test_an_asset_that_was_never_written_is_lost(check: Check, asset: str) -> None:
    rows = pl.read_parquet(check.file(TABLES[asset])).height
    check.file(TABLES[asset]).unlink()
    assert check() == {asset: (rows, 0)}


@pytest.mark.parametrize(
    ("asset", "column"),
    [
        ("operations/departures", "arr_delay"),
        ("weather/observations", "pressure"),
        ("fleet/aircraft", "seats"),
        ("operations/punctuality", "wind_speed"),
    ],
)
def test_a_stale_value_is_found_even_where_only_one_row_has_it(check: Check, asset: str, column: str) -> None:
    last = pl.int_range(pl.len()) == pl.len() - 1
    stale = pl.when(last).then(pl.col(column).fill_null(0) + 1).otherwise(column).alias(column)
    check.change(TABLES[asset], lambda rows: rows.with_columns(stale))
    assert check() == {asset: (1, 1)}


def test_a_null_that_became_zero_is_found(check: Check) -> None:
    check.change(TABLES["operations/departures"], lambda rows: rows.with_columns(pl.col("dep_time").fill_null(0)))
    lost, doubled = check()["operations/departures"]
    assert lost == doubled > 0


def test_a_column_that_was_dropped_loses_the_rows(check: Check) -> None:
    check.change("fleet/airports", lambda rows: rows.drop("tz"))
    assert check() == {"fleet/airports": (1458, 0)}


def test_an_observation_in_neither_log_is_found(check: Check) -> None:
    check.change(LOGS["weather/routine"], lambda rows: rows.filter(pl.int_range(pl.len()) > 0))
    check.change(LOGS["weather/severe"], lambda rows: rows.filter(pl.col("wind_speed") < 30))
    found = check()
    assert found["weather/severe"][0] > 0


def test_a_storm_in_the_routine_log_is_found(check: Check) -> None:
    storm = pl.read_parquet(check.file(LOGS["weather/severe"])).head(1)
    check.change(LOGS["weather/routine"], lambda rows: pl.concat([rows, storm], how="diagonal_relaxed"))
    assert check() == {"weather/routine": (0, 1)}


def test_an_observation_that_was_never_published_is_found(check: Check) -> None:
    invented = pl.col("wind_speed") + 0.125
    check.change(LOGS["weather/routine"], lambda rows: pl.concat([rows, rows.head(1).with_columns(invented)]))
    assert check() == {"weather/routine": (0, 1)}


def test_earlier_versions_of_an_observation_need_not_have_been_seen(check: Check, plan: Plan, year: Year) -> None:
    final = expected.observations(plan, year)
    check.change(LOGS["weather/routine"], lambda _: final.filter(~expected.is_severe()))
    assert check() == {}


@pytest.mark.parametrize(
    ("quarantined", "accepted"),
    [
        (("2013-01-04-bad.csv",), True),
        ((), False),
        (("2013-01-04-bad.csv", "2013-01-05.csv"), False),
        (("2013-01-05.csv",), False),
        (("2013-01-04-bad.csv", "2013-01-04-bad.csv"), False),
    ],
)
def test_only_the_malformed_file_belongs_in_quarantine(
    check: Check, planes: pl.DataFrame, quarantined: tuple[str, ...], accepted: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    differences = list(compare(check.plan, check.year, check.state, planes))
    platform = Platform(planes, quarantined, batches=12, runs=13)
    assert report(check.plan, differences, platform, seconds=61.4) is accepted
    last = capsys.readouterr().out.splitlines()[-1]
    assert last == (
        f"items={check.plan.items} batches=12 runs=13 lost=0 doubled=0 quarantined={len(quarantined)} seconds=61"
    )


def test_a_difference_fails_the_report(check: Check, planes: pl.DataFrame) -> None:
    check.file("fleet/airports").unlink()
    differences = list(compare(check.plan, check.year, check.state, planes))
    assert report(check.plan, differences, Platform(planes, (check.plan.malformed,), 1, 1), 1.0) is False
