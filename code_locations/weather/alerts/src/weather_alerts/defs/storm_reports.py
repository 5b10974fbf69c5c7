"""A source of our own: each hour of weather in the lake, and the condition that routes it."""

from collections.abc import Iterator, Sequence
from functools import lru_cache

import polars as pl
from sensor_assets import Hold, Item, Lake, LakeFile, Router, ScanContext, Send, Waiting, source

from weather_alerts.settings import settings


@source("storm_reports", every="{interval_seconds}")
def storm_reports(context: ScanContext, lake: Lake) -> Iterator[Item]:
    """Each hour at each airport; its version is what alerts look at, so other corrections are not new."""
    known = context.known(None)
    for file in lake.list("weather/observations"):
        for item in _items(lake, file):  # pyright: ignore[reportArgumentType] - a resource is hashable
            if known.get(item.key) != item.version:
                yield item


@lru_cache(maxsize=400)  # by path and ETag, so that a process reads an unchanged file only once
def _items(lake: Lake, file: LakeFile) -> tuple[Item, ...]:
    weather = lake.read(file.path)
    if weather is None:
        return ()
    rows = weather.select("origin", pl.col("time_hour").dt.strftime("%Y-%m-%dT%H:%MZ"), "wind_speed", "visib")
    return tuple(
        Item(
            key=f"{hour} {origin}",
            version=f"{wind_speed} mph, {visibility} mi",
            metadata={"time_hour": hour, "origin": origin, "wind_speed": wind_speed, "visib": visibility},
        )
        for origin, hour, wind_speed, visibility in rows.iter_rows()
    )


def by_severity(waiting: Waiting) -> Hold | Sequence[Send]:
    """Send storms to the severe log and all else to the routine log, once there are enough to be worth a run."""
    if waiting.count < settings.least_observations and not waiting.forced:
        return Hold(f"{waiting.count} observations wait, fewer than {settings.least_observations}")
    storms = [item for item in waiting.items if is_severe(item)]
    others = [item for item in waiting.items if not is_severe(item)]
    return [Send(to=name, items=items) for name, items in (("severe", storms), ("routine", others)) if items]


def is_severe(item: Item) -> bool:
    """Return whether wind or visibility passes its threshold; what is unknown passes none."""
    wind_speed, visibility = item.metadata["wind_speed"], item.metadata["visib"]
    windy = wind_speed is not None and wind_speed >= settings.severe_wind_speed
    return windy or (visibility is not None and visibility <= settings.severe_visibility)


severity = Router(
    storm_reports,
    by_severity,
    name="severity",
    targets=("severe", "routine"),
    max_hold=settings.max_hold_seconds,
    otherwise="routine",
)
