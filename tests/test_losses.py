"""The benchmark of lost versions counts right: small workloads whose outcome is known."""

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import polars as pl
import pytest
from sensor_assets import Batch, Lake
from tenancy.local.postgres import Postgres

from bench.losses import play_ours, play_plain, server
from bench.plain_sensors import PLAIN_SENSORS, LastKeyOfPage, LookBack, PlainSensor, SinceLastModified
from bench.workload import Version, Workload, ends, visible

SMALL = Workload(objects=300, hours=0.3, longest=600, multipart=0.05, overwritten=0.1)


@pytest.fixture(scope="module")
def running() -> Iterator[tuple[Postgres, Path]]:
    with server() as started:
        yield started


def test_a_version_counts_that_can_be_seen_during_the_whole_of_a_poll() -> None:
    moments = {"before": (0, 5), "over a poll": (5, 40), "until within a poll": (5, 31), "from within a poll": (31, 59)}
    versions = [Version(key, "", 0, begins, until) for key, (begins, until) in moments.items()]
    assert visible(versions, polls=[30, 60], lasting=2) == {("over a poll", "")}


def test_a_seed_makes_the_same_workload_again() -> None:
    assert SMALL.versions() == SMALL.versions()
    assert ends(SMALL.versions()) > SMALL.hours * 3600


@pytest.mark.parametrize("kind", PLAIN_SENSORS, ids=lambda kind: kind.__name__)
def test_boto3_over_the_wire_finds_what_its_answers_alone_do(kind: type[PlainSensor]) -> None:
    assert play_plain(SMALL, kind, wire=True) == play_plain(SMALL, kind)


def test_sensors_without_a_ledger_lose_what_they_are_known_to_lose() -> None:
    assert play_plain(SMALL, LastKeyOfPage).lost > 200
    without_uploads = Workload(objects=300, hours=0.3, multipart=0, overwritten=0.1)
    assert play_plain(without_uploads, LookBack).lost == 0
    assert play_plain(SMALL, SinceLastModified).lost > play_plain(SMALL, LookBack).lost == 0


def test_a_sensor_asset_loses_and_doubles_nothing_under_faults(running: tuple[Postgres, Path]) -> None:
    postgres, home = running
    outcome = play_ours(SMALL, postgres=postgres, home=home, faults=True)
    assert sum(outcome.faults.values()) > 10
    assert (outcome.lost, outcome.doubled) == (0, 0)
    assert outcome.versions > 300


def test_a_sink_that_does_not_write_to_the_path_that_it_is_told_is_seen_to_double(
    running: tuple[Postgres, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def append(self: Lake, directory: str, batch: Batch, frame: pl.DataFrame) -> str:
        return self.write(f"{directory}/{uuid4()}.parquet", frame)

    monkeypatch.setattr(Lake, "append", append)
    postgres, home = running
    workload = Workload(naming="uuid", objects=300, hours=0.3, longest=600)
    assert play_ours(workload, postgres=postgres, home=home, faults=True).doubled > 0
