"""What is reported, where it is sent, and what the logs hold."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from unittest.mock import Mock

import polars as pl
import pytest
from sensor_assets import Batch, Hold, Item, Lake, ScanContext, Waiting
from weather_alerts.defs.alerts import routine, severe
from weather_alerts.defs.storm_reports import by_severity, is_severe, storm_reports
from weather_alerts.settings import settings

TEN = datetime(2013, 1, 1, 10, tzinfo=UTC)
FILE = "weather/observations/2013-01-01.parquet"


def report(wind_speed: float | None, visib: float | None, hour: str = "2013-01-01T10:00Z") -> Item:
    metadata = {"time_hour": hour, "origin": "EWR", "wind_speed": wind_speed, "visib": visib}
    return Item(key=f"{hour} EWR", version=f"{wind_speed} mph, {visib} mi", metadata=metadata)


def waiting(items: Sequence[Item], *, forced: bool = False) -> Waiting:
    return Waiting(items=tuple(items), oldest_seconds=1.0, forced=forced)


def observe(lake: Lake, wind_speeds: Sequence[float | None], *, pressure: float = 1012.0) -> None:
    hours = [TEN.replace(hour=10 + number) for number in range(len(wind_speeds))]
    rows = {"origin": "EWR", "time_hour": hours, "wind_speed": wind_speeds, "visib": 10.0, "pressure": pressure}
    kinds = {"time_hour": pl.Datetime("us", "UTC"), "wind_speed": pl.Float64}
    lake.write(FILE, pl.DataFrame(rows, schema_overrides=kinds))


def scan(lake: Lake, known: Mapping[str, str]) -> dict[str, str]:
    context = ScanContext(position=None, known=lambda _: known, settings=settings)
    return {item.key: item.version for item in storm_reports(context, lake)}


def test_each_hour_is_reported_once_and_again_when_its_wind_changes(lake: Lake) -> None:
    observe(lake, [10.0, None])
    first = scan(lake, {})
    assert first == {"2013-01-01T10:00Z EWR": "10.0 mph, 10.0 mi", "2013-01-01T11:00Z EWR": "None mph, 10.0 mi"}
    assert scan(lake, first) == {}
    observe(lake, [10.0, 30.0])
    assert scan(lake, first) == {"2013-01-01T11:00Z EWR": "30.0 mph, 10.0 mi"}


def test_a_correction_that_alerts_do_not_look_at_is_not_reported(lake: Lake) -> None:
    observe(lake, [10.0])
    first = scan(lake, {})
    observe(lake, [10.0], pressure=999.0)
    assert scan(lake, first) == {}


def test_a_lake_without_observations_reports_nothing(lake: Lake) -> None:
    assert scan(lake, {}) == {}


@pytest.mark.parametrize(
    ("wind_speed", "visib", "expected"),
    [
        (20.0, 10.0, True),
        (19.9, 10.0, False),
        (0.0, 1.0, True),
        (0.0, 1.1, False),
        (None, 10.0, False),
        (5, None, False),
    ],
)
def test_strong_wind_or_low_visibility_is_severe(wind_speed: float | None, visib: float | None, expected: bool) -> None:
    assert is_severe(report(wind_speed, visib)) is expected


def test_few_observations_are_held_until_they_waited_too_long() -> None:
    few = [report(5.0, 10.0)] * 23
    assert by_severity(waiting(few)) == Hold("23 observations wait, fewer than 24")
    assert not isinstance(by_severity(waiting(few, forced=True)), Hold)
    assert not isinstance(by_severity(waiting([*few, report(5.0, 10.0)])), Hold)


def test_every_item_is_sent_to_exactly_one_log() -> None:
    items = [report(float(speed), 10.0) for speed in range(0, 48, 2)]
    sends = by_severity(waiting(items))
    assert not isinstance(sends, Hold)
    assert {send.to: len(send.items or ()) for send in sends} == {"severe": 14, "routine": 10}
    assert sorted(item.version for send in sends for item in send.items or ()) == sorted(i.version for i in items)


def test_a_log_grows_by_a_file_for_each_batch_and_a_repeated_run_adds_nothing(context: Mock, lake: Lake) -> None:
    storms = [report(30.0, 10.0), report(None, 0.5, "2013-01-01T11:00Z")]
    for _ in range(2):
        severe(context=context, batch=Batch.of(storms, id="b1"), lake=lake)
    routine(context=context, batch=Batch.of([report(5.0, 10.0)], id="b2"), lake=lake)
    (file,) = lake.list("weather/severe")
    assert file.path == "weather/severe/b1.parquet"
    rows = lake.read(file.path)
    assert rows is not None
    assert rows.select("time_hour", "wind_speed", "visib").rows() == [
        (TEN, 30.0, 10.0),
        (TEN.replace(hour=11), None, 0.5),
    ]
    assert [file.path for file in lake.list("weather/routine")] == ["weather/routine/b2.parquet"]


def test_a_replay_takes_the_place_of_what_it_repeats(context: Mock, lake: Lake) -> None:
    storms = [report(30.0, 10.0), report(None, 0.5, "2013-01-01T11:00Z")]
    severe(context=context, batch=Batch.of(storms, id="b1"), lake=lake)
    severe(context=context, batch=Batch(id="b2", attempt=1, replaces=("b1",), items=tuple(storms)), lake=lake)
    (file,) = lake.list("weather/severe")
    assert file.path == "weather/severe/b2.parquet"


def test_a_replay_of_what_is_gone_removes_it(context: Mock, lake: Lake) -> None:
    severe(context=context, batch=Batch.of([report(30.0, 10.0)], id="b1"), lake=lake)
    severe(context=context, batch=Batch(id="b2", attempt=1, replaces=("b1",), items=()), lake=lake)
    assert lake.list("weather/severe") == []
