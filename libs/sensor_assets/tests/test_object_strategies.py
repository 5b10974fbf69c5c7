"""What a scan of objects looks at: the window, the end, everything; and what changes that."""

from datetime import timedelta
from typing import Any

import pytest
from sensor_assets import DefinitionError, ItemChanged, ObjectEvents, ObjectSource
from sensor_assets._listing.scan import KeyRange, Plan, Position
from sensor_assets._sources.object_plan import plan
from sensor_assets.ledger import PostgresLedger

from .location import settings
from .object_stores import Place, lists, placed, scanner
from .scanning import NOW, Scanner

DAILY = "{date:%Y-%m-%d}*.csv"


@pytest.fixture
def place(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Place:
    return placed("memory", request, monkeypatch)


@pytest.fixture(autouse=True)
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages of three keys, so that a few objects make many of them."""
    monkeypatch.setattr("sensor_assets._listing.sorted_stores.SortedStoreLister.page_keys", 3)


def day(back: int) -> str:
    return f"{NOW.date() - timedelta(days=back)}"


def fill(place: Place, days: int = 20) -> None:
    for back in range(days):
        place.put(f"{day(back)}.csv")


def source(**given: Any) -> ObjectSource:
    return ObjectSource("objects", url="memory:///landing", **given)


# --- what is chosen


@pytest.mark.parametrize(
    ("given", "chosen"),
    [
        ({}, "full"),
        ({"key": DAILY}, "window"),
        ({"key": DAILY, "strategy": "full"}, "full"),
        ({"key": "*/{date:%Y}.csv"}, "full"),
        ({"strategy": "append_only"}, "append_only"),
    ],
)
def test_the_key_decides_what_is_looked_at_unless_told(given: dict[str, Any], chosen: str) -> None:
    assert source(**given).describe(settings())["strategy"] == chosen


def test_a_window_goes_from_the_oldest_open_date_to_the_end() -> None:
    looked = plan(source(key=DAILY, open_for=timedelta(days=2), sweep=7), NOW)
    assert looked == Plan(window=[KeyRange("2012-12-30", None)], sweep=7)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"strategy": "window"}, "strategy 'window' needs a key template that begins with a date"),
        ({"strategy": "window", "key": "*.csv"}, "strategy 'window' needs a key template"),
        ({"strategy": "sometimes"}, r"strategy is one of \('full', 'window', 'append_only'\), not 'sometimes'"),
        ({"sweep": 0}, "sweep is at least 1"),
        ({"open_for": timedelta()}, "open_for must be longer than nothing"),
    ],
)
def test_what_cannot_work_is_refused_when_it_is_declared(given: dict[str, Any], message: str) -> None:
    with pytest.raises(DefinitionError, match=f"source 'objects': {message}"):
        source(**given)


# --- what is seen


def test_the_newest_files_are_recorded_first_and_their_history_after_them(place: Place, ledger: PostgresLedger) -> None:
    fill(place)
    followed = scanner(ledger, place, key=DAILY, open_for=timedelta(days=3))
    assert followed.scan() == 20
    arrived = [item.key for item in followed.items()]
    assert arrived[:4] == [f"{day(back)}.csv" for back in (3, 2, 1, 0)]
    assert arrived[4:] == sorted(arrived[4:])


def test_an_object_named_like_the_oldest_open_date_is_in_the_window(place: Place, ledger: PostgresLedger) -> None:
    for back in range(20):
        place.put(day(back))
    followed = scanner(ledger, place, key="{date:%Y-%m-%d}", open_for=timedelta(days=3))
    assert followed.scan() == 20
    assert [item.key for item in followed.items()][:4] == [day(back) for back in (3, 2, 1, 0)]


def test_a_late_file_of_a_closed_day_is_found_by_the_sweep(place: Place, ledger: PostgresLedger) -> None:
    fill(place)
    followed = scanner(ledger, place, key=DAILY, open_for=timedelta(days=1), sweep=1)
    followed.scan()
    followed.scan()
    place.put(f"{day(15)}-late.csv")
    found = [followed.scan() for _ in range(8)]
    assert sum(found) == 1
    assert followed.scan() == 0


def test_days_that_do_not_sort_are_looked_at_one_by_one(place: Place, ledger: PostgresLedger) -> None:
    template = "{date:%d-%m-%Y}.csv"
    for back in range(60):
        place.put((NOW - timedelta(days=back)).strftime("%d-%m-%Y") + ".csv")
    followed = scanner(ledger, place, key=template, open_for=timedelta(days=2), sweep=1)
    assert followed.scan() == 60
    for back in (0, 2, -1):
        place.put((NOW - timedelta(days=back)).strftime("%d-%m-%Y") + ".csv", b"new")
        assert followed.scan() == 1


def test_what_is_appended_is_seen_at_once_and_what_comes_before_it_by_the_sweep(
    place: Place, ledger: PostgresLedger
) -> None:
    for number in range(12):
        place.put(f"log-{number:04}")
    followed = scanner(ledger, place, strategy="append_only", sweep=1)
    assert followed.scan() == 12
    place.put("log-0012")
    assert followed.scan() == 1
    place.put("log-0003.5")
    assert sum(followed.scan() for _ in range(6)) == 1


def test_a_scan_that_dies_before_it_records_has_seen_nothing(place: Place, ledger: PostgresLedger) -> None:
    fill(place)
    followed = scanner(ledger, place)
    state = ledger.sources(["objects"])["objects"]
    scan = ledger.begin_scan(state)
    assert scan.source.position is None
    assert followed.scan() == 20
    assert followed.scan() == 0


# --- what makes it look again


def test_what_was_ignored_is_seen_once_it_is_not_ignored_any_more(place: Place, ledger: PostgresLedger) -> None:
    fill(place)
    place.put(f"{day(15)}.tmp")
    strict = scanner(ledger, place, key="{date:%Y-%m-%d}.*", ignore=["*.tmp"], sweep=1)
    assert strict.scan() == 20
    assert strict.scan() == 0
    assert scanner(ledger, place, key="{date:%Y-%m-%d}.*", sweep=1).scan() == 1


def test_a_position_that_is_none_is_a_first_scan() -> None:
    assert Position.load(None, "a") == Position(of="a")
    assert Position.load({"horizon": 7}, "a") == Position(of="a")
    assert Position.load({**Position(of="b", swept=True, missed=3).dump()}, "a") == Position(of="a", missed=3)


def test_a_position_keeps_keys_that_json_in_postgres_cannot() -> None:
    position = Position(of="a", swept=True, turn="sweep", window="a\0b", sweep="\udcff/é \U0001f600%41")
    assert Position.load(position.dump(), "a") == position


def test_an_old_file_that_a_run_finds_overwritten_is_looked_at_by_the_next_scan(
    place: Place, ledger: PostgresLedger
) -> None:
    fill(place, days=60)
    followed = scanner(ledger, place, key=DAILY, open_for=timedelta(days=1), sweep=1)
    followed.scan()
    old = followed.item(f"{day(30)}.csv")
    place.put(old.key, b"corrected")
    with pytest.raises(ItemChanged):
        followed.client.read(old)
    ledger.doubt("objects", old.key)
    assert followed.scan() == 1
    assert ledger.pages(ledger.sources(["objects"])["objects"].id).doubtful() == []


def test_a_file_that_was_gone_and_returned_as_it_was_is_new(place: Place, ledger: PostgresLedger) -> None:
    fill(place)
    followed = scanner(ledger, place, key=DAILY, open_for=timedelta(days=1), sweep=1)
    followed.scan()
    item = followed.item(f"{day(9)}.csv")
    ledger.finish("consumer", None, "run", rejected=[], gone=[item], now=NOW)
    assert followed.scan() == 1


def test_a_whole_listing_needs_no_window(request: pytest.FixtureRequest, ledger: PostgresLedger, tmp_path: Any) -> None:
    with pytest.MonkeyPatch.context() as monkeypatch:
        place = placed("directory", request, monkeypatch)
        fill(place)
        followed = scanner(ledger, place, key=DAILY, open_for=timedelta(days=1), sweep=1)
        assert followed.scan() == 20
        place.put(f"{day(15)}-late.csv")
        assert lists(followed) == (1, 1)


def test_objects_with_equal_times_are_told_apart(place: Place, ledger: PostgresLedger) -> None:
    followed = scanner(ledger, place)
    for number in range(7):
        place.put(f"{number}", b"same")
    assert followed.scan() == 7


def test_a_scan_stops_between_pages_and_the_next_goes_on(
    place: Place, ledger: PostgresLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sensor_assets._sources.object_pages.MOST_ITEMS", 4)
    fill(place)
    followed = scanner(ledger, place, key=DAILY, open_for=timedelta(days=10), sweep=1)
    new = [followed.scan(pages=1) for _ in range(8)]
    assert sum(new) == 20
    assert sum(number > 0 for number in new) >= 3
    assert followed.scan() == 0


def test_a_source_describes_what_it_looks_at(place: Place, ledger: PostgresLedger) -> None:
    followed: Scanner = scanner(ledger, place, key=DAILY)
    assert followed.source.describe(followed.settings) == {
        "url": "memory:///landing",
        "key": DAILY,
        "strategy": "window",
    }


def test_versions_and_events_are_for_s3(monkeypatch: pytest.MonkeyPatch, ledger: PostgresLedger, place: Place) -> None:
    with pytest.raises(DefinitionError, match="versions=True is for S3, not for memory:///landing"):
        scanner(ledger, place, versions=True)
    with pytest.raises(DefinitionError, match="versions=True is for S3, not for s3://bucket--use1-az4--x-s3/landing"):
        scanner(ledger, "s3://bucket--use1-az4--x-s3/landing", versions=True)
    with pytest.raises(DefinitionError, match="events are for S3, not for memory:///landing"):
        scanner(ledger, place, events=ObjectEvents(queue="queue"))
    monkeypatch.setattr("sensor_assets._sources.sqs.find_spec", lambda _: None)
    with pytest.raises(DefinitionError, match=r"SQS needs boto3: install sensor-assets\[sqs\]"):
        scanner(ledger, "s3://bucket/landing", events=ObjectEvents(queue="queue"))
