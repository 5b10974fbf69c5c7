"""How many LIST calls a scan costs, which is what a bucket's owner pays for."""

import os
from datetime import timedelta
from pathlib import Path
from random import Random

import pytest
from sensor_assets._listing.scan import Plan
from sensor_assets.ledger import PostgresLedger

from .listing_model import World
from .object_stores import Place, lists, placed, scanner
from .scanning import NOW

DAYS = 4
PER_DAY = 1000
NEWEST = NOW.date() - timedelta(days=1)


def key(day: int, number: int) -> str:
    """Return a key of a day, counted back from the newest."""
    return f"{NEWEST - timedelta(days=day)}/{number:04}.csv"


@pytest.fixture(params=["memory", "versitygw"])
def place(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Place:
    """Five days of a thousand objects each."""
    place = placed(request.param, request, monkeypatch)
    keys = [key(day, number) for day in range(DAYS) for number in range(PER_DAY)]
    if request.param == "memory":
        for each in keys:
            place.put(each)
        return place
    home: Path = request.getfixturevalue("versitygw_home")
    for each in keys:
        file = home / "data" / "bucket" / "landing" / each
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
        os.setxattr(file, "user.etag", b"d41d8cd98f00b204e9800998ecf8427e")
    return place


TEMPLATE = "{date:%Y-%m-%d}/*.csv"


def test_a_complete_scan_asks_once_for_every_thousand_keys_whatever_changed(
    place: Place, ledger: PostgresLedger
) -> None:
    source = scanner(ledger, place, strategy="full")
    first = lists(source)
    assert first[1] == DAYS * PER_DAY
    assert first[0] <= DAYS + 1
    idle = DAYS
    assert lists(source) == (idle, 0)
    place.put(key(2, 500), b"overwritten")
    assert lists(source) == (idle, 1)
    place.delete(key(2, 501))
    assert lists(source)[1] == 0
    assert lists(source) == (idle, 0)
    place.put(f"{key(2, 700)}.corrected.csv")
    asked, new = lists(source)
    assert new == 1
    assert asked <= idle + 2
    assert lists(source) == (idle, 0)
    place.delete(key(0, PER_DAY - 1))
    assert lists(source)[1] == 0
    place.put(key(0, PER_DAY - 1), b"returned")
    assert lists(source)[1] == 1


def test_a_scan_of_dated_keys_asks_for_the_open_days_and_a_slice_of_the_others(
    place: Place, ledger: PostgresLedger
) -> None:
    source = scanner(ledger, place, key=TEMPLATE, open_for=timedelta(days=1), sweep=1)
    assert lists(source)[1] == DAYS * PER_DAY
    for _ in range(DAYS + 1):
        asked, new = lists(source)
        assert new == 0
        assert asked <= 3
    place.put(f"{NEWEST}/new.csv")
    assert source.scan() == 1
    place.put(f"{key(3, 17)}.late.csv")
    assert sum(source.scan() for _ in range(DAYS + 1)) == 1


def test_what_is_appended_is_seen_by_one_question_about_the_end(place: Place, ledger: PostgresLedger) -> None:
    source = scanner(ledger, place, strategy="append_only", sweep=1)
    source.scan()
    for number in range(3):
        place.put(f"later/{number}")
        asked, new = lists(source)
        assert new == 1
        assert asked <= 3


def test_the_first_sight_of_many_objects_goes_on_where_it_was_stopped(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, ledger: PostgresLedger
) -> None:
    place = placed("memory", request, monkeypatch)
    for number in range(14_000):
        place.put(f"{number:05}")
    source = scanner(ledger, place)
    assert lists(source, pages=1) == (10, 10_000)
    assert lists(source) == (4, 4_000)
    assert lists(source) == (14, 0)


def test_fifty_thousand_keys_cost_fifty_questions() -> None:
    world = World(Random(0))
    world.store.keeps_versions = False
    world.lister.page_keys, world.lister.tells_the_end = 1000, True
    for number in range(50_000):
        world.store.put(f"{number:05}")

    def asked() -> int:
        calls = world.lister.calls
        world.scan(Plan())
        return world.lister.calls - calls

    assert asked() == 50
    assert asked() == 50
    world.store.put("20000")
    assert asked() == 50
    world.store.put("20000.1")
    assert asked() == 51
    assert asked() == 51  # of two halves now
    world.store.delete("10000")
    assert asked() == 51
    world.store.delete("30999")  # the last of its page
    assert asked() == 51
    world.store.put("30999.1")
    assert asked() == 52  # which is in the next page, that is halved as well
    assert asked() == 52
    world.must_know()
    world.must_be_mapped()
