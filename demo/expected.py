"""What the lake must hold when everything that was played has arrived: computed from the published data alone.

Nothing here shares code with the locations: the rules of the assets are stated a second time, on purpose.
"""

from collections.abc import Iterable

import polars as pl

from demo.data import FLIGHT_KEY, TIME, WEATHER_KEY, Year, typed
from demo.plan import FileDelivery, Plan, WeatherDelivery
from demo.render import flight_rows, weather_rows

SEVERE_WIND = 20.0  # miles per hour, from here on
SEVERE_VISIBILITY = 1.0  # miles, up to here
DELAYED = 15  # minutes, from here on: the rule of the US Department of Transportation


def departures(plan: Plan, year: Year) -> pl.DataFrame:
    """Return every flight once, from the newest version of each file that is one."""
    newest: dict[str, FileDelivery] = {file.name: file for file in plan.files if file.kind != "malformed"}
    rows = pl.concat(typed(flight_rows(year, file)) for file in newest.values())
    return rows.unique(FLIGHT_KEY, keep="last", maintain_order=True)


def observations(plan: Plan, year: Year) -> pl.DataFrame:
    """Return every observation of the newest version of each weather document."""
    newest: dict[str, WeatherDelivery] = {document.name: document for document in plan.weather}
    return pl.concat(typed(weather_rows(year, document)) for document in newest.values())


def published(plan: Plan, year: Year) -> pl.DataFrame:
    """Return each different state in which an observation was ever published, as far as alerts look at it."""
    versions = pl.concat(typed(weather_rows(year, document)) for document in plan.weather)
    return versions.select(*WEATHER_KEY, "wind_speed", "visib").unique()


def is_severe() -> pl.Expr:
    """Return the rule of the alerts: strong wind or low visibility; what is unknown is not severe."""
    windy = pl.col("wind_speed") >= SEVERE_WIND
    blind = pl.col("visib") <= SEVERE_VISIBILITY
    return (windy | blind).fill_null(value=False)


def punctuality(flights: pl.DataFrame, weather: pl.DataFrame) -> pl.DataFrame:
    """Return the departures of each airport and hour with the weather of that hour."""
    hours = flights.group_by("origin", TIME).agg(
        flights=pl.len().cast(pl.Int64),
        cancelled=pl.col("dep_time").is_null().sum().cast(pl.Int64),
        delayed=(pl.col("dep_delay") >= DELAYED).sum().cast(pl.Int64),
        mean_delay=pl.col("dep_delay").mean(),
    )
    return hours.join(weather.select(*WEATHER_KEY, "wind_speed", "visib", "precip"), on=WEATHER_KEY, how="left")


def delays_by_weather(hours: pl.DataFrame) -> pl.DataFrame:
    """Return the departures under each kind of weather."""
    kind = (
        pl.when(pl.col("visib").is_null())
        .then(pl.lit("unknown"))
        .when(pl.col("visib") <= SEVERE_VISIBILITY)
        .then(pl.lit("low visibility"))
        .when(pl.col("wind_speed") >= SEVERE_WIND)
        .then(pl.lit("strong wind"))
        .when(pl.col("precip") > 0)
        .then(pl.lit("rain or snow"))
        .otherwise(pl.lit("fair"))
    )
    return hours.group_by(weather=kind).agg(pl.col("flights", "cancelled", "delayed").sum())


def union(frames: Iterable[pl.DataFrame]) -> pl.DataFrame | None:
    """Return the rows of all frames below each other, None if there is no frame."""
    present = list(frames)
    return pl.concat(present, how="diagonal_relaxed") if present else None
