"""Waiting for several sources, and routes that let some things wait or go nowhere: what ticks say, what is run."""

from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from typing import Any, cast

import dagster as dg
import pytest
from sensor_assets import (
    Batch,
    Batching,
    DefinitionError,
    Hold,
    Item,
    Router,
    ScanContext,
    Send,
    Skip,
    Waiting,
    sensor_asset,
    source,
    with_sources,
)
from sensor_assets._sources.function import FunctionSource
from sensor_assets.ledger import PostgresLedger, _parking

from .location import SOON, Location, ephemeral, settings

DAILY = dg.DailyPartitionsDefinition("2013-01-01", end_date="2014-01-01")
HOUR = timedelta(hours=1)


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with ephemeral() as instance:
        yield instance


class Shown:
    """A source that shows what a test puts into it: the day and the version of each key."""

    def __init__(self, name: str) -> None:
        self.items: dict[str, Item] = {}

        def show(context: ScanContext) -> Iterator[Item]:
            yield from self.items.values()

        self.source: FunctionSource = source(name, every=SOON)(show)

    def put(self, day: str, key: str = "", version: str = "1") -> None:
        key = key or day
        self.items[key] = Item(key=key, version=version, partition=day)


class Seen:
    """What a sensor asset was given, one entry for each run: the partition, and the keys of its items."""

    def __init__(self) -> None:
        self.runs: list[tuple[tuple[str, ...], list[str]]] = []

    def note(self, batch: Batch) -> None:
        self.runs.append((batch.partitions, sorted(f"{item.source}:{item.key}" for item in batch.items)))

    def take(self) -> list[tuple[tuple[str, ...], list[str]]]:
        taken, self.runs = sorted(self.runs), []
        return taken


@pytest.fixture
def orders() -> Shown:
    return Shown("orders")


@pytest.fixture
def customers() -> Shown:
    return Shown("customers")


@pytest.fixture
def seen() -> Seen:
    return Seen()


def held(location: Location) -> str:
    """Evaluate and return why nothing is launched."""
    answer = location.evaluate()
    assert not answer.run_requests
    return answer.skip_message or ""


def joining(orders: Shown, customers: Shown, seen: Seen, **arguments: Any) -> Any:
    def joined(batch: Batch) -> None:
        seen.note(batch)

    return sensor_asset([orders.source, customers.source], wait_for="all", **arguments)(joined)


def test_a_day_is_processed_once_both_sources_have_shown_something_for_it(
    ledger: PostgresLedger, instance: dg.DagsterInstance, orders: Shown, customers: Shown, seen: Seen
) -> None:
    location = Location(ledger, [joining(orders, customers, seen, partitions_def=DAILY)], instance)
    clock = location.stop_the_clock()
    orders.put("2013-01-05", "early")
    orders.put("2013-01-06")
    assert not location.evaluate().run_requests
    clock.time += HOUR
    orders.put("2013-01-05", "late")
    said = held(location)
    assert "joined holds: 2013-01-05 waits for customers since 2013-01-01 00:00 UTC; 2013-01-06 waits" in said

    clock.time += HOUR
    customers.put("2013-01-05")
    location.work()
    assert seen.take() == [(("2013-01-05",), ["customers:2013-01-05", "orders:early", "orders:late"])]
    assert "joined holds: 2013-01-06 waits for customers since 2013-01-01 00:00 UTC" in held(location)

    clock.time += HOUR
    orders.put("2013-01-05", "early", "corrected")
    location.work()
    assert seen.take() == [(("2013-01-05",), ["orders:early"])], "what was complete once is not waited for again"


def test_what_waits_for_another_source_counts_as_waiting_with_its_age(
    ledger: PostgresLedger, instance: dg.DagsterInstance, orders: Shown, customers: Shown, seen: Seen
) -> None:
    location = Location(ledger, [joining(orders, customers, seen, partitions_def=DAILY)], instance)
    orders.put("2013-01-05", "a")
    orders.put("2013-01-05", "b")
    for _ in range(2):
        location.evaluate()
        [of_orders] = [row for row in ledger.status() if row["source"] == "orders"]
        counted = {name: of_orders[name] for name in ("seen", "waiting", "in_flight", "done", "quarantined")}
        assert counted == {"seen": 2, "waiting": 2, "in_flight": 0, "done": 0, "quarantined": 0}
        assert of_orders["lag_seconds"] > 0
    customers.put("2013-01-05")
    location.work()
    assert {(row["waiting"], row["done"] == row["seen"]) for row in ledger.status()} == {(0, True)}


