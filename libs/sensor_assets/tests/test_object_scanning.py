"""Object sources in the pool of scans: long listings go on in the next tick, slow stores are no failures."""

from time import sleep
from typing import Any

import obstore
import pytest
from obstore.store import MemoryStore
from sensor_assets import ObjectSource
from sensor_assets._due import Budget
from sensor_assets._listing import walk
from sensor_assets._listing.sorted_stores import SortedStoreLister
from sensor_assets._sources import object_pages, object_places
from sensor_assets._sources.object_client import ObjectClient
from sensor_assets._sources.objects import Strategy
from sensor_assets.ledger import PostgresLedger

from .location import settings
from .test_scanning import ENOUGH, arrivals, begin, run

OBJECTS = 60
A_TICK = Budget(seconds=0.8, patience=0.5)


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> ObjectClient:
    """A store of sixty dated objects that shows three of them at a time, and takes its time for that."""
    store = MemoryStore()
    for number in range(OBJECTS):
        obstore.put(store, f"2013-{number // 28 + 1:02}-{number % 28 + 1:02}.csv", b"x")
    monkeypatch.setattr(object_places, "open_store", lambda _: store)
    monkeypatch.setattr(SortedStoreLister, "page_keys", 3)
    plain = SortedStoreLister.list

    def slowly(self: Any, after: str | None, limit: int) -> Any:
        sleep(0.05)
        return plain(self, after, limit)

    monkeypatch.setattr(SortedStoreLister, "list", slowly)
    for module in (walk, object_pages):
        monkeypatch.setattr(module, "MOST_SECONDS", 0.1)
    return followed()


def followed(strategy: Strategy = "full") -> ObjectClient:
    source = ObjectSource("objects", url="memory:///landing", key="{date:%Y-%m-%d}.csv", strategy=strategy)
    return source.open(settings())


@pytest.mark.parametrize("strategy", ["full", "window", "append_only"])
def test_a_first_sight_longer_than_a_tick_goes_on_in_the_next(
    strategy: Strategy, client: ObjectClient, ledger: PostgresLedger
) -> None:
    client = followed(strategy)
    seen: list[int] = []
    outcomes: list[str] = []
    while "complete" not in outcomes:
        scan = run(ledger, begin(ledger, {"objects": client.scan}, patience=A_TICK.patience), budget=A_TICK)["objects"]
        outcomes.append(scan.outcome)
        seen.append(arrivals(ledger, "objects")["objects"])
        assert len(seen) < OBJECTS
    assert outcomes == ["partial"] * (len(outcomes) - 1) + ["complete"]
    assert len(outcomes) > 1
    assert seen == sorted(set(seen))
    assert seen[-1] == OBJECTS
    again = run(ledger, begin(ledger, {"objects": client.scan}))["objects"]
    assert (again.outcome, again.new) == ("complete", 0)


def test_a_change_at_the_end_of_a_listing_longer_than_a_tick_is_found(
    client: ObjectClient, ledger: PostgresLedger
) -> None:
    assert run(ledger, begin(ledger, {"objects": client.scan}), budget=ENOUGH)["objects"].new == OBJECTS
    obstore.put(object_places.open_store("memory:///landing"), "2013-12-31.csv", b"x")
    ticks = 0
    while arrivals(ledger, "objects")["objects"] == OBJECTS:
        run(ledger, begin(ledger, {"objects": client.scan}, patience=A_TICK.patience), budget=A_TICK)
        ticks += 1
        assert ticks < OBJECTS
    assert ticks > 1


def test_nothing_new_in_a_small_listing_asks_the_ledger_for_no_write(
    client: ObjectClient, ledger: PostgresLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(ledger, begin(ledger, {"objects": client.scan}))
    monkeypatch.setattr(object_pages, "MOST_SECONDS", 60.0)

    def refuse(*_: Any) -> int:
        raise AssertionError("a listing without news was recorded")

    monkeypatch.setattr(ledger, "record", refuse)
    scan = run(ledger, begin(ledger, {"objects": client.scan}))["objects"]
    assert (scan.outcome, scan.pages) == ("complete", 0)
