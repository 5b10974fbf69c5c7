"""One contract for every object store: a directory, and S3 over the wire."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import obstore
import pytest
from obstore.store import LocalStore, ObjectStore, S3Store
from sensor_assets import ItemChanged, ItemGone, ObjectSource, SourceError
from sensor_assets._batching import Batching
from sensor_assets._decide import Policy, decide
from sensor_assets._partitions import NoPartitions
from sensor_assets._state import Arrival, ConsumerState, Decision
from sensor_assets.ledger import PostgresLedger

from .scanning import BUDGET_SECONDS, NOW, Scanner, error_within


@dataclass(frozen=True)
class Place:
    """Where objects lie: the URL that a source is told, and a store to put them there."""

    url: str
    store: ObjectStore

    def put(self, key: str, body: bytes) -> None:
        obstore.put(self.store, key, body)

    def delete(self, key: str) -> None:
        obstore.delete(self.store, key)


def free_port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def s3_server() -> Iterator[str]:
    """A server that speaks S3, in a process of its own."""
    url = f"http://127.0.0.1:{(port := free_port())}"
    process = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                httpx.get(url)
                break
            except httpx.TransportError:
                assert process.poll() is None, "moto ended"
                assert time.monotonic() < deadline, "moto does not answer"
                time.sleep(0.1)
        yield url
    finally:
        process.terminate()
        process.wait()


def s3_credentials(monkeypatch: pytest.MonkeyPatch, endpoint: str) -> None:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    monkeypatch.setenv("AWS_ALLOW_HTTP", "true")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "tester")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "tester")
    monkeypatch.setenv("AWS_REGION", "us-east-1")


@pytest.fixture
def s3(s3_server: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The environment of a location that reads S3, and an empty bucket."""
    s3_credentials(monkeypatch, s3_server)
    httpx.post(f"{s3_server}/moto-api/reset").raise_for_status()
    httpx.put(f"{s3_server}/bucket").raise_for_status()
    return s3_server