def test_neighbouring_days_that_are_complete_share_a_run_and_the_day_between_them_waits(
    ledger: PostgresLedger, instance: dg.DagsterInstance, orders: Shown, customers: Shown, seen: Seen
) -> None:
    location = Location(ledger, [joining(orders, customers, seen, partitions_def=DAILY)], instance)
    for day in range(1, 6):
        orders.put(f"2013-01-0{day}")
    location.evaluate()
    for day in (1, 2, 4, 5):
        customers.put(f"2013-01-0{day}")
    location.work()
    assert [days for days, _ in seen.take()] == [("2013-01-01", "2013-01-02"), ("2013-01-04", "2013-01-05")]


def test_a_source_that_is_late_for_too_long_is_waited_for_no_more(
    ledger: PostgresLedger, instance: dg.DagsterInstance, orders: Shown, customers: Shown, seen: Seen
) -> None:
    asset = joining(orders, customers, seen, partitions_def=DAILY, max_hold=6 * HOUR)
    location = Location(ledger, [asset], instance)
    clock = location.stop_the_clock()
    orders.put("2013-01-05", "first")
    location.work()
    clock.time += 5 * HOUR
    orders.put("2013-01-05", "second")
    location.work()
    assert seen.take() == []
    clock.time += HOUR
    location.work()
    assert seen.take() == [(("2013-01-05",), ["orders:first", "orders:second"])], "all that waits for the day goes"
    clock.time += HOUR
    customers.put("2013-01-05")
    location.work()
    assert seen.take() == [(("2013-01-05",), ["customers:2013-01-05"])]


def test_a_complete_day_goes_however_many_incomplete_ones_wait_before_it(
    ledger: PostgresLedger,
    instance: dg.DagsterInstance,
    orders: Shown,
    customers: Shown,
    seen: Seen,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_parking, "LOOKS", 3)
    asset = joining(orders, customers, seen, partitions_def=DAILY, batching=Batching(max_items=2), max_in_flight=1)
    location = Location(ledger, [asset], instance)
    for day in range(1, 31):
        orders.put(f"2013-01-{day:02}")
    for _ in range(20):
        location.work()
    assert location.status()["joined"]["waiting"] in (0, 30)
    customers.put("2013-01-30")
    location.work()
    location.work()
    assert seen.take() == [(("2013-01-30",), ["customers:2013-01-30", "orders:2013-01-30"])]


def test_of_a_day_with_more_items_than_one_decision_takes_the_rest_follows(
    ledger: PostgresLedger, instance: dg.DagsterInstance, orders: Shown, customers: Shown, seen: Seen
) -> None:
    asset = joining(orders, customers, seen, partitions_def=DAILY, batching=Batching(max_items=2), max_in_flight=2)
    location = Location(ledger, [asset], instance)
    for number in range(11):
        orders.put("2013-01-05", f"{number:02}")
    for _ in range(4):
        location.work()
    customers.put("2013-01-05")
    for _ in range(10):
        location.work()
    keys = [key for _, keys in seen.take() for key in keys]
    assert sorted(keys) == ["customers:2013-01-05", *(f"orders:{number:02}" for number in range(11))]


def test_a_monthly_asset_waits_for_sources_of_days_and_of_months(
    ledger: PostgresLedger, instance: dg.DagsterInstance, orders: Shown, customers: Shown, seen: Seen
) -> None:
    monthly = dg.MonthlyPartitionsDefinition("2013-01-01", end_date="2014-01-01")
    location = Location(ledger, [joining(orders, customers, seen, partitions_def=monthly)], instance)
    orders.put("2013-01-05")
    orders.put("2013-01-31")
    orders.put("2013-02-01")
    location.work()
    customers.put("2013-01-01")
    location.work()
    assert seen.take() == [(("2013-01-01",), ["customers:2013-01-01", "orders:2013-01-05", "orders:2013-01-31"])]


