"""What people do to the ledger by hand beside what waits, was skipped, lies before a start, or came by a queue."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg
import psycopg
import pytest
from sensor_assets import (
    Batch,
    Hold,
    Item,
    Message,
    QueueSource,
    Router,
    ScanContext,
    Send,
    Skip,
    Waiting,
    sensor_asset,
    source,
)
from sensor_assets.cli.verdict import verdict
from sensor_assets.ledger import PostgresLedger
from sensor_assets.ledger._inspection import Inspection
from sensor_assets.ledger._operations import Operations
from sensor_assets.ledger._quarantine import Release
from sensor_assets.ledger._quarantine import release as release_items
from sensor_assets.ledger._selection import Selection

from .conftest import LedgerSchema
from .location import SOON, Location, ephemeral

DAILY = dg.DailyPartitionsDefinition("2013-01-01", end_date="2014-01-01")
SECOND = timedelta(seconds=1)


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with ephemeral() as instance:
        yield instance


@pytest.fixture
def looking(ledger_schema: LedgerSchema) -> Iterator[psycopg.Connection[Any]]:
    options = f"-c search_path={ledger_schema.schema}"
    with psycopg.connect(ledger_schema.url, options=options, autocommit=True) as connection:
        yield connection


class Shown:
    """A source that shows what a test puts into it; and an asset's function that rejects what is bad."""

    def __init__(self, name: str, **declared: Any) -> None:
        self.items: dict[str, Item] = {}

        def show(context: ScanContext) -> Iterator[Item]:
            yield from self.items.values()

        self.source = source(name, every=SOON, **declared)(show)

    def put(self, *keys: str, version: str = "1", modified: datetime | None = None) -> None:
        """Put things there; what is before a slash in a key is the partition."""
        for key in keys:
            day = key.partition("/")[0] if "/" in key else None
            self.items[key] = Item(key=key, version=version, partition=day, modified=modified)


class Work:
    """What a sensor asset was given, and what it rejects."""

    def __init__(self) -> None:
        self.bad: set[str] = set()
        self.given: list[str] = []

    def take(self) -> list[str]:
        taken, self.given = sorted(self.given), []
        return taken

    def asset(self, follows: Any, **declared: Any) -> Any:
        def asset(batch: Batch) -> None:
            self.given += [item.key for item in batch.items]
            for item in batch.items:
                if item.key in self.bad:
                    batch.reject(item, "bad")

        named: dict[str, Any] = {"name": "asset", **declared}
        return sensor_asset(follows, **named)(asset)


@pytest.fixture
def work() -> Work:
    return Work()


def operations(ledger: PostgresLedger) -> Operations:
    return Operations(ledger, now=datetime.now(UTC))


def release(ledger: PostgresLedger, **selection: Any) -> Release:
    return release_items(operations(ledger), Selection(**selection))


def states(ledger: PostgresLedger) -> Mapping[str, str]:
    """Return how far the consumer is with each key, as `items` shows it."""
    rows = Inspection(ledger).items(Selection(), partition=None, state=None, limit=99)
    return {row.item.key: row.state for row in rows if row.newest}


def explained(ledger: PostgresLedger, key: str) -> str:
    """Return what `explain` says about the newest version of a key."""
    version = Inspection(ledger).versions(key, None)[-1]
    [standing] = version.consumers
    return verdict(version, standing, datetime.now(UTC))


def counts(location: Location, of: str) -> tuple[int, int, int]:
    [row] = [row for row in location.ledger.status() if row["source"] == of]
    return row["waiting"], row["done"], row["quarantined"]


# --- what waits for another source


