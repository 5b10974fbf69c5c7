"""Where an asset starts in what its source holds already: with all of it, behind it, or at a day."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from sensor_assets import DefinitionError, Item, Page, Settings, Source, SourceClient
from sensor_assets._start import Start
from sensor_assets.ledger import PostgresLedger

from .conftest import LedgerSchema
from .monitoring import Monitor, following

DAY = timedelta(days=1)


class Shelf(Source):
    """A source that shows what is put on it, two items a page, and as many pages a scan as it is told."""

    def __init__(self, start_from: Start | str) -> None:
        super().__init__("shelf", every=1e-6, start_from=start_from)
        self.items: list[Item] = []
        self.pages_a_scan = 99

    def open(self, settings: Settings) -> SourceClient:
        return ShelfClient(self)

    def describe(self, settings: Settings) -> dict[str, Any]:
        return {}

    def put(self, *keys: str, version: str = "1", modified: datetime | None = None) -> None:
        """Put things on the shelf; what is before a slash in a key is the partition."""
        for key in keys:
            partition = key.partition("/")[0] if "/" in key else None
            item = Item(key=key, version=version, partition=partition, modified=modified, source=self.name)
            places = [place for place, other in enumerate(self.items) if other.key == key] or [len(self.items)]
            self.items[places[0] : places[0] + 1] = [item]


class ShelfClient(SourceClient):
    """Goes on where the last scan stopped."""

    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf

    def scan(self, context: Any) -> Iterator[Page]:
        first = context.position or 0
        for _ in range(self._shelf.pages_a_scan):
            last = first + 2
            rest = len(self._shelf.items) - last
            yield Page(items=self._shelf.items[first:last], position=last if rest > 0 else 0, incomplete=rest > 0)
            if rest <= 0:
                return
            first = last


class World(Monitor):
    """A monitor over one shelf."""

    def __init__(self, ledger: PostgresLedger, shelf: Shelf) -> None:
        super().__init__(ledger)
        self.shelf = shelf

    def drain(self, *assets: str) -> list[str]:
        """Evaluate until nothing comes any more, and return what the asset was given."""
        for _ in range(9):
            self.look(*assets)
        for row in self.ledger.status():
            assert row["waiting"] == row["in_flight"] == 0
            assert row["done"] + row["quarantined"] + row["before_start"] == row["seen"]
        return self.given.get("asset", [])

    def look(self, *assets: str) -> None:
        """Evaluate once."""
        answer = self.tick([following(self.shelf, name) for name in assets or ("asset",)])
        assert answer.failed is None

    def before_start(self) -> Mapping[str, int]:
        return {row["consumer"]: row["before_start"] for row in self.ledger.status()}


NewWorld = Callable[..., World]


@pytest.fixture
def new_world(ledger: PostgresLedger) -> NewWorld:
    return lambda start_from="all": World(ledger, Shelf(start_from))


def test_all_of_the_history_is_processed_unless_told_otherwise(new_world: NewWorld) -> None:
    world = new_world()
    world.shelf.put("a", "b", "c")
    assert world.drain() == ["a:1", "b:1", "c:1"]


def test_now_leaves_out_what_is_there_and_takes_what_comes(new_world: NewWorld) -> None:
    world = new_world("now")
    world.shelf.put("a", "b", "c")
    assert world.drain() == []
    assert world.before_start() == {"asset": 3}
    world.shelf.put("d")
    world.shelf.put("a", version="2")
    assert sorted(world.drain()) == ["a:2", "d:1"]
    assert world.before_start() == {"asset": 3}


def test_what_was_left_out_is_recorded_for_a_backfill(new_world: NewWorld) -> None:
    world = new_world("now")
    world.shelf.put("a", "b", "c")
    world.drain()
    source = world.ledger.sources(["shelf"])["shelf"]
    assert [item.key for item in world.ledger.newest_items("asset", [source.id])] == ["a", "b", "c"]


@pytest.mark.parametrize("start", ["now", "2013-01-01"])
def test_nothing_is_processed_before_the_source_was_listed_completely(start: str, new_world: NewWorld) -> None:
    """A listing of a million objects takes several scans; what the later ones show is history as well."""
    world = new_world(start)
    world.shelf.put(*(f"2012-01-0{day}/a" for day in range(1, 8)))
    world.shelf.put("2013-01-01/a")
    world.shelf.pages_a_scan = 1
    for _ in range(3):
        world.look()
        assert world.given == {}
    assert world.drain() == ([] if start == "now" else ["2013-01-01/a:1"])
    assert world.before_start() == {"asset": 8 if start == "now" else 7}
    world.shelf.put("2012-01-01/b")
    assert world.drain()[-1] == "2012-01-01/b:1"


@pytest.mark.parametrize(
    "order",
    [
        ["2012-12-30/a", "2012-12-31/a", "2013-01-01/a", "2013-01-02/a", "2013-01-03/a"],
        ["2013-01-03/a", "2013-01-02/a", "2013-01-01/a", "2012-12-31/a", "2012-12-30/a"],
        ["2012-12-30/a", "2013-01-01/a", "2012-12-31/a", "2013-01-02/a", "2012-12-29/a", "2013-01-03/a"],
        [
            "2013-01-01/a",
            "2012-12-30/a",
            "2012-12-31/a",
            "2012-12-29/a",
            "2012-12-28/a",
            "2013-01-02/a",
            "2013-01-03/a",
        ],
        ["2012-12-30/a", "2012-12-31/a"],
    ],
    ids=["rising", "falling", "mixed", "a gap longer than a page", "nothing wanted"],
)
def test_a_date_leaves_out_older_partitions_in_whatever_order_they_are_listed(
    order: Sequence[str], new_world: NewWorld
) -> None:
    world = new_world(date(2013, 1, 1))
    world.shelf.put(*order)
    wanted = [f"{key}:1" for key in order if key.startswith("2013")]
    assert world.drain() == wanted
    assert world.before_start() == {"asset": len(order) - len(wanted)}
    world.shelf.put("2012-12-30/a", version="2")
    assert world.drain() == [*wanted, "2012-12-30/a:2"]


def test_a_date_looks_at_the_time_of_change_where_the_partition_is_no_date(new_world: NewWorld) -> None:
    world = new_world("2013-01-01")
    start = datetime(2013, 1, 1, tzinfo=UTC)
    world.shelf.put("old", "north/old", modified=start - timedelta(seconds=1))
    world.shelf.put("new", "north/new", modified=start)
    world.shelf.put("unknown")
    world.shelf.put("2013-01-01/written before", modified=start - DAY)
    assert world.drain() == ["new:1", "north/new:1", "unknown:1", "2013-01-01/written before:1"]


def test_an_asset_that_is_added_later_starts_when_it_is_added(new_world: NewWorld) -> None:
    world = new_world("now")
    world.shelf.put("a")
    world.drain()
    world.shelf.put("b")
    world.drain()
    world.drain("asset", "later")
    world.shelf.put("c")
    world.drain("asset", "later")
    assert world.given == {"asset": ["b:1", "c:1"], "later": ["c:1"]}
    assert world.before_start() == {"asset": 1, "later": 2}


@pytest.mark.parametrize("change", [("all", "now"), ("now", "all"), ("now", "2012-01-01")])
def test_the_start_is_looked_at_once(change: tuple[str, str], ledger_schema: LedgerSchema) -> None:
    before, after = change
    first, second = ledger_schema.open(), ledger_schema.open()
    world = World(first, Shelf(before))
    world.shelf.put("2013-01-01/a")
    given = list(world.drain())
    restarted = World(second, Shelf(after))
    restarted.cursor, restarted.shelf.items = world.cursor, world.shelf.items
    restarted.shelf.put("2013-01-01/b")
    assert given + restarted.drain() == [*given, "2013-01-01/b:1"]
    first.close()
    second.close()


def test_a_process_that_dies_before_it_notes_the_first_listing_leaves_that_to_the_next_tick(
    new_world: NewWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = new_world("now")
    world.shelf.put("a")
    with monkeypatch.context() as patch:
        patch.setattr(PostgresLedger, "end_scans", lambda *arguments: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            world.look()
    world.look()
    world.shelf.put("b")
    assert world.drain() == ["b:1"]


def test_a_consumer_that_was_registered_while_the_listing_ended_begins_with_the_next_tick(
    new_world: NewWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two monitors follow the source; the one that registers does not see yet what the other has committed."""
    world = new_world("now")
    world.shelf.put("a")
    world.shelf.pages_a_scan = 1
    world.look()
    with world.ledger.transaction() as connection:
        connection.execute("update consumer_position set arrival = null, history = null, before_start = 0")
    world.drain()
    world.shelf.put("b")
    assert world.drain() == ["b:1"]


@pytest.mark.parametrize("start", ["yesterday", "2013-13-01", 5, datetime(2013, 1, 1, tzinfo=UTC)])
def test_anything_else_is_refused_when_it_is_declared(start: Any) -> None:
    with pytest.raises(DefinitionError, match="source 'shelf': start_from must be 'all', 'now' or a date"):
        Shelf(start)
