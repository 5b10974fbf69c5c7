"""The bytes and rows of each delivery of the plan: pure functions of the published tables."""

import polars as pl

from demo.data import MISSING, Year, csv, date_of, typed
from demo.plan import FileDelivery, WeatherDelivery

NOON = 12


def flight_rows(year: Year, file: FileDelivery) -> pl.DataFrame:
    """Return the rows of a flight file as text; a malformed file has columns of its own."""
    rows = _of_day(year.flights, file.day)
    if file.kind == "malformed":
        return rows.select(
            airline=pl.col("carrier"),
            number=pl.col("flight"),
            departed=pl.col("dep_time"),
            status=pl.lit("on time"),
        )
    if file.revision:
        rows = _corrected_flights(rows, file.day)
    match file.part:
        case "all":
            return rows
        case "am":
            return rows.filter(pl.col("hour").cast(pl.Int64) < NOON)
        case "pm":
            return rows.filter(pl.col("hour").cast(pl.Int64) >= NOON)
        case airport:
            return rows.filter(pl.col("origin") == airport)


def weather_rows(year: Year, document: WeatherDelivery) -> pl.DataFrame:
    """Return the rows of a version of a day's weather document as text."""
    rows = _of_day(year.weather, document.day).filter(pl.col("hour").cast(pl.Int64) < document.hours)
    return _corrected_weather(rows, document.day) if document.revision else rows


def flight_file(year: Year, file: FileDelivery) -> bytes:
    """Return the content of a flight file."""
    return csv(flight_rows(year, file))


def weather_document(year: Year, document: WeatherDelivery) -> bytes:
    """Return the content of a version of a day's weather document."""
    return csv(weather_rows(year, document))


def airports(year: Year, revision: int) -> pl.DataFrame:
    """Return a version of the airports file as text: revision 1 opens one airport and moves another by a foot."""
    if revision == 0:
        return year.airports.head(-1)
    first = pl.int_range(pl.len()) == 0
    raised = (pl.col("alt").cast(pl.Int64) + 1).cast(pl.String)
    return year.airports.with_columns(alt=pl.when(first).then(raised).otherwise("alt"))


def plane(year: Year, row: int, revision: int) -> dict[str, str | int | None]:
    """Return a plane as a row of the planes table; each revision adds a seat."""
    values: dict[str, str | int | None] = typed(year.planes[row]).row(0, named=True)
    return {**values, "seats": int(values["seats"] or 0) + revision}


def _of_day(frame: pl.DataFrame, day: int) -> pl.DataFrame:
    date = date_of(day)
    return frame.filter(pl.col("month") == str(date.month), pl.col("day") == str(date.day))


def _corrected_flights(rows: pl.DataFrame, day: int) -> pl.DataFrame:
    """Add seven minutes to the delays of every 37th flight of the day that departed."""
    chosen = (pl.int_range(pl.len()) % 37 == day % 37) & (pl.col("dep_delay") != MISSING)
    return rows.with_columns(
        pl.when(chosen & (pl.col(name) != MISSING))
        .then((pl.col(name).cast(pl.Int64, strict=False) + 7).cast(pl.String))
        .otherwise(pl.col(name))
        .alias(name)
        for name in ("dep_delay", "arr_delay")
    )


def _corrected_weather(rows: pl.DataFrame, day: int) -> pl.DataFrame:
    """Turn one hour of the day, at every airport, into a storm."""
    chosen = pl.col("hour") == str(7 + day % 12)
    storm = (pl.col("wind_speed").cast(pl.Float64, strict=False) + 30).cast(pl.String)
    return rows.with_columns(wind_speed=pl.when(chosen).then(storm).otherwise("wind_speed"))
