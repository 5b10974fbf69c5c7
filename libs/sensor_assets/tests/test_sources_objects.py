"""One contract for every object store: in memory, a directory, and S3 over the wire in its ways."""

import os
import socket
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
from sensor_assets import ItemChanged, ItemGone, SourceError
from sensor_assets._batching import Batching
from sensor_assets._decide import Policy, decide
from sensor_assets._partitions import NoPartitions
from sensor_assets._state import Arrival, ConsumerState, Decision
from sensor_assets.ledger import PostgresLedger

from .object_stores import KINDS, Place, free_port, placed, s3_environment, scanner
from .scanning import BUDGET_SECONDS, NOW, error_within


@pytest.fixture(params=KINDS)
def place(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Place:
    return placed(request.param, request, monkeypatch)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "s3 through obstore"])  # which takes long
def test_every_key_is_seen_at_the_boundaries_of_a_page(
    kind: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, ledger: PostgresLedger
) -> None:
    place = placed(kind, request, monkeypatch)
    source = scanner(ledger, place)
    for index in range(999):
        place.put(f"{index:04}")
    assert source.scan() == 999
    for index in (999, 1000):
        place.put(f"{index:04}")
        assert source.scan() == 1
        assert source.scan() == 0
    assert source.keys() == [f"{index:04}" for index in range(1001)]
    place.delete("0998")
    place.put("0998x")
    place.put("0999", b"other")
    assert source.scan() == 2


def test_a_key_is_read_as_it_was_listed_whatever_characters_it_has(place: Place, ledger: PostgresLedger) -> None:
    keys = [
        "a b.csv",
        "größe/ñandú.csv",
        "50% (1).csv",
        "a+b=c&d.csv",
        "日本.csv",
        "deep/er/still.csv",
        "plus+.csv",
        "'single' \"double\" `back`.csv",
        "#fragment?query;[brackets]{braces}~tilde*star|pipe\\backslash^hat<less>.csv",
        "/".join(["x" * 200] * 5)[: 1024 - len("landing/")],
    ]
    for key in keys:
        place.put(key, key.encode())
    source = scanner(ledger, place)
    source.scan()
    assert source.keys() == sorted(keys)
    assert {item.key: source.client.read(item).decode() for item in source.items()} == {key: key for key in keys}


def test_a_source_that_was_closed_opens_again(place: Place, ledger: PostgresLedger) -> None:
    place.put("a", b"first")
    source = scanner(ledger, place)
    assert source.scan() == 1
    source.close()
    source.close()
    place.put("b", b"second")
    assert source.scan() == 1
    assert source.client.read(source.item("b")) == b"second"


def test_a_scan_tells_how_often_it_asked(place: Place, ledger: PostgresLedger) -> None:
    place.put("a")
    source = scanner(ledger, place)
    _, context = source.begin()
    list(source.client.scan(context))
    assert context.calls == {"list": 1}


def test_an_empty_place_shows_nothing(place: Place, ledger: PostgresLedger) -> None:
    place.put("x", b"")
    place.delete("x")
    assert scanner(ledger, place).scan() == 0


def test_a_prefix_that_vanishes_and_returns_shows_what_is_new(place: Place, ledger: PostgresLedger) -> None:
    source = scanner(ledger, place)
    for key in ("a", "b", "c"):
        place.put(key, b"first")
    assert source.scan() == 3
    for key in ("a", "b", "c"):
        place.delete(key)
    assert source.scan() == 0
    for key in ("b", "d"):
        place.put(key, b"second")
    assert source.scan() == 2
    assert source.keys() == ["a", "b", "c", "d"]


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "memory"])
def test_a_neighbour_whose_name_begins_alike_is_not_seen(
    kind: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, ledger: PostgresLedger
) -> None:
    place = placed(kind, request, monkeypatch)
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
    if place.is_s3:
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


def test_the_clocks_of_producers_do_not_matter(tmp_path: Path, ledger: PostgresLedger) -> None:
    landing = tmp_path / "landing"
    landing.mkdir()
    source = scanner(ledger, f"file://{landing}")
    for key, year in (("now", 2013), ("past", 1971), ("future", 2100), ("again", 2013), ("older", 1970)):
        (landing / key).write_bytes(b"same")
        moment = datetime(year, 1, 2, tzinfo=UTC).timestamp()
        os.utime(landing / key, (moment, moment))
        assert source.scan() == 1
    os.utime(landing / "now", (0, 0))
    assert source.scan() == 1  # whether its bytes are others nobody can say
    assert source.scan() == 0


def test_a_directory_that_vanishes_is_told_and_what_returns_is_compared(tmp_path: Path, ledger: PostgresLedger) -> None:
    landing, away = tmp_path / "landing", tmp_path / "away"
    landing.mkdir()
    (landing / "a").write_bytes(b"1")
    source = scanner(ledger, f"file://{landing}")
    assert source.scan() == 1
    landing.rename(away)
    with pytest.raises(SourceError, match="there is no such directory"):
        source.scan()
    away.rename(landing)
    (landing / "b").write_bytes(b"2")
    assert source.scan() == 1


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
    s3_environment(monkeypatch, f"http://127.0.0.1:{free_port()}")
    error = error_within(BUDGET_SECONDS, scanner(ledger, "s3://bucket/landing"))
    assert isinstance(error, SourceError)
    assert "cannot read s3://bucket/landing" in str(error)


def test_a_store_that_never_answers_fails_before_the_evaluation_has_used_up_its_time(
    monkeypatch: pytest.MonkeyPatch, ledger: PostgresLedger
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        s3_environment(monkeypatch, f"http://127.0.0.1:{silent.getsockname()[1]}")
        error = error_within(BUDGET_SECONDS, scanner(ledger, "s3://bucket/landing"))
    assert isinstance(error, SourceError)
