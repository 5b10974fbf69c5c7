"""The format of a weather document: CSV, one row for each airport and hour of a day so far, NA for what is unknown."""

from datetime import date

import polars as pl

TIME = "time_hour"
TIME_FORMAT = "%Y-%m-%dT%H:%M:%SZ"
SCHEMA = pl.Schema(
    {
        "origin": pl.String,
        "year": pl.Int64,
        "month": pl.Int64,
        "day": pl.Int64,
        "hour": pl.Int64,
        "temp": pl.Float64,  # degrees Fahrenheit
        "dewp": pl.Float64,
        "humid": pl.Float64,  # per cent
        "wind_dir": pl.Int64,  # degrees
        "wind_speed": pl.Float64,  # miles per hour
        "wind_gust": pl.Float64,
        "precip": pl.Float64,  # inches
        "pressure": pl.Float64,  # millibars
        "visib": pl.Float64,  # miles
        TIME: pl.Datetime("us", "UTC"),
    }
)
KEY = (TIME, "origin")  # identifies an observation


class UnreadableDocumentError(Exception):
    """The body is not the weather of its day; the message says why."""


def read_observations(content: bytes, day: date) -> pl.DataFrame:
    """Return the observations in the document of a day (New York's date), in order of time.

    Raises:
        UnreadableDocumentError: The document has other columns or values, is cut off, or is of another day.
    """
    try:
        text = pl.read_csv(content, infer_schema=False, null_values="NA")
        times = text.select(SCHEMA.names()).with_columns(pl.col(TIME).str.to_datetime(TIME_FORMAT, time_zone="UTC"))
        observations = times.cast(SCHEMA).sort(KEY)
        days = set(observations.select(pl.date("year", "month", "day")).to_series())
    except pl.exceptions.PolarsError as error:
        raise UnreadableDocumentError(str(error).splitlines()[0]) from error
    if text.columns != SCHEMA.names():
        raise UnreadableDocumentError(f"columns {', '.join(text.columns)} instead of {', '.join(SCHEMA.names())}")
    if observations.is_empty():
        raise UnreadableDocumentError("the document has a header but no rows")
    if observations[TIME].null_count() or days - {day}:
        raise UnreadableDocumentError(f"rows without a time or not of {day}: it is cut off or of another day")
    return observations