def test_without_partitions_everything_goes_when_both_sources_have_shown_something_new(
    ledger: PostgresLedger, instance: dg.DagsterInstance, orders: Shown, customers: Shown, seen: Seen
) -> None:
    location = Location(ledger, [joining(orders, customers, seen, batching=Batching(max_items=2))], instance)
    clock = location.stop_the_clock()
    for number in range(17):
        orders.put("2013-01-05", f"{number:02}")
    assert "joined holds: 8 items wait for customers since 2013-01-01 00:00 UTC" in held(location)
    clock.time += HOUR
    customers.put("2013-01-05", "c")
    for _ in range(10):
        location.work()
    keys = sorted(key for _, keys in seen.take() for key in keys)
    assert keys == ["customers:c", *(f"orders:{number:02}" for number in range(17))], (
        "also what one decision cannot take"
    )
    clock.time += HOUR
    orders.put("2013-01-05", "00", "corrected")
    location.work()
    assert seen.take() == []
    clock.time += HOUR
    customers.put("2013-01-06", "d")
    location.work()
    assert seen.take() == [((), ["customers:d", "orders:00"])]


def test_without_partitions_too_a_source_is_waited_for_only_so_long(
    ledger: PostgresLedger, instance: dg.DagsterInstance, orders: Shown, customers: Shown, seen: Seen
) -> None:
    location = Location(ledger, [joining(orders, customers, seen, max_hold=HOUR)], instance)
    clock = location.stop_the_clock()
    orders.put("2013-01-05")
    location.work()
    assert seen.take() == []
    clock.time += HOUR
    location.work()
    assert seen.take() == [((), ["orders:2013-01-05"])]


def test_when_the_asset_waits_for_fewer_sources_what_waited_goes(
    ledger: PostgresLedger, instance: dg.DagsterInstance, orders: Shown, customers: Shown, seen: Seen
) -> None:
    before = Location(ledger, [joining(orders, customers, seen, partitions_def=DAILY)], instance)
    orders.put("2013-01-05")
    before.work()

    @sensor_asset([orders.source, customers.source], partitions_def=DAILY)
    def joined(batch: Batch) -> None:
        seen.note(batch)

    after = Location(ledger, [joined], instance)
    after.cursors = before.cursors
    after.work()
    assert seen.take() == [(("2013-01-05",), ["orders:2013-01-05"])]


def test_when_the_partitions_become_others_what_waits_is_placed_anew(
    ledger: PostgresLedger, instance: dg.DagsterInstance, orders: Shown, customers: Shown, seen: Seen
) -> None:
    before = Location(ledger, [joining(orders, customers, seen, partitions_def=DAILY)], instance)
    orders.put("2013-01-08")
    orders.put("2013-12-31")
    before.work()
    weekly = dg.WeeklyPartitionsDefinition("2013-01-06", end_date="2013-12-29")
    after = Location(ledger, [joining(orders, customers, seen, partitions_def=weekly)], instance)
    after.cursors = before.cursors
    customers.put("2013-01-10")
    after.work()
    assert seen.take() == [(("2013-01-06",), ["customers:2013-01-10", "orders:2013-01-08"])]
    assert after.status()["joined"]["quarantined"] + after.status()["joined"]["waiting"] <= 1
    [of_orders] = [row for row in ledger.status() if row["source"] == "orders"]
    assert of_orders["quarantined"] == 1, "what has no place any more is set aside"


# --- routes


def by_days_of_both(waiting: Waiting) -> Sequence[Send | Skip | Hold]:
    """Send the days for which both sources have something that waits, skip what is a test."""
    tests = [item for item in waiting.items if item.key.startswith("test")]
    sources = {item.partition: set[str]() for item in waiting.items}
    for item in waiting.items:
        sources[item.partition].add(item.source)
    both = [item for item in waiting.items if len(sources[item.partition]) > 1 and item not in tests]
    return [Skip("a test", tests, to="days"), Send(to="days", items=both)]


def routing(orders: Shown, customers: Shown, seen: Seen, **settings: Any) -> Any:
    settings = {"name": "router", "targets": ("days",), **settings}
    router = Router([orders.source, customers.source], by_days_of_both, **settings)

    @sensor_asset(router["days"], partitions_def=DAILY)
    def days(batch: Batch) -> None:
        seen.note(batch)

    return days


