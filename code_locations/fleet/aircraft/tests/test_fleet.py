"""Aircraft from changed rows, airports from the newest file."""

from typing import Any
from unittest.mock import Mock

import polars as pl
import pytest
from fleet_aircraft.defs.aircraft import aircraft
from fleet_aircraft.defs.airports import airports
from sensor_assets import Batch, Lake

HEADER = "faa,name,lat,lon,alt,tz,dst,tzone"
ROW = '04G,"Lansdowne, Ohio",41.1304722,-80.6195833,1044,-5,A,America/New_York'


def plane(tailnum: str, seats: int, changed: int) -> dict[str, Any]:
    return {"tailnum": tailnum, "year": None, "type": "Rotorcraft", "seats": seats, "changed": changed}


def table(lake: Lake, name: str) -> pl.DataFrame:
    frame = lake.read(f"fleet/{name}.parquet")
    assert frame is not None
    return frame


def file(*rows: str) -> bytes:
    return "".join(f"{row}\n" for row in (HEADER, *rows)).encode()


def test_changed_planes_replace_those_of_the_same_tail_number(context: Mock, lake: Lake) -> None:
    for rows in ([plane("N1", 2, 10), plane("N2", 4, 10)], [plane("N2", 5, 11), plane("N3", 6, 11)]):
        for _ in range(2):  # a run that is repeated changes nothing
            result = aircraft(context=context, batch=Batch.of(rows), lake=lake)
            assert result.check_results[0].passed
    assert table(lake, "aircraft").select("tailnum", "seats").rows() == [("N1", 2), ("N2", 5), ("N3", 6)]


def test_rows_that_all_changed_again_leave_the_table_as_it_was(context: Mock, lake: Lake) -> None:
    aircraft(context=context, batch=Batch.of([plane("N1", 2, 10)]), lake=lake)
    empty: list[dict[str, Any]] = []
    aircraft(context=context, batch=Batch.of(empty), lake=lake)
    assert table(lake, "aircraft").height == 1


def test_a_new_airports_file_replaces_the_table(context: Mock, lake: Lake) -> None:
    for content in (file(ROW, ROW), file(ROW)):
        result = airports(context=context, batch=Batch.of({"airports.csv": content}), lake=lake)
        assert result.check_results[0].passed
    assert table(lake, "airports").row(0)[:5] == ("04G", "Lansdowne, Ohio", 41.1304722, -80.6195833, 1044)
    assert table(lake, "airports").height == 1


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        pytest.param(b"", "empty CSV", id="0 bytes"),
        pytest.param(file(), "no airports", id="empty"),
        pytest.param(b"code,city\n04G,Lansdowne\n", "faa", id="columns"),
        pytest.param(file(ROW, "06A,Moton")[:-1], "cut off", id="truncated"),
        pytest.param(file(ROW.replace("1044", "high")), "conversion from `str` to `i64`", id="types"),
        pytest.param(file(ROW.replace("Ohio", "É")).decode().encode("latin-1"), "utf-8", id="Latin-1"),
    ],
)
def test_a_bad_airports_file_is_rejected_and_the_table_stays(
    context: Mock, lake: Lake, content: bytes, reason: str
) -> None:
    airports(context=context, batch=Batch.of({"airports.csv": file(ROW)}), lake=lake)
    batch = Batch.of({"airports.csv": content})
    result = airports(context=context, batch=batch, lake=lake)
    ((item, given),) = batch.rejections
    assert item.key == "airports.csv"
    assert reason in given
    assert not result.check_results[0].passed
    assert table(lake, "airports").height == 1


def test_a_run_before_any_file_fails_its_check_and_writes_nothing(context: Mock, lake: Lake) -> None:
    nothing: dict[str, bytes] = {}
    result = airports(context=context, batch=Batch.of(nothing), lake=lake)
    assert not result.check_results[0].passed
    assert lake.list("fleet") == []