def test_what_waits_for_another_source_is_left_alone_by_every_operation(
    ledger: PostgresLedger, instance: dg.DagsterInstance, work: Work
) -> None:
    orders, customers = Shown("orders"), Shown("customers")
    asset = work.asset([orders.source, customers.source], wait_for="all", partitions_def=DAILY)
    location = Location(ledger, [asset], instance)
    orders.put("2013-01-05/a", "2013-01-06/b")
    customers.put("2013-01-05/c")
    location.work_off()
    assert work.take() == ["2013-01-05/a", "2013-01-05/c"]
    assert states(ledger)["2013-01-06/b"] == "waiting"
    assert "for its partition, another source or its route; it holds what waits: 2013-01-06 waits for customers" in (
        explained(ledger, "2013-01-06/b")
    )

    assert [batch.partitions for batch in operations(ledger).replay(Selection()).batches] == [("2013-01-05",)]
    assert [b.partitions for b in operations(ledger).rebuild("asset", route=None, partitions=())] == [("2013-01-05",)]
    operations(ledger).prune(datetime.now(UTC) + SECOND)
    location.work_off()
    assert set(work.take()) == {"2013-01-05/a", "2013-01-05/c"}
    assert counts(location, "orders") == (1, 1, 0)

    customers.put("2013-01-06/d")
    location.work_off()
    assert work.take() == ["2013-01-06/b", "2013-01-06/d"]


def test_an_item_that_is_released_for_a_day_that_is_incomplete_waits_with_the_others(
    ledger: PostgresLedger, instance: dg.DagsterInstance, work: Work
) -> None:
    """A launch by hand met the item before the day was complete."""
    orders, customers = Shown("orders"), Shown("customers")
    asset = work.asset([orders.source, customers.source], wait_for="all", partitions_def=DAILY)
    location = Location(ledger, [asset], instance)
    orders.put("2013-01-05/a", "2013-01-05/b")
    location.evaluate()
    work.bad.add("2013-01-05/b")
    location.launch(asset, partition="2013-01-05")
    assert counts(location, "orders") == (2, 0, 0), "what waits for another source counts as that"
    work.bad.clear()
    work.take()
    assert [row["key"] for row in release(ledger, source="orders").decided] == ["2013-01-05/b"]
    assert location.work_off() == 0
    customers.put("2013-01-05/c")
    location.work_off()
    assert work.take() == ["2013-01-05/a", "2013-01-05/b", "2013-01-05/c"]
    assert counts(location, "orders") == (0, 2, 0)


def test_an_item_that_is_released_does_not_wait_for_the_other_sources_once_more(
    ledger: PostgresLedger, instance: dg.DagsterInstance, work: Work
) -> None:
    orders, customers = Shown("orders"), Shown("customers")
    location = Location(ledger, [work.asset([orders.source, customers.source], wait_for="all")], instance)
    orders.put("a", "b")
    customers.put("c")
    work.bad.add("b")
    location.work_off()
    assert counts(location, "orders") == (0, 1, 1)
    orders.put("later")
    location.work_off()
    work.bad.clear()
    work.take()
    release(ledger, key="b")
    assert "released from quarantine at" in explained(ledger, "b")
    location.work_off()
    assert work.take() == ["b"], "what arrived later still waits for customers"
    assert counts(location, "orders") == (1, 2, 0)


def test_an_item_that_is_released_waits_for_its_partition_to_exist(
    ledger: PostgresLedger, instance: dg.DagsterInstance, work: Work
) -> None:
    airports = dg.DynamicPartitionsDefinition(name="airports")
    instance.add_dynamic_partitions("airports", ["LGA"])
    shown = Shown("files")
    location = Location(ledger, [work.asset(shown.source, partitions_def=airports)], instance)
    shown.put("LGA/a")
    work.bad.add("LGA/a")
    location.work_off()
    work.bad.clear()
    work.take()
    instance.delete_dynamic_partition("airports", "LGA")
    release(ledger)
    assert location.work_off() == 0
    assert counts(location, "files") == (1, 0, 0)
    instance.add_dynamic_partitions("airports", ["LGA"])
    location.work_off()
    assert work.take() == ["LGA/a"]


# --- what a route holds or skips


