"""The format of a flight file: CSV in UTF-8, a row for each scheduled departure of one day, NA for what is unknown."""

from datetime import date

import polars as pl

TIME = "time_hour"
TIME_FORMAT = "%Y-%m-%dT%H:%M:%SZ"
SCHEMA = pl.Schema(
    {
        "year": pl.Int64,
        "month": pl.Int64,
        "day": pl.Int64,
        "dep_time": pl.Int64,
        "sched_dep_time": pl.Int64,
        "dep_delay": pl.Int64,
        "arr_time": pl.Int64,
        "sched_arr_time": pl.Int64,
        "arr_delay": pl.Int64,
        "carrier": pl.String,
        "flight": pl.Int64,
        "tailnum": pl.String,
        "origin": pl.String,
        "dest": pl.String,
        "air_time": pl.Int64,
        "distance": pl.Int64,
        "hour": pl.Int64,
        "minute": pl.Int64,
        TIME: pl.Datetime("us", "UTC"),  # start of the scheduled hour
    }
)
KEY = (TIME, "carrier", "flight")  # identifies a departure


class UnreadableFileError(Exception):
    """The file is not a flight file of its day; the message is the reason that its sender needs."""


def read_flights(content: bytes, day: date) -> pl.DataFrame:
    """Return the departures in a flight file of a day (New York's date).

    Raises:
        UnreadableFileError: The file is empty, cut off, in another encoding, has other columns or values, or is of
            another day.
    """
    if not content:
        raise UnreadableFileError("the file has 0 bytes")
    try:
        lines = content.decode("utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise UnreadableFileError(f"not UTF-8: byte 0x{content[error.start]:02x} at {error.start}; Latin-1?") from error
    _check_shape(lines)
    flights, days = _typed(pl.read_csv(content, infer_schema=False, null_values="NA", quote_char=None))
    if strangers := days - {day}:
        raise UnreadableFileError(f"the name says {day}, but rows are of {', '.join(sorted(map(str, strangers)))}")
    return flights


def _check_shape(lines: list[str]) -> None:
    header = lines[0].split(",")
    if sorted(header) != sorted(SCHEMA):
        missing, unknown = [name for name in SCHEMA if name not in header], sorted(set(header) - set(SCHEMA))
        what = f"missing {', '.join(missing) or 'none'}; unknown {', '.join(unknown) or 'none'}"
        raise UnreadableFileError(f"other columns than a flight file has: {what}")
    if len(lines) == 1:
        raise UnreadableFileError("the file has a header but no rows")
    for number, line in enumerate(lines, start=1):
        if (fields := line.count(",") + 1) != len(SCHEMA):
            where = "truncated: the last line" if number == len(lines) else f"line {number}"
            raise UnreadableFileError(f"{where} has {fields} of {len(SCHEMA)} columns")


def _typed(text: pl.DataFrame) -> tuple[pl.DataFrame, set[date]]:
    try:
        times = text.select(SCHEMA.names()).with_columns(pl.col(TIME).str.to_datetime(TIME_FORMAT, time_zone="UTC"))
        flights = times.cast(SCHEMA)
        days = set(flights.select(pl.date("year", "month", "day")).to_series())
    except pl.exceptions.PolarsError as error:
        raise UnreadableFileError(str(error).splitlines()[0]) from error
    if unknown := [name for name in (*KEY, "origin") if flights[name].null_count()]:
        raise UnreadableFileError(f"NA where a value is needed: {', '.join(unknown)}")
    return flights, days
