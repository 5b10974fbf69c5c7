"""What every source has to do, as a class of tests for a source of one's own.

class TestTickets(SourceContract):
    @pytest.fixture
    def outside(self) -> Outside:
        return HelpdeskForTests()
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import dagster as dg
import pytest

from sensor_assets._asset import sensor_asset
from sensor_assets._batch import Batch
from sensor_assets._items import Item
from sensor_assets._monitor import HEALTH_CHECK
from sensor_assets._settings import Settings
from sensor_assets._sources.base import ScanContext, Source
from sensor_assets._sources.function import source
from sensor_assets.errors import ItemChanged, ItemGone, SourceError
from sensor_assets.ledger import Ledger
from sensor_assets.testing._location import Location
from sensor_assets.testing._settings import settings_for


class Outside(ABC):
    """The place that a source follows, as far as a test changes it.

    A thing has a key, as the source calls it, and a content that the source turns into a version.
    """

    settings: Settings
    """Fill the placeholders of the source."""

    def __init__(self) -> None:
        self.settings = settings_for(Settings)

    @abstractmethod
    def source(self) -> Source:
        """Return a source that follows this place."""

    @abstractmethod
    def put(self, key: str, content: str) -> None:
        """Let a thing be there, new or changed."""

    def delete(self, key: str) -> None:
        """Take a thing away."""
        raise NotImplementedError

    def take_down(self) -> None:
        """Let every request fail from now on."""
        raise NotImplementedError

    def bring_up(self) -> None:
        """Let requests succeed again; what was there is there."""
        raise NotImplementedError

    def key(self, number: int) -> str:
        """Return a key that the source accepts, a different one for each number."""
        return f"{number:05d}"


class Follower:
    """Scans a source into a ledger as the monitor does, and tells what arrived."""

    def __init__(self, ledger: Ledger, followed: Source, settings: Settings) -> None:
        self.name = followed.name
        self.client = followed.open(settings)
        self._ledger = ledger
        self._settings = settings

    def scan(self, *, pages: int | None = None) -> list[str]:
        """Scan, all or so many pages; returns the keys that arrived."""
        state = self._ledger.sources([self.name])[self.name]
        before = {(item.key, item.arrival) for item in self.items()}
        scan = self._ledger.begin_scan(state)
        context = ScanContext(
            position=scan.source.position,
            known=lambda keys: self._ledger.known(state.id, keys),
            settings=self._settings,
            pages=self._ledger.pages(state.id),
        )
        recorded = 0
        for number, page in enumerate(self.client.scan(context), start=1):
            recorded += self._ledger.record(scan, page, datetime.now(UTC))
            if page.acknowledge is not None:
                page.acknowledge()
            if number == pages:
                break
        arrived = sorted(item.key for item in self.items() if (item.key, item.arrival) not in before)
        assert len(arrived) == recorded, f"{recorded} arrivals of {len(arrived)} keys: a key arrived more than once"
        return arrived

    def items(self) -> list[Item]:
        """Return the newest version of every key, in order of arrival."""
        state = self._ledger.sources([self.name])[self.name]
        return self._ledger.newest_items("nobody", [state.id])

    def item(self, key: str) -> Item:
        """Return the newest version of a key."""
        return next(item for item in self.items() if item.key == key)


class SourceContract:
    """Tests that any source passes; inherit it and define the fixture ``outside``.

    Set what a source cannot do to False, and say why in a comment: `reads` bytes of an item, `deletes` are possible
    outside, `fails` can be brought about.
    """

    reads = True
    deletes = True
    fails = True
    things = 1200
    """More than a scan records at once, so that it can be interrupted."""

    @pytest.fixture
    def outside(self) -> Outside:
        """Return the place, empty."""
        raise NotImplementedError(f"{type(self).__name__} defines the fixture 'outside'")

    @pytest.fixture
    def follower(self, ledger: Ledger, outside: Outside) -> Iterator[Follower]:
        opened = Follower(ledger, outside.source(), outside.settings)
        yield opened
        opened.client.close()

    def test_everything_arrives_once(self, outside: Outside, follower: Follower) -> None:
        keys = [outside.key(number) for number in range(3)]
        for key in keys:
            outside.put(key, "content")
        assert follower.scan() == sorted(keys)

    def test_nothing_arrives_while_nothing_changes(self, outside: Outside, follower: Follower) -> None:
        assert follower.scan() == []
        outside.put(outside.key(1), "content")
        follower.scan()
        assert [follower.scan(), follower.scan()] == [[], []]

    def test_what_changed_arrives_again_and_nothing_else(self, outside: Outside, follower: Follower) -> None:
        for number in (1, 2):
            outside.put(outside.key(number), "old")
        follower.scan()
        outside.put(outside.key(1), "new")
        assert follower.scan() == [outside.key(1)]

    def test_what_was_put_back_as_it_was_has_changed_as_well(self, outside: Outside, follower: Follower) -> None:
        for content in ("first", "second", "first"):
            outside.put(outside.key(1), content)
            assert follower.scan() == [outside.key(1)]

    def test_an_interrupted_scan_loses_and_repeats_nothing(self, outside: Outside, follower: Follower) -> None:
        keys = sorted(outside.key(number) for number in range(self.things))
        for key in keys:
            outside.put(key, "content")
        first = follower.scan(pages=1)
        assert len(first) <= len(keys)
        assert sorted(first + follower.scan()) == keys
        assert follower.scan() == []

    def test_an_item_is_read_as_it_was_recorded(self, outside: Outside, follower: Follower) -> None:
        if not self.reads:
            assert not follower.client.readable
            return
        outside.put(outside.key(1), "content")
        follower.scan()
        item = follower.item(outside.key(1))
        assert b"content" in follower.client.read(item)
        outside.put(outside.key(1), "newer")
        with pytest.raises(ItemChanged):
            follower.client.read(item)

    def test_what_is_deleted_is_no_arrival_and_reading_it_says_that_it_is_gone(
        self, outside: Outside, follower: Follower
    ) -> None:
        if not self.deletes:
            pytest.skip("nothing can be deleted there")
        for number in (1, 2):
            outside.put(outside.key(number), "content")
        follower.scan()
        item = follower.item(outside.key(1))
        outside.delete(outside.key(1))
        assert follower.scan() == []
        if self.reads:
            with pytest.raises(ItemGone):
                follower.client.read(item)
        outside.put(outside.key(1), "again")
        assert follower.scan() == [outside.key(1)]

    def test_an_outage_is_one_error_that_names_the_source_and_loses_nothing(
        self, outside: Outside, follower: Follower
    ) -> None:
        if not self.fails:
            pytest.skip("it cannot be taken down")
        outside.put(outside.key(1), "content")
        follower.scan()
        outside.take_down()
        with pytest.raises(SourceError, match=f"source '{follower.name}'"):
            follower.scan()
        outside.bring_up()
        outside.put(outside.key(2), "content")
        assert follower.scan() == [outside.key(2)]

    def test_an_outage_is_told_and_does_not_reach_other_sources(
        self, outside: Outside, make_location: Callable[..., Location]
    ) -> None:
        if not self.fails:
            pytest.skip("it cannot be taken down")

        @source("contract_neighbour")
        def neighbour(context: ScanContext) -> Iterator[Item]:  # noqa: ARG001
            yield Item(key="a", version="1")

        @sensor_asset(neighbour)
        def healthy(batch: Batch) -> None: ...

        @sensor_asset(outside.source())
        def sick(batch: Batch) -> None: ...

        outside.put(outside.key(1), "content")
        outside.take_down()
        location = make_location([healthy, sick], settings=outside.settings)
        tick = location.evaluate()
        assert [request.asset_selection for request in tick.run_requests] == [[healthy.key]]
        [told] = [event for event in tick.asset_events if isinstance(event, dg.AssetCheckEvaluation)]
        assert (told.check_name, told.passed) == (HEALTH_CHECK, False)
        outside.bring_up()
        location.settle()
        assert location.status()[sick.key.to_user_string()]["done"] == 1
