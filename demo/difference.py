"""The difference between what a table must hold and what it holds, as two counts of rows."""

from dataclasses import dataclass

import polars as pl

from demo.data import WEATHER_KEY
from demo.expected import is_severe


@dataclass(frozen=True)
class Difference:
    """Rows of one asset: lost are expected rows that are missing or have other values, doubled are rows too many."""

    asset: str
    expected: int
    actual: int
    lost: int
    doubled: int
    remark: str = ""

    @property
    def equal(self) -> bool:
        return self.lost == 0 and self.doubled == 0


def of_table(asset: str, expected: pl.DataFrame, actual: pl.DataFrame | None) -> Difference:
    """Compare all columns of the expected rows with the same columns of the table, as multisets.

    A stale row counts twice: its new values are lost, its old ones too many.
    """
    if actual is None:
        return Difference(asset, expected.height, 0, expected.height, 0, "nothing was written")
    if missing := sorted(set(expected.columns) - set(actual.columns)):
        remark = f"columns missing: {', '.join(missing)}"
        return Difference(asset, expected.height, actual.height, expected.height, 0, remark)
    found = actual.select(expected.columns).cast(expected.schema)  # pyright: ignore[reportArgumentType]
    surplus = (
        pl.concat([expected.with_columns(_balance=pl.lit(-1)), found.with_columns(_balance=pl.lit(1))])
        .group_by(expected.columns)
        .agg(pl.col("_balance").sum())["_balance"]
    )
    lost, doubled = -surplus.clip(upper_bound=0).sum(), surplus.clip(lower_bound=0).sum()
    return Difference(asset, expected.height, found.height, int(lost), int(doubled))


def of_logs(
    final: pl.DataFrame, published: pl.DataFrame, severe: pl.DataFrame | None, routine: pl.DataFrame | None
) -> list[Difference]:
    """Compare the two alert logs, to which rows are only ever appended.

    Each observation, as it finally is, must stand once in the log that the rule tells. Earlier states of it may stand
    there once each if they were published and were seen in time; anything else is a row too many.
    """
    columns = [*WEATHER_KEY, "wind_speed", "visib"]
    results: list[Difference] = []
    for name, log, rule in (("severe", severe, is_severe()), ("routine", routine, ~is_severe())):
        expected = final.select(columns).filter(rule)
        earlier = published.filter(rule)
        found = (expected.clear() if log is None else log).select(columns).cast(expected.schema)  # pyright: ignore[reportArgumentType]
        allowed = found.unique().join(earlier, on=columns, how="semi", nulls_equal=True)
        lost = expected.join(found, on=columns, how="anti", nulls_equal=True).height
        doubled = found.height - allowed.height
        results.append(Difference(f"weather/{name}", expected.height, found.height, lost, doubled))
    return results