def test_an_item_that_is_released_is_shown_to_the_route_again(
    ledger: PostgresLedger, instance: dg.DagsterInstance, work: Work
) -> None:
    shown, asked, outlet = Shown("files"), list[list[str]](), ["all"]

    def route(waiting: Waiting) -> Sequence[Send | Skip | Hold]:
        asked.append([item.key for item in waiting.items])
        return [Send(to=outlet[0], items=[item for item in waiting.items if item.key != "held"]), Hold("not yet")]

    router = Router(shown.source, route, name="router", targets=("all", "again"))
    assets = [work.asset(router[name], name=name) for name in ("all", "again")]
    location = Location(ledger, assets, instance)
    shown.put("a", "b", "held")
    work.bad.add("b")
    location.work_off()
    work.bad.clear()
    work.take()
    asked.clear()
    outlet[0] = "again"
    release(ledger, key="b")
    location.work_off()
    assert (asked[0], work.take()) == (["held", "b"], ["b"]), "it waits since it was released"
    [released] = [b for b in Inspection(ledger).batches(Selection(), state=None, limit=9) if b.route == "again"]
    assert (released.state, released.items) == ("done", 1)
    assert states(ledger) == {"a": "done", "b": "done", "held": "waiting"}
    assert counts(location, "files") == (1, 2, 0)


def test_what_a_route_skipped_is_explained_stays_so_and_survives_pruning(
    ledger: PostgresLedger, instance: dg.DagsterInstance, work: Work
) -> None:
    def route(waiting: Waiting) -> Sequence[Send | Skip | Hold]:
        return [Skip("a draft", [item for item in waiting.items if item.key == "draft"]), Send(to="all")]

    shown = Shown("files")
    router = Router(shown.source, route, name="router", targets=("all",))
    location = Location(ledger, [work.asset(router["all"])], instance)
    shown.put("a", "draft")
    location.work_off()
    assert states(ledger) == {"a": "done", "draft": "skipped"}
    assert operations(ledger).replay(Selection()).batches[0].items == 1
    assert [batch.route for batch in operations(ledger).rebuild("router", route=None, partitions=())] == ["all"]
    location.work_off()
    operations(ledger).prune(datetime.now(UTC) + SECOND)
    assert explained(ledger, "draft").endswith(": a draft")
    assert explained(ledger, "draft").startswith("skipped by the route at ")


# --- what lies before a start


@pytest.mark.parametrize("start", ["now", "2013-01-02"])
def test_what_lies_before_the_start_is_told_from_what_is_done(
    start: str, ledger: PostgresLedger, instance: dg.DagsterInstance, work: Work
) -> None:
    shown = Shown("files", start_from=start)
    location = Location(ledger, [work.asset(shown.source, partitions_def=DAILY)], instance)
    shown.put("2013-01-01/old")
    location.work_off()
    shown.put("2013-01-03/new")
    location.work_off()
    assert states(ledger) == {"2013-01-01/old": "before-start", "2013-01-03/new": "done"}
    assert explained(ledger, "2013-01-01/old").startswith("not processed: it was there when the asset began")
    replayed = operations(ledger).replay(Selection())
    assert [batch.items for batch in replayed.batches] == [1], "nothing of the time before is replayed"
    location.work_off()
    assert set(work.take()) == {"2013-01-03/new"}


def test_an_item_from_before_the_start_that_a_launch_by_hand_rejected_can_be_released(
    ledger: PostgresLedger, instance: dg.DagsterInstance, work: Work
) -> None:
    shown = Shown("files", start_from="now")
    asset = work.asset(shown.source, partitions_def=DAILY)
    location = Location(ledger, [asset], instance)
    shown.put("2013-01-01/old")
    location.work_off()
    work.bad.add("2013-01-01/old")
    location.launch(asset, partition="2013-01-01")
    work.bad.clear()
    work.take()
    assert len(release(ledger).decided) == 1
    location.work_off()
    assert (work.take(), states(ledger)) == (["2013-01-01/old"], {"2013-01-01/old": "done"})


# --- messages


class Letterbox:
    """A queue of the team's own that forgets what is acknowledged."""

    def __init__(self) -> None:
        self.messages: dict[str, bytes] = {}

    def receive(self, limit: int, wait: float) -> list[Message]:
        return [Message(id=name, body=body) for name, body in list(self.messages.items())[:limit]]

    def acknowledge(self, messages: Sequence[Message]) -> None:
        for message in messages:
            del self.messages[message.id]


Following = Callable[..., Location]


@pytest.fixture
def letterbox() -> Letterbox:
    return Letterbox()


@pytest.fixture
def read() -> dict[str, bytes]:
    """What the asset has read, by key; it rejects the body ``bad``."""
    return {}


