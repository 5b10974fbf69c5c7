"""Walk through a listing along the page map: what is unchanged costs a hash, what changed is listed and cut anew.

Whatever the map holds, it is sound: a page that is found unchanged is exactly the lines that were recorded with its
digest, and the next question begins where they end. So pages may be missing, stale or cut by another walk meanwhile;
that costs calls, never a key.
"""

from bisect import bisect_right
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from time import monotonic

from sensor_assets._listing.answers import NO_LINES, L, Lines, Listed, Lister, ListingError, Piece, in_order, joined
from sensor_assets._pages import ListingPage, PageMap, Relisting, order

# Pages that are read from the map at once.
SLICE = 50
# Answers, and seconds, after which a stretch that changed is handed over, although its end is not in sight.
MOST_ANSWERS = 10
MOST_SECONDS = 1.0


@dataclass(frozen=True, kw_only=True)
class Step:
    """What one answer told, or several about a stretch that changed.

    Args:
        reached: The listing agrees with the map up to this key; None for its end.
        relisting: What is to be remembered, when something changed.
        lines: All lines of that stretch; those that were known are among them.
    """

    reached: str | None
    relisting: Relisting | None = None
    lines: Lines = NO_LINES


def walk(
    lister: Lister[L], pages: PageMap, start: str | None = None, stop: str | None = None, *, gap: bool = False
) -> Iterator[Step]:
    """Compare the listing with the map, page by page.

    The walk begins with the page that holds `start` and ends with the one that holds the last key below `stop`. With a
    `gap`, it begins at `start`, and what lies before is left for another walk: nothing is remembered of it yet.

    Raises:
        ListingError: The store cannot be listed.
    """
    lower, remembered = (start, Remembered(pages, start, ())) if gap else _begin(pages, start, lister.page_keys)
    while True:
        page = remembered.first()
        listed = lister.list(lower, _limit(lister, remembered))
        if page is not None and _unchanged(page, listed):
            remembered.forget_through(page.last)
            step = _agreed(page, listed, remembered)
        else:
            step = _list_anew(lister, remembered, lower, listed)
        yield step
        if step.reached is None or (stop is not None and order(step.reached) >= order(stop)):
            return
        lower = _next_lower(lower, page, step)


class Remembered:
    """The pages that lie ahead, read from the map slice by slice."""

    def __init__(self, pages: PageMap, after: str | None, known: Sequence[ListingPage]) -> None:
        self._pages = pages
        self._ahead = deque(known)
        self._last = known[-1].last if known else after
        self._more = True

    def first(self) -> ListingPage | None:
        """Return the next page, or None when no more are remembered."""
        return self._ahead[0] if self._filled(1) else None

    def one_more(self) -> bool:
        """Tell whether a page follows the next one."""
        return self._filled(2)

    def forget_through(self, reached: str) -> str | None:
        """Drop the pages that end at or before a key, and return the last key of the last of them."""
        dropped = None
        while (page := self.first()) is not None and order(page.last) <= order(reached):
            dropped = self._ahead.popleft().last
        return dropped

    def _filled(self, number: int) -> bool:
        if len(self._ahead) < number and self._more:
            found = self._pages.after(self._last, SLICE)
            self._more = len(found) == SLICE
            self._ahead.extend(found)
            self._last = found[-1].last if found else self._last
        return len(self._ahead) >= number


def _begin(pages: PageMap, start: str | None, page_keys: int) -> tuple[str | None, Remembered]:
    """Return where the page that holds a key begins, and the pages from there on."""
    if start is None:
        return None, Remembered(pages, None, ())
    before = pages.before(start, 2)
    lower = before[-1].last if before else None
    remembered = Remembered(pages, lower, ())
    if remembered.first() is None and before and before[-1].keys < page_keys:
        # The key would be appended to the last page, which has room for it.
        return (before[0].last if len(before) > 1 else None), Remembered(pages, lower, before[-1:])
    return lower, remembered


def _limit(lister: Lister[L], remembered: Remembered) -> int:
    """Return how many lines to ask for: those of the page; of the last page more, so that it grows."""
    page = remembered.first()
    if page is None:
        return lister.page_keys
    return page.keys if remembered.one_more() else max(page.keys, lister.page_keys)


