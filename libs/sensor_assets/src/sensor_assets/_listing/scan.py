"""One scan of a listing: the pages that may have changed first, then a slice of a sweep that goes through all of them.

The sweep is what the promise rests on: it reaches every page in a bounded number of scans, whatever the window, an
event or a producer's naming got wrong. It goes on in the next scan where this one stopped.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple, Self
from urllib.parse import quote, unquote

from sensor_assets._listing.answers import Lister
from sensor_assets._listing.walk import Step, walk
from sensor_assets._pages import PageMap, order, text


class KeyRange(NamedTuple):
    """Keys from `start` (inclusive) to `stop` (exclusive); to the end of the listing without it."""

    start: str
    stop: str | None


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a scan looks at.

    Args:
        window: Ranges that every scan looks at, in order of key.
        tail: Whether every scan looks at the end of the listing.
        sweep: LIST calls of a slice of the sweep; None to go through everything in every scan.
    """

    window: Sequence[KeyRange] = ()
    tail: bool = False
    sweep: int | None = None


@dataclass(frozen=True, kw_only=True)
class Position:
    """Where a scan stopped; recorded with the pages up to there.

    Args:
        of: Fingerprint of what decides which objects are items; with another one everything is looked at again.
        swept: Whether a sweep has gone through everything.
        turn: What is looked at next.
        window: Key that the window reached, when it was interrupted.
        sweep: Key that the sweep reached, unless it is at the beginning.
        missed: Versions that no event announced, found while events were on.
    """

    of: str = ""
    swept: bool = False
    turn: Literal["window", "sweep"] = "window"
    window: str | None = None
    sweep: str | None = None
    missed: int = 0

    @classmethod
    def load(cls, document: Any, of: str) -> Self:
        """Read a position; anything that is none of this version, or of another fingerprint, is the beginning."""
        match document:
            case {"of": found, "swept": bool(swept), "turn": "window" | "sweep" as turn, "missed": int(missed), **rest}:
                if found != of:
                    return cls(of=of, missed=missed)
                window, sweep = rest.get("window"), rest.get("sweep")
                return cls(
                    of=of,
                    swept=swept,
                    turn=turn,
                    window=_key(window) if isinstance(window, str) else None,
                    sweep=_key(sweep) if isinstance(sweep, str) else None,
                    missed=missed,
                )
            case _:
                return cls(of=of)

    def dump(self) -> dict[str, Any]:
        """Write the position as JSON; keys are quoted, because JSON in Postgres holds no NUL."""
        document: dict[str, Any] = {"of": self.of, "swept": self.swept, "turn": self.turn, "missed": self.missed}
        if self.window is not None:
            document["window"] = _quoted(self.window)
        if self.sweep is not None:
            document["sweep"] = _quoted(self.sweep)
        return document


class Scan:
    """One scan; `position` is always the one that belongs to the steps yielded so far."""

    def __init__(self, lister: Lister[Any], pages: PageMap, plan: Plan, position: Position) -> None:
        self.position = position
        self._lister = lister
        self._pages = pages
        self._plan = plan

    def look(self, keys: Iterable[str]) -> Iterator[Step]:
        """Walk through the pages that hold, or would hold, these keys."""
        covered: str | None = ""
        for key in sorted(keys, key=order):
            if covered and order(key) <= order(covered):
                continue
            for step in walk(self._lister, self._pages, key, _next(key)):
                yield step
                covered = step.reached
            if covered is None:
                return

    def steps(self) -> Iterator[Step]:
        """Walk through the window and then a slice of the sweep.

        It is the other way around when the last scan had no time left for the sweep.
        """
        sweep_first = self.position.turn == "sweep"
        if sweep_first:
            yield from self._sweep()
        yield from self._look_at_window()
        if not sweep_first:
            yield from self._sweep()
        self._at(turn="window")

    def _look_at_window(self) -> Iterator[Step]:
        # Before everything was gone through once, the window begins where it begins: to go back to the end of what is
        # remembered would be to go through everything first.
        gap = not self.position.swept
        reached = self.position.window
        ranges = self._ranges()
        for start, stop in ranges:
            if reached is not None and stop is not None and order(reached) >= order(stop):
                continue
            first = _first(start, reached, gap=gap)
            for step in walk(self._lister, self._pages, first, stop, gap=gap):
                reached = step.reached
                over = reached is None or ((start, stop) == ranges[-1] and _over(step, stop))
                self._at(window=None if over else reached, turn="sweep" if over else "window")
                yield step
            if reached is None:
                break
        self._at(window=None, turn="sweep")

    def _ranges(self) -> Sequence[KeyRange]:
        if self._plan.tail and self.position.swept and (last := self._pages.before(None, 1)):
            return [KeyRange(_next(last[0].last), None)]
        return self._plan.window

    def _sweep(self) -> Iterator[Step]:
        # What the window covers to the end is looked at by every scan.
        stop = self._plan.window[0].start if [r.stop for r in self._plan.window] == [None] else None
        limit = self._plan.sweep if self.position.swept else None
        calls = self._lister.calls
        start = None if self.position.sweep is None else _next(self.position.sweep)
        if gap := not self.position.swept:
            # The window cuts the last page anew meanwhile: to go back to its beginning, as a walk does to a page that
            # has room, would be to go through it again and again when there is time for one page only.
            start = self.position.sweep
        for step in walk(self._lister, self._pages, start, stop, gap=gap):
            over = _over(step, stop)
            self._at(sweep=None if over else step.reached, swept=over or self.position.swept, turn="window")
            yield step
            if over or (limit is not None and self._lister.calls - calls >= limit):
                return

    def _at(self, **changes: Any) -> None:
        self.position = replace(self.position, **changes)


def _over(step: Step, stop: str | None) -> bool:
    return step.reached is None or (stop is not None and order(step.reached) >= order(stop))


def _first(start: str, reached: str | None, *, gap: bool) -> str | None:
    """Return where to begin with a range, or to go on with it."""
    first = _below(start) if gap else start
    if reached is None:
        return first
    # A page may end between the key below a range and its start: that, too, is something reached, or a scan that has
    # time for one page only would never get further.
    resumed = reached if gap else _next(reached)
    return resumed if first is None or order(resumed) > order(first) else first


def _below(key: str) -> str | None:
    """Return a key that comes before one, with few others between them; None for the beginning.

    A store begins to list after the key that it is given.
    """
    if key[-1:] in ("", "\0"):
        return key[:-1] or None
    if "\ud800" <= key[-1] <= "\ue000":  # a byte that is no UTF-8, or what follows those
        return text(order(key)[:-1] + bytes([order(key)[-1] - 1]))
    return f"{key[:-1]}{chr(ord(key[-1]) - 1)}~"


def _next(key: str) -> str:
    """Return the least key that is greater."""
    return key + "\0"


def _quoted(key: str) -> str:
    return quote(key, safe="/", errors="surrogateescape")


def _key(quoted: str) -> str:
    return unquote(quoted, errors="surrogateescape")
