"""Collects the steps of a walk into pages of a bounded size, each with the position that belongs to it."""

from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate, chain
from time import monotonic
from typing import Any

from sensor_assets._columns import Columns
from sensor_assets._listing.answers import Lines
from sensor_assets._listing.walk import Step
from sensor_assets._pages import Relisting
from sensor_assets._sources.base import Page

MOST_ITEMS = 10_000
# However little there is to record, the evaluation may want to stop.
MOST_SECONDS = 1.0


class Collector:
    """Holds what is to be recorded next."""

    def __init__(self, items_of: Callable[[Lines], Columns], position: Any) -> None:
        self._items_of = items_of
        self._items: list[Columns] = []
        self._relisting: Relisting | None = None
        self._position = position
        self._recorded = position
        self._since = monotonic()
        self._missed = 0

    def add(self, step: Step, position: Any, missed: int = 0) -> Iterator[Page]:
        """Take a step, and yield the pages that are full; of its items so many are new that were not announced."""
        if step.relisting is not None:
            joined = _joined(self._relisting, step.relisting)
            if joined is None:
                yield self._page()
                joined = step.relisting
            self._relisting = joined
            self._items.append(self._items_of(step.lines))
        self._position = position
        self._missed += missed
        if sum(map(len, self._items)) >= MOST_ITEMS or monotonic() - self._since > MOST_SECONDS:
            yield self._page()

    def rest(self, position: Any = None, acknowledge: Callable[[], None] | None = None) -> Iterator[Page]:
        """Yield a page with what is left, if there is anything to say."""
        self._position = self._position if position is None else position
        if self._items or self._relisting or acknowledge or self._position != self._recorded:
            yield self._page(acknowledge)

    def _page(self, acknowledge: Callable[[], None] | None = None) -> Page:
        page = Page(
            items=_together(self._items),
            position=self._position,
            relisting=self._relisting,
            acknowledge=acknowledge,
            missed=self._missed,
        )
        self._items, self._relisting, self._recorded, self._since = [], None, self._position, monotonic()
        self._missed = 0
        return page


def _together(parts: Sequence[Columns]) -> Sequence[Any]:
    """Return the items of several stretches of a listing as one."""
    if len(parts) < 2:  # noqa: PLR2004 - there is nothing to put together
        return parts[0] if parts else ()
    begins = accumulate((len(part) for part in parts), initial=0)
    return Columns(
        keys=list(chain.from_iterable(part.keys for part in parts)),
        versions=list(chain.from_iterable(part.versions for part in parts)),
        sizes=list(chain.from_iterable(part.sizes for part in parts)),
        modified=list(chain.from_iterable(part.modified for part in parts)),
        partitions=list(chain.from_iterable(part.partitions for part in parts)),
        metadata={
            begin + place: metadata
            for begin, part in zip(begins, parts, strict=False)
            for place, metadata in part.metadata.items()
        },
        source=parts[0].source,
    )


def _joined(before: Relisting | None, after: Relisting) -> Relisting | None:
    """Return two stretches as one; None when there is something between them."""
    if before is None:
        return after
    if after.after != (before.pages[-1].last if before.pages else before.after):
        return None
    return Relisting(after=before.after, until=after.until, pages=[*before.pages, *after.pages])