def _unchanged(page: ListingPage, listed: Listed) -> bool:
    return listed.digest == page.digest


def _agreed(page: ListingPage, listed: Listed, remembered: Remembered) -> Step:
    """Return the step over a page that is as it was; when nothing follows it any more, what followed is forgotten."""
    if not listed.complete:
        return Step(reached=page.last)
    if remembered.first() is None:
        return Step(reached=None)
    return Step(reached=None, relisting=Relisting(after=page.last, until=None, pages=()))


def _next_lower(lower: str | None, page: ListingPage | None, step: Step) -> str | None:
    """Return where the next page begins: at the last key that is there, which may lie before the old end."""
    if step.relisting is None:
        return page.last if page is not None else lower
    return step.relisting.pages[-1].last if step.relisting.pages else lower


def _list_anew(lister: Lister[L], remembered: Remembered, lower: str | None, first: L) -> Step:
    """List from `lower` until a remembered boundary is passed, and cut what lies before it into pages."""
    answers, parts, bound = [first], [in_order(first.lines(), lower)], None
    began = monotonic()
    while True:
        if answers[-1].complete:
            return _whole(remembered, lower, None, answers, joined(parts))
        if not answers[-1].keys:
            raise ListingError("the store answers with no keys, and that more follow")
        reached = parts[-1].keys[-1]
        bound = remembered.forget_through(reached) or bound
        enough = len(answers) >= MOST_ANSWERS or monotonic() - began > MOST_SECONDS
        if remembered.first() is None or (bound is None and enough):
            return _whole(remembered, lower, reached, answers, joined(parts))
        if bound is not None:
            lines = joined(parts)
            inside = _inside(lines.keys, bound)
            # A page that became small takes in the one after it.
            if inside * 2 >= lister.page_keys or enough:
                return _part(lister, lower, bound, answers, lines.part(0, inside))
        answers.append(lister.list(reached, lister.page_keys))
        parts.append(in_order(answers[-1].lines(), reached))


def _inside(keys: Sequence[str], bound: str) -> int:
    """Return how many keys lie at or before a boundary."""
    return bisect_right(keys, order(bound), key=order)


def _whole(
    remembered: Remembered, lower: str | None, until: str | None, answers: Sequence[Listed], lines: Lines
) -> Step:
    """Return the step over answers that are pages as they came."""
    if until is None and not lines and remembered.first() is None:
        return Step(reached=None)
    pages: list[ListingPage] = []
    stop = 0
    for listed in answers:
        stop += listed.keys
        if listed.keys:
            pages.append(ListingPage(last=lines.keys[stop - 1], keys=listed.keys, digest=listed.digest))
    return Step(reached=until, relisting=Relisting(after=lower, until=until, pages=pages), lines=lines)


def _part(lister: Lister[L], lower: str | None, until: str, answers: Sequence[L], lines: Lines) -> Step:
    """Return the step over the first lines of some answers, cut into pages of about the same size."""
    keys = lines.keys
    pages = [
        ListingPage(last=keys[stop - 1], keys=stop - start, digest=lister.digest(_pieces(answers, start, stop)))
        for start, stop in pairwise(_cuts(keys, lister.page_keys))
    ]
    return Step(reached=until, relisting=Relisting(after=lower, until=until, pages=pages), lines=lines)


def _cuts(keys: Sequence[str], page_keys: int) -> list[int]:
    """Return where pages begin and end; the lines of one key stay together."""
    number = -(-len(keys) // page_keys)
    cuts = [0]
    for page in range(1, number + 1):
        cut = max(len(keys) * page // number, cuts[-1])
        while 0 < cut < len(keys) and keys[cut] == keys[cut - 1]:
            cut += 1
        if cut > cuts[-1]:
            cuts.append(cut)
    return cuts


def _pieces(answers: Sequence[L], start: int, stop: int) -> list[Piece[L]]:
    """Return the parts of the answers that make up a page."""
    pieces: list[Piece[L]] = []
    first = 0
    for listed in answers:
        inside = (max(start - first, 0), min(stop - first, listed.keys))
        if inside[0] < inside[1]:
            pieces.append(Piece(listed, *inside))
        first += listed.keys
    return pieces
