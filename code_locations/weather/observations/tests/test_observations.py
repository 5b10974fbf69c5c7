"""Observations of a day from its document, good and bad."""

from unittest.mock import Mock

import dagster as dg
import pytest
from sensor_assets import Batch, Lake
from weather_observations.defs.observations import observations
from weather_observations.document import SCHEMA

DAY = "2013-01-01"
HEADER = ",".join(SCHEMA)
ROW = "EWR,2013,1,1,1,39.02,26.06,59.37,270,10.357,NA,0,1012,10,2013-01-01T06:00:00Z"
DAY_OF_ROWS = [ROW.replace(",1,39.02", f",{hour},39.02") for hour in range(24)]


def document(*rows: str) -> bytes:
    return "".join(f"{row}\n" for row in (HEADER, *rows)).encode()


def run(context: Mock, lake: Lake, content: bytes) -> tuple[Batch, dict[str | None, dg.AssetCheckResult]]:
    batch = Batch.of({f"{DAY}.csv": content}, partition=DAY)
    result = observations(context=context, batch=batch, lake=lake)
    return batch, {check.check_name: check for check in result.check_results}


def test_a_day_is_what_its_document_says(context: Mock, lake: Lake) -> None:
    _, checks = run(context, lake, document(*DAY_OF_ROWS))
    written = lake.read(f"weather/observations/{DAY}.parquet")
    assert written is not None
    assert written.schema == SCHEMA
    assert written.height == 24
    assert written["wind_gust"].null_count() == 24
    assert checks["schema"].passed
    assert checks["completeness"].passed


def test_a_day_that_is_not_over_is_a_warning(context: Mock, lake: Lake) -> None:
    _, checks = run(context, lake, document(ROW))
    assert not checks["completeness"].passed
    assert checks["completeness"].severity == dg.AssetCheckSeverity.WARN
    assert checks["completeness"].metadata[DAY].value == "1 observations so far"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        pytest.param(b"", "empty CSV", id="0 bytes"),
        pytest.param(document(), "no rows", id="empty"),
        pytest.param(b"station,wind\nEWR,3\n", "origin", id="columns"),
        pytest.param(document(ROW, ROW)[:-50], "cut off or of another day", id="truncated"),
        pytest.param(document(ROW).replace(b"EWR", "É".encode("latin-1")), "utf-8", id="Latin-1"),
        pytest.param(document(ROW.replace("10.357", "strong")), "conversion from `str` to `f64`", id="types"),
        pytest.param(document(ROW.replace("2013,1,1", "2013,1,2")), "cut off or of another day", id="another day"),
    ],
)
def test_a_bad_document_is_rejected_with_one_reason_and_the_day_stays(
    context: Mock, lake: Lake, content: bytes, reason: str
) -> None:
    run(context, lake, document(ROW))
    batch, checks = run(context, lake, content)
    ((item, given),) = batch.rejections
    assert item.key == f"{DAY}.csv"
    assert reason in given
    assert "\n" not in given
    assert not checks["schema"].passed
    written = lake.read(f"weather/observations/{DAY}.parquet")
    assert written is not None
    assert written.height == 1