@pytest.fixture
def follow(
    letterbox: Letterbox, ledger: PostgresLedger, instance: dg.DagsterInstance, read: dict[str, bytes]
) -> Following:
    """Return a function that makes a location which reads the letterbox."""

    def make(**declared: Any) -> Location:
        letters = QueueSource("letters", receiver=lambda _: letterbox, wait=0, every=SOON, **declared)

        @sensor_asset(letters)
        def stored(batch: Batch) -> None:
            for item in batch.items:
                body = item.read()
                if b"bad" in body:
                    batch.reject(item, "bad")
                else:
                    read[item.key] = body

        return Location(ledger, [stored], instance)

    return make


def test_a_message_is_replayed_and_released_with_the_body_that_the_ledger_keeps(
    follow: Following, letterbox: Letterbox, read: dict[str, bytes], ledger: PostgresLedger
) -> None:
    location = follow()
    letterbox.messages = {"m1": b"good", "m2": b"bad"}
    location.work_off()
    assert not letterbox.messages
    assert read == {"m1": b"good"}
    read.clear()
    operations(ledger).replay(Selection())
    location.work_off()
    release(ledger)
    location.work_off()
    assert read == {"m1": b"good"}
    assert counts(location, "letters") == (0, 1, 1), "it is still bad"


def test_a_message_that_lacks_what_is_wanted_stays_in_quarantine_as_its_queue_has_forgotten_it(
    follow: Following, letterbox: Letterbox, read: dict[str, bytes], ledger: PostgresLedger
) -> None:
    location = follow(key="id")
    letterbox.messages = {"m1": b'{"id": "a"}', "m2": b'{"number": 2}'}
    location.work_off()
    assert read == {"a": b'{"id": "a"}'}
    released = release(ledger)
    assert ([row["key"] for row in released.forgotten], released.looked_at) == (["m2"], ())
    location.work_off()
    assert counts(location, "letters") == (0, 1, 1)
    letterbox.messages = {"m3": b'{"id": "b", "number": 2}'}
    location.work_off()
    assert read["b"] == b'{"id": "b", "number": 2}', "sent anew it is another message"


def test_a_message_that_was_too_large_is_processed_once_it_is_not_any_more(
    follow: Following, letterbox: Letterbox, read: dict[str, bytes]
) -> None:
    before = follow(max_bytes=4)
    letterbox.messages = {"m1": b"large"}
    before.work_off()
    assert letterbox.messages, "it is not acknowledged"
    assert counts(before, "letters") == (0, 0, 1)
    after = follow(max_bytes=9)
    after.cursors = before.cursors
    after.work_off()
    assert (read, letterbox.messages) == ({"m1": b"large"}, {})
    assert counts(after, "letters") == (0, 2, 0), "the newer version took the place of the one in quarantine"


def test_a_message_that_tells_nothing_new_is_kept_all_the_same_before_it_is_acknowledged(
    follow: Following, letterbox: Letterbox, read: dict[str, bytes], looking: psycopg.Connection[Any]
) -> None:
    """So that it is known when it is delivered once more, after something newer."""
    location = follow(key="id")
    for name, number in {"m1": 1, "m2": 1, "m3": 2, "m2 ": 1}.items():
        letterbox.messages = {name.strip(): b'{"id": "a", "n": %d}' % number}
        location.work_off()
        assert not letterbox.messages
    assert read == {"a": b'{"id": "a", "n": 2}'}
    assert looking.execute("select count(*) from message").fetchall() == [(3,)]


def test_pruning_forgets_bodies_but_not_that_a_message_was_there(
    follow: Following,
    letterbox: Letterbox,
    read: dict[str, bytes],
    ledger: PostgresLedger,
    looking: psycopg.Connection[Any],
) -> None:
    location = follow(key="id")
    for number in (1, 2):
        letterbox.messages = {f"m{number}": b'{"id": "a", "n": %d}' % number}
        location.work_off()
    operations(ledger).prune(datetime.now(UTC) + SECOND)
    assert looking.execute("select id, body from message order by id").fetchall() == [
        ("m1", b""),
        ("m2", b'{"id": "a", "n": 2}'),
    ]
    letterbox.messages = {"m1": b'{"id": "a", "n": 1}'}
    location.work_off()
    assert read == {"a": b'{"id": "a", "n": 2}'}, "delivered once more it is no news"