def test_a_route_may_let_some_days_go_while_others_wait(
    ledger: PostgresLedger, instance: dg.DagsterInstance, orders: Shown, customers: Shown, seen: Seen
) -> None:
    location = Location(ledger, [routing(orders, customers, seen)], instance)
    orders.put("2013-01-05")
    orders.put("2013-01-07")
    customers.put("2013-01-07")
    location.work()
    assert seen.take() == [(("2013-01-07",), ["customers:2013-01-07", "orders:2013-01-07"])]
    assert "router holds: 1 item left out by the route" in held(location)
    customers.put("2013-01-05")
    location.work()
    assert seen.take() == [(("2013-01-05",), ["customers:2013-01-05", "orders:2013-01-05"])]


def test_what_is_skipped_is_done_without_a_run_and_keeps_its_reason(
    ledger: PostgresLedger, instance: dg.DagsterInstance, orders: Shown, customers: Shown, seen: Seen
) -> None:
    days = routing(orders, customers, seen)
    location = Location(ledger, [days], instance)
    orders.put("2013-01-05", "test")
    assert not location.evaluate().run_requests
    [of_orders] = [row for row in ledger.status() if row["source"] == "orders"]
    assert (of_orders["waiting"], of_orders["done"]) == (0, 1)
    with ledger.transaction() as database:
        skipped = database.execute("select state, reason, items, finished_at is not null as over from batch").fetchall()
    assert skipped == [{"state": "skipped", "reason": "a test", "items": 1, "over": True}]

    location.launch(days, partition="2013-01-05")
    assert seen.take() == [(("2013-01-05",), ["orders:test"])], "a person still gets what was skipped for the outlet"


def test_of_what_waits_for_too_long_or_is_too_much_the_oldest_goes_the_other_way(
    ledger: PostgresLedger, instance: dg.DagsterInstance, orders: Shown, customers: Shown, seen: Seen
) -> None:
    asset = routing(orders, customers, seen, max_hold=6 * HOUR, max_waiting=2)
    location = Location(ledger, [asset], instance)
    clock = location.stop_the_clock()
    for day in (1, 3, 5, 7):
        clock.time += HOUR
        orders.put(f"2013-01-0{day}")
        location.work()
    assert [days for days, _ in seen.take()] == [("2013-01-01",), ("2013-01-03",)]
    clock.time += 5 * HOUR
    location.work()
    assert [days for days, _ in seen.take()] == [("2013-01-05",)], "it waits for six hours now, the next one for five"


# --- what cannot work


def empty(batch: Batch) -> None: ...


@pytest.mark.parametrize(
    ("declare", "message"),
    [
        (lambda a, b: sensor_asset(a, wait_for="all"), "wait_for='all' needs several sources, not only 'a'"),
        (lambda a, b: sensor_asset([a], wait_for="all"), "wait_for='all' needs several sources, not only 'a'"),
        (lambda a, b: sensor_asset([a, b], wait_for=cast("Any", "both")), "wait_for is 'any' or 'all', not 'both'"),
        (lambda a, b: sensor_asset([a, b], max_hold=60), "max_hold is for wait_for='all'"),
        (
            lambda a, b: sensor_asset(Router([a, b], by_days_of_both, name="r", targets=("x",))["x"], wait_for="all"),
            "wait_for='all' is not for a router's outlet",
        ),
        (
            lambda a, b: Router([a, b], by_days_of_both, name="r", targets=("x",), max_waiting=0),
            "Router 'r': max_waiting must be at least 1, not 0",
        ),
    ],
)
def test_a_condition_that_cannot_work_is_refused_at_its_declaration(
    declare: Callable[[FunctionSource, FunctionSource], object], message: str
) -> None:
    with pytest.raises(DefinitionError, match=message):
        declare(Shown("a").source, Shown("b").source)


def test_partitions_are_added_to_dynamic_ones_only() -> None:
    asset = sensor_asset(Shown("a").source, name="a_asset", partitions_def=DAILY, add_partitions=True)(empty)
    with pytest.raises(DefinitionError, match="asset a_asset: add_partitions=True is for dynamic partitions"):
        with_sources(dg.Definitions(assets=[asset]), settings=settings())
