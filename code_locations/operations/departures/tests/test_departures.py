"""Departures of a day from its flight files, good and bad."""

from collections.abc import Callable
from pathlib import Path
from unittest.mock import Mock

import dagster as dg
import polars as pl
import pytest
from operations_departures.definitions import defs
from operations_departures.defs.departures import departures, flight_files
from operations_departures.flight_file import SCHEMA
from operations_departures.settings import settings
from polars.testing import assert_frame_equal
from sensor_assets import Batch, Lake, ScanContext
from sensor_assets.testing import Crash, Location, MemoryStore

DAY = "2013-01-01"
HEADER = ",".join(SCHEMA)
EWR = "2013,1,1,517,515,2,830,819,11,UA,1545,N14228,EWR,IAH,227,1400,5,15,2013-01-01T10:00:00Z"
LGA = "2013,1,1,533,529,4,850,830,20,UA,1714,N24211,LGA,IAH,227,1416,5,29,2013-01-01T10:00:00Z"
JFK = "2013,1,1,NA,540,NA,NA,850,NA,AA,1141,NA,JFK,MIA,NA,1089,5,40,2013-01-01T10:00:00Z"


def csv(*rows: str) -> bytes:
    return "".join(f"{row}\n" for row in (HEADER, *rows)).encode()


def written(lake: Lake, day: str = DAY) -> pl.DataFrame:
    frame = lake.read(f"operations/departures/{day}.parquet")
    assert frame is not None
    return frame


def checks(result: dg.MaterializeResult) -> dict[str | None, bool]:
    return {check.check_name: check.passed for check in result.check_results}


def test_a_day_is_made_of_all_its_files(context: Mock, lake: Lake) -> None:
    batch = Batch.of({"2013-01-01-am.csv": csv(EWR, LGA), "2013-01-01-pm.csv": csv(JFK)}, partition=DAY)
    result = departures(context=context, batch=batch, lake=lake)
    flights = written(lake)
    assert flights.schema == SCHEMA
    assert flights.height == 3
    assert flights.filter(origin="JFK")["dep_time"].to_list() == [None]
    assert checks(result) == {"schema": True, "completeness": True}
    metadata = {"dagster/partition_row_count": 3, "files": 2}
    context.add_asset_metadata.assert_called_once_with(metadata, partition_key=DAY)


def test_a_row_that_came_twice_is_there_once_as_it_came_last(context: Mock, lake: Lake) -> None:
    corrected = EWR.replace("517,515,2", "524,515,9")
    batch = Batch.of({"2013-01-01.csv": csv(EWR, LGA, JFK), "2013-01-01-resend.csv": csv(corrected)}, partition=DAY)
    departures(context=context, batch=batch, lake=lake)
    assert written(lake).height == 3
    assert written(lake).filter(origin="EWR")["dep_delay"].to_list() == [9]


def test_the_same_files_give_the_same_table_again(context: Mock, lake: Lake) -> None:
    files = {"2013-01-01.csv": csv(EWR, LGA, JFK)}
    departures(context=context, batch=Batch.of(files, partition=DAY), lake=lake)
    before = written(lake)
    departures(context=context, batch=Batch.of(files, partition=DAY), lake=lake)
    assert_frame_equal(written(lake), before)


def test_a_missing_airport_is_a_warning(context: Mock, lake: Lake) -> None:
    result = departures(context=context, batch=Batch.of({"2013-01-01.csv": csv(EWR, JFK)}, partition=DAY), lake=lake)
    (completeness,) = (check for check in result.check_results if check.check_name == "completeness")
    assert not completeness.passed
    assert completeness.severity == dg.AssetCheckSeverity.WARN
    assert completeness.metadata[DAY].value == "no flights of LGA"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        pytest.param(b"", "the file has 0 bytes", id="0 bytes"),
        pytest.param(csv(), "the file has a header but no rows", id="empty"),
        pytest.param(
            b"airline,number\nUA,1545\n", "other columns than a flight file has: missing year, ", id="columns"
        ),
        pytest.param(csv(EWR, LGA)[:-60], "truncated: the last line has 9 of 19 columns", id="truncated"),
        pytest.param(csv(EWR, LGA)[:-4], "conversion from `str` to `datetime[μs, UTC]` failed", id="truncated time"),
        pytest.param(csv(EWR + ",1", LGA), "line 2 has 20 of 19 columns", id="a field too many"),
        pytest.param(csv(EWR).replace(b"UA", "Ü".encode("latin-1")), "not UTF-8: byte 0xdc at 1", id="Latin-1"),
        pytest.param(csv(EWR.replace("1400", "far")), "conversion from `str` to `i64` failed in column", id="types"),
        pytest.param(csv(EWR.replace("UA", "NA")), "NA where a value is needed: carrier", id="no key"),
        pytest.param(csv(EWR.replace("2013,1,1", "2013,1,2")), "but rows are of 2013-01-02", id="another day"),
        pytest.param(csv(EWR.replace("2013,1,1", "2013,13,1")), "Invalid date components (2013, 13, 1)", id="no date"),
    ],
)
def test_a_bad_file_is_rejected_with_one_reason_and_the_others_go_on(
    context: Mock, lake: Lake, content: bytes, reason: str
) -> None:
    files = {"2013-01-01-bad.csv": content, "2013-01-01.csv": csv(EWR, LGA, JFK)}
    batch = Batch.of(files, partition=DAY)
    result = departures(context=context, batch=batch, lake=lake)
    ((item, given),) = batch.rejections
    assert item.key == "2013-01-01-bad.csv"
    assert reason in given
    assert "\n" not in given
    assert written(lake).height == 3
    assert checks(result) == {"schema": False, "completeness": True}


def test_a_day_whose_only_file_is_bad_keeps_what_it_had(context: Mock, lake: Lake) -> None:
    departures(context=context, batch=Batch.of({"2013-01-01.csv": csv(EWR, LGA, JFK)}, partition=DAY), lake=lake)
    result = departures(context=context, batch=Batch.of({"2013-01-01.csv": b""}, partition=DAY), lake=lake)
    assert written(lake).height == 3
    assert checks(result) == {"schema": False, "completeness": False}


def test_a_key_without_a_date_is_seen_and_told_apart(tmp_path: Path) -> None:
    for name in ("2013-01-01-EWR.csv", "2013-02-30.csv", "notes.csv", "2013-01-01.csv.tmp"):
        (tmp_path / "flights").mkdir(exist_ok=True)
        (tmp_path / "flights" / name).write_bytes(csv(EWR))
    landing = settings.model_copy(update={"landing_url": f"file://{tmp_path}"})
    scan = flight_files.open(landing).scan(ScanContext(position=None, known=lambda _: {}, settings=landing))
    items = {item.key: item for page in scan for item in page.items}
    assert {key: item.partition for key, item in items.items()} == {
        "2013-01-01-EWR.csv": DAY,
        "2013-02-30.csv": None,
        "notes.csv": None,
    }
    assert "key 'notes.csv' does not match '{date:%Y-%m-%d}*.csv'" in items["notes.csv"].metadata.values()


@pytest.mark.parametrize("crash", Crash.of_a_run(), ids=str)
def test_whatever_is_killed_a_day_is_as_its_newest_files_say(
    make_location: Callable[..., Location], lake: Lake, crash: Crash
) -> None:
    landing = MemoryStore()
    landing.put("2013-01-01.csv", csv(EWR, LGA))
    location = make_location(defs(), store=landing, resources={"lake": lake})
    location.work(crash=crash)
    landing.put("2013-01-01-late.csv", csv(JFK))
    location.settle()
    assert written(lake).height == 3
    assert location.work() == []