@pytest.fixture(params=["directory", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    if request.param == "directory":
        directory = tmp_path / "landing"
        directory.mkdir()
        return Place(f"file://{directory}", LocalStore(directory))
    request.getfixturevalue("s3")
    return Place("s3://bucket/landing", S3Store("bucket", prefix="landing"))


def scanner(ledger: PostgresLedger, place: Place | str, **source: Any) -> Scanner:
    url = place if isinstance(place, str) else place.url
    return Scanner(ledger, ObjectSource("objects", url=url, **source))


@pytest.mark.parametrize("number", [999, 1000, 1001])
def test_every_key_is_seen_at_the_boundaries_of_a_page(number: int, place: Place, ledger: PostgresLedger) -> None:
    for index in range(number):
        place.put(f"{index:04}", b"")
    source = scanner(ledger, place)
    assert source.scan() == number
    assert source.keys() == [f"{index:04}" for index in range(number)]
    assert source.scan() == 0


def test_a_key_is_read_as_it_was_listed_whatever_characters_it_has(place: Place, ledger: PostgresLedger) -> None:
    keys = ["a b.csv", "größe/ñandú.csv", "50% (1).csv", "a+b=c&d.csv", "日本.csv", "deep/er/still.csv", "plus+.csv"]
    for key in keys:
        place.put(key, key.encode())
    source = scanner(ledger, place)
    source.scan()
    assert source.keys() == sorted(keys)
    assert {item.key: source.client.read(item).decode() for item in source.items()} == {key: key for key in keys}


def test_an_empty_place_shows_nothing(place: Place, ledger: PostgresLedger) -> None:
    place.put("x", b"")
    place.delete("x")
    assert scanner(ledger, place).scan() == 0


def test_a_neighbour_whose_name_begins_alike_is_not_seen(place: Place, ledger: PostgresLedger) -> None:
    place.put("flights/a.csv", b"")
    place.put("flights-old/b.csv", b"")
    source = scanner(ledger, f"{place.url}/flights")
    source.scan()
    assert source.keys() == ["a.csv"]


def test_an_overwrite_is_a_new_version_unless_the_store_knows_that_the_bytes_are_the_same(
    place: Place, ledger: PostgresLedger
) -> None:
    source = scanner(ledger, place)
    place.put("a", b"first")
    assert source.scan() == 1
    first = source.item("a")
    place.put("a", b"second")
    assert source.scan() == 1
    second = source.item("a")
    assert (second.size, second.version != first.version, second.arrival) == (6, True, 2)
    assert source.client.read(second) == b"second"
    if place.url.startswith("s3:"):
        place.put("a", b"second")
        assert source.scan() == 0


def test_an_object_overwritten_after_it_was_seen_is_never_taken_for_the_version_that_was_seen(
    place: Place, ledger: PostgresLedger
) -> None:
    source = scanner(ledger, place)
    place.put("a", b"first")
    source.scan()
    seen = source.item("a")
    place.put("a", b"other")
    with pytest.raises(ItemChanged, match=r"landing/a was overwritten after it was recorded as version"):
        source.client.read(seen)


def test_an_object_deleted_after_it_was_seen_is_gone(place: Place, ledger: PostgresLedger) -> None:
    source = scanner(ledger, place)
    place.put("a", b"first")
    source.scan()
    place.delete("a")
    with pytest.raises(ItemGone, match=r"landing/a was deleted"):
        source.client.read(source.item("a"))
    assert source.scan() == 0


def test_what_is_to_be_ignored_is_not_recorded(place: Place, ledger: PostgresLedger) -> None:
    for key in ("a.csv", "a.csv.tmp", "sub/b.tmp", "sub/_SUCCESS", "old/c.csv"):
        place.put(key, b"")
    source = scanner(ledger, place, ignore=["*.tmp", "_SUCCESS", "old/*"])
    source.scan()
    assert source.keys() == ["a.csv"]


def test_a_key_that_names_no_day_is_set_aside_with_its_reason(place: Place, ledger: PostgresLedger) -> None:
    for key in ("2013-02-28.csv", "2013-02-29.csv", "readme.txt"):
        place.put(key, b"")
    source = scanner(ledger, place, key="{date:%Y-%m-%d}*.csv")
    source.scan()
    pending = tuple(Arrival(source_id=1, item=item, seen_at=NOW) for item in source.items())
    policy = Policy(name="days", batching=Batching(), max_in_flight=1, partitions=NoPartitions())
    decision = decide(policy, ConsumerState(pending=pending), NOW, lambda: "batch")
    assert isinstance(decision, Decision)
    assert sorted(misfit.reason for misfit in decision.misfits) == [
        "key '2013-02-29.csv' does not match '{date:%Y-%m-%d}*.csv'",
        "key 'readme.txt' does not match '{date:%Y-%m-%d}*.csv'",
    ]
    assert [batch.items for batch in decision.cut] == [1]
    assert source.item("2013-02-28.csv").partition == "2013-02-28"


def test_a_directory_that_does_not_exist_is_named(tmp_path: Path, ledger: PostgresLedger) -> None:
    with pytest.raises(
        SourceError, match=f"source 'objects' cannot read file://{tmp_path}/none: .*Check that it exists"
    ):
        scanner(ledger, f"file://{tmp_path}/none").scan()


@pytest.mark.usefixtures("s3")
def test_a_bucket_that_does_not_exist_is_named(ledger: PostgresLedger) -> None:
    with pytest.raises(SourceError, match=r"(?s)^source 'objects' cannot read s3://nowhere/x: .*NoSuchBucket.*Check"):
        scanner(ledger, "s3://nowhere/x").scan()


def test_a_bucket_that_refuses_is_named(s3: str, monkeypatch: pytest.MonkeyPatch, ledger: PostgresLedger) -> None:
    httpx.post(f"{s3}/moto-api/reset-auth", content=b"0").raise_for_status()
    try:
        with pytest.raises(
            SourceError, match=r"(?s)cannot read s3://bucket/landing: .*InvalidAccessKeyId.*may list and read"
        ):
            scanner(ledger, "s3://bucket/landing").scan()
    finally:
        httpx.post(f"{s3}/moto-api/reset-auth", content=b"inf").raise_for_status()


@pytest.mark.usefixtures("s3")
def test_what_a_store_answers_is_told_in_one_line_of_plain_text(ledger: PostgresLedger) -> None:
    with pytest.raises(SourceError) as error:
        scanner(ledger, "s3://nowhere/x").scan()
    assert "The specified bucket does not exist" in str(error.value)
    assert "<" not in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_directory_that_refuses_is_named(tmp_path: Path, ledger: PostgresLedger) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0)
    with pytest.raises(SourceError, match="this location may list and read it"):
        scanner(ledger, f"file://{closed}").scan()


def test_a_store_that_is_not_there_fails_before_the_evaluation_has_used_up_its_time(
    monkeypatch: pytest.MonkeyPatch, ledger: PostgresLedger
) -> None:
    s3_credentials(monkeypatch, f"http://127.0.0.1:{free_port()}")
    error = error_within(BUDGET_SECONDS, scanner(ledger, "s3://bucket/landing"))
    assert isinstance(error, SourceError)
    assert "cannot read s3://bucket/landing" in str(error)


def test_a_store_that_never_answers_fails_before_the_evaluation_has_used_up_its_time(
    monkeypatch: pytest.MonkeyPatch, ledger: PostgresLedger
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        s3_credentials(monkeypatch, f"http://127.0.0.1:{silent.getsockname()[1]}")
        error = error_within(BUDGET_SECONDS, scanner(ledger, "s3://bucket/landing"))
    assert isinstance(error, SourceError)
