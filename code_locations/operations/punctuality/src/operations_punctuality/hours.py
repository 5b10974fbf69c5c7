"""The figures of punctuality: pure functions of departures and observations."""

import base64
import io

import polars as pl

HOUR = ("time_hour", "origin")
STRONG_WIND = 20  # miles per hour, from here on
LOW_VISIBILITY = 1  # miles, up to here
DELAYED = 15  # minutes: the US Department of Transportation counts a flight as late from here on


def by_hour(departures: pl.DataFrame, observations: pl.DataFrame) -> pl.DataFrame:
    """Return flights, cancellations and delays of each airport and hour, with the weather of that hour."""
    hours = departures.group_by(HOUR).agg(
        flights=pl.len().cast(pl.Int64),
        cancelled=pl.col("dep_time").is_null().sum().cast(pl.Int64),
        delayed=(pl.col("dep_delay") >= DELAYED).sum().cast(pl.Int64),
        mean_delay=pl.col("dep_delay").mean(),
    )
    weather = observations.select(*HOUR, "wind_speed", "visib", "precip")
    return hours.join(weather, on=HOUR, how="left").sort(HOUR)


def by_weather(hours: pl.DataFrame) -> pl.DataFrame:
    """Return flights, cancellations and delays under each kind of weather, and the share of flights delayed."""
    weather = (
        pl.when(pl.col("visib").is_null())
        .then(pl.lit("unknown"))
        .when(pl.col("visib") <= LOW_VISIBILITY)
        .then(pl.lit("low visibility"))
        .when(pl.col("wind_speed") >= STRONG_WIND)
        .then(pl.lit("strong wind"))
        .when(pl.col("precip") > 0)
        .then(pl.lit("rain or snow"))
        .otherwise(pl.lit("fair"))
    )
    totals = hours.group_by(weather=weather).agg(pl.col("flights", "cancelled", "delayed").sum())
    return totals.with_columns(share_delayed=pl.col("delayed") / pl.col("flights")).sort("share_delayed")


def plot(day: str, hours: pl.DataFrame) -> str:
    """Return a plot of a day's delays as a Markdown image."""
    from matplotlib.figure import Figure  # noqa: PLC0415 - a second to import, and only runs draw

    figure = Figure(figsize=(7, 2.6), dpi=80, layout="constrained")
    axes = figure.subplots()
    for (airport,), rows in hours.sort("time_hour").group_by("origin", maintain_order=True):
        local = rows["time_hour"].dt.convert_time_zone("America/New_York").dt.hour()
        axes.plot(local, 100 * rows["delayed"] / rows["flights"], marker=".", label=str(airport))
    axes.set(title=f"Flights delayed on {day}", xlabel="hour in New York", ylabel="per cent", ylim=(0, 100))
    axes.legend(frameon=False, ncols=3)
    image = io.BytesIO()
    figure.savefig(image, format="png")
    return f"![Delays on {day}](data:image/png;base64,{base64.b64encode(image.getvalue()).decode()})"
