"""What recording a page means, said as simply as possible, and pages that hypothesis draws."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from hypothesis import strategies as st
from sensor_assets import Item

KEYS = (*"abcdefgh", "ä", "z/1", "z/2")
_MODIFIED = datetime(2013, 1, 1, tzinfo=UTC)
ETAG = '"d41d8cd98f00b204e9800998ecf8427e"'

ITEMS = st.builds(
    Item,
    key=st.sampled_from(KEYS),
    version=st.sampled_from(["1", "2", ETAG]),
    size=st.integers(0, 2**40),
    modified=st.one_of(st.none(), st.integers(0, 10**6).map(lambda seconds: _MODIFIED + timedelta(seconds=seconds))),
    partition=st.sampled_from([None, "2013-01-01", "2013-01-02", "north"]),
    metadata=st.sampled_from([{}, {}, {"priority": 1}]),
    source=st.just("world"),
)


@st.composite
def _listing(draw: st.DrawFn) -> list[Item]:
    """Draw a page as a store lists it: each key once, in order."""
    items = draw(st.lists(ITEMS, max_size=len(KEYS), unique_by=lambda item: item.key))
    return sorted(items, key=lambda item: item.key)


PAGES = st.one_of(_listing(), _listing(), st.lists(ITEMS, max_size=8))


@dataclass
class Log:
    """A source's log; `gone` are arrivals that a run did not find any more."""

    items: list[Item] = field(default_factory=list[Item])
    gone: set[int] = field(default_factory=set[int])

    def record(self, page: Sequence[Item]) -> int:
        """Append what is new of a page and return how much it is."""
        new = [item for place, item in enumerate(page) if self._is_new(page, place)]
        self.items += [replace(item, arrival=len(self.items) + 1 + number) for number, item in enumerate(new)]
        return len(new)

    def _is_new(self, page: Sequence[Item], place: int) -> bool:
        shown = [other for other, item in enumerate(page) if item.key == page[place].key]
        changes = [
            other
            for before, other in zip([None, *shown], shown, strict=False)
            if before is None or page[before].version != page[other].version
        ]
        known = [other for other in changes if page[other].version == self._newest(page[place].key)]
        return place in changes and (not known or place > known[-1])

    def _newest(self, key: str) -> str | None:
        recorded = [item for item in self.items if item.key == key]
        return recorded[-1].version if recorded and recorded[-1].arrival not in self.gone else None
