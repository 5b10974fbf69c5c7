"""A store, a page map and a ledger in memory, and random histories of what happens to them.

The store shows its lines in the order of the bytes of their keys. After every step of a walk the model compares what
the store held with what was recorded: a version whose range was listed is recorded, once.
"""

from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from random import Random
from unittest.mock import patch

from sensor_assets._listing import walk as walk_module
from sensor_assets._listing.answers import Entry, Lines, Piece, Remaining, forever
from sensor_assets._listing.scan import KeyRange, Plan, Position, Scan
from sensor_assets._listing.walk import Step
from sensor_assets._pages import ListingPage, Relisting, order

# Also what UTF-16 sorts otherwise, what JSON in Postgres refuses, and a byte that is no UTF-8.
LETTERS = ("a", "b", "c", "\0", "\uffff", "\U0001f600", "\udc80")


class ViolationError(AssertionError):
    """The walk broke its promise."""


@dataclass
class Store:
    """Lines by key: one of a plain store, several of a store with versions, oldest first."""

    keeps_versions: bool
    lines: dict[str, list[Entry]] = field(default_factory=dict[str, list[Entry]])
    written: int = 0
    listed: tuple[list[Entry], list[bytes]] | None = None

    def put(self, key: str) -> None:
        self.written += 1
        self.listed = None
        line = Entry(key, str(self.written), 1, None)
        self.lines[key] = [*self.lines.get(key, []), line] if self.keeps_versions else [line]

    def delete(self, key: str) -> None:
        self.listed = None
        if self.keeps_versions:
            self.lines[key] = [*self.lines[key], Entry(key, None, 0, None)]
        else:
            del self.lines[key]

    def purge(self, key: str, random: Random) -> None:
        """Remove one line for good."""
        self.listed = None
        self.lines[key].pop(random.randrange(len(self.lines[key])))
        if not self.lines[key]:
            del self.lines[key]

    def all(self) -> tuple[list[Entry], list[bytes]]:
        """Return the lines in order, and what each is sorted by."""
        if self.listed is None:
            lines = [line for key in sorted(self.lines, key=order) for line in self.lines[key]]
            self.listed = lines, [order(line.key) for line in lines]
        return self.listed


@dataclass(frozen=True)
class Answer:
    """A part of the listing."""

    entries: list[Entry]
    complete: bool

    @property
    def keys(self) -> int:
        return len(self.entries)

    @property
    def digest(self) -> bytes:
        return hash_of(self.entries)

    def lines(self) -> Lines:
        return Lines.of(self.entries)


def hash_of(lines: Sequence[Entry]) -> bytes:
    return hash(tuple((line.key, line.version) for line in lines)).to_bytes(8, "big", signed=True)


@dataclass
class StoreLister:
    """Lists the store; `tells_the_end` as S3 does, or only by answering less than was asked for."""

    store: Store
    page_keys: int
    tells_the_end: bool
    calls: int = 0
    between: Callable[[], None] = lambda: None
    unseen: Sequence[str] = ()

    def begin(self, remaining: Remaining = forever) -> None:
        """Every answer is fresh."""

    def list(self, after: str | None, limit: int) -> Answer:
        self.between()
        self.calls += 1
        lines, keys = self.store.all()
        start = 0 if after is None else bisect_right(keys, order(after))
        stop = min(start + limit, len(lines))
        while start < stop < len(lines) and lines[stop].key == lines[stop - 1].key:
            stop += 1
        complete = stop == len(lines) if self.tells_the_end else stop - start < limit
        return Answer(lines[start:stop], complete)

    def digest(self, pieces: Sequence[Piece[Answer]]) -> bytes:
        return hash_of([line for piece in pieces for line in piece.listed.entries[piece.start : piece.stop]])


@dataclass
class MemoryPages:
    """A page map as the ledger keeps it."""

    pages: list[ListingPage] = field(default_factory=list[ListingPage])

    def after(self, key: str | None, limit: int) -> Sequence[ListingPage]:
        return [page for page in self.pages if key is None or order(page.last) > order(key)][:limit]

    def before(self, key: str | None, limit: int) -> Sequence[ListingPage]:
        return [page for page in self.pages if key is None or order(page.last) < order(key)][-limit:]

    def doubtful(self) -> Sequence[str]:
        return [page.last for page in self.pages if not page.digest]

    def replace(self, relisting: Relisting) -> None:
        after, until = relisting.after, relisting.until
        kept = [
            page
            for page in self.pages
            if (after is not None and order(page.last) <= order(after))
            or (until is not None and order(page.last) > order(until))
        ]
        self.pages = sorted([*kept, *relisting.pages], key=lambda page: order(page.last))
        if len({page.last for page in self.pages}) < len(self.pages):
            raise ViolationError("two pages end with the same key")


class World:
    """A store, what is remembered of it, and what was recorded."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.store = Store(keeps_versions=random.random() < 0.3)
        self.pages = MemoryPages()
        self.lister = StoreLister(self.store, random.randint(1, 7), tells_the_end=random.random() < 0.5)
        self.recorded: Counter[tuple[str, str]] = Counter()
        self.newest: dict[str, str] = {}
        self.position = Position()
        self.window = self._ranges()

    def _ranges(self) -> list[KeyRange]:
        bounds = sorted({self._key() for _ in range(self.random.randint(1, 4))}, key=order)
        ranges = [KeyRange(start, stop) for start, stop in zip(bounds[:-1:2], bounds[1::2], strict=False)]
        return self.random.choice([ranges, [KeyRange(bounds[-1], None)], [*ranges[:1], KeyRange(bounds[-1], None)]])

    def _key(self) -> str:
        return "".join(self.random.choice(LETTERS) for _ in range(self.random.randint(1, 3)))

    def change(self) -> None:
        """Let somebody write or delete something; where a page ends or a window begins is met more often."""
        random, keys = self.random, list(self.store.lines)
        lasts = [page.last for page in self.pages.pages if page.last in self.store.lines]
        what = random.random()
        if not keys or what < 0.45:
            self.store.put(self._key())
        elif what < 0.5 and self.window:
            self.store.put(random.choice(self.window).start)
        elif what < 0.65:
            self.store.put(random.choice(keys))
        elif what < 0.9:
            self.store.delete(random.choice(lasts or keys))
        else:
            self.store.purge(random.choice(keys), random)

    # --- scans

    def scan(self, plan: Plan, *, steps: int | None = None, changing: float = 0.0, dying: float = 0.0) -> None:
        """Scan and record, everything or some steps; the scan may die before it records what it has seen."""
        scan = Scan(self.lister, self.pages, plan, Position.load(self.position.dump(), ""))
        for number, step in enumerate(scan.steps(), start=1):
            if self.random.random() < dying:
                return
            self.record(step)
            self.position = scan.position
            if number == steps:
                return
            if self.random.random() < changing:
                self.change()
        self.position = scan.position

    def look(self, keys: Sequence[str]) -> None:
        """Look at the pages of some keys, as after an event."""
        for step in Scan(self.lister, self.pages, Plan(), self.position).look(keys):
            self.record(step)

    def record(self, step: Step) -> None:
        if step.relisting is None:
            if step.lines:
                raise ViolationError("what is unchanged has nothing to record")
            return
        for entry in step.lines:
            if entry.version is None:
                continue
            identity = (entry.key, entry.version)
            new = (
                identity not in self.recorded
                if self.store.keeps_versions
                else self.newest.get(entry.key) != entry.version
            )
            if new:
                self.recorded[identity] += 1
                self.newest[entry.key] = entry.version
        self.pages.replace(step.relisting)

    # --- promises

    def must_know(self, start: str | None = None, stop: str | None = None) -> None:
        """Every version that the store holds in a range is recorded, and none twice."""
        for line in self.store.all()[0]:
            inside = (start is None or order(line.key) >= order(start)) and (
                stop is None or order(line.key) < order(stop)
            )
            if inside and line.version is not None and (line.key, line.version) not in self.recorded:
                raise ViolationError(f"{line} was not recorded")
        if twice := [identity for identity, number in self.recorded.items() if number > 1]:
            raise ViolationError(f"{twice} were recorded twice")

    def knows_all(self) -> bool:
        """Tell whether every version that the store holds is recorded."""
        lines = self.store.all()[0]
        return all(line.version is None or (line.key, line.version) in self.recorded for line in lines)

    def must_be_mapped(self) -> None:
        """The map says of every page what the store would answer."""
        lines, first = self.store.all()[0], 0
        for page in self.pages.pages:
            part = lines[first : first + page.keys]
            if not part or part[-1].key != page.last or hash_of(part) != page.digest:
                raise ViolationError(f"{page} is not what the store holds")
            first += page.keys
        if first != len(lines):
            raise ViolationError("the map does not end where the store ends")

    def must_be_idle(self) -> None:
        """Where nothing changed, nothing is listed anew and no page is asked for twice."""
        calls = self.lister.calls
        for step in Scan(self.lister, self.pages, Plan(), Position(swept=True)).steps():
            if step.relisting is not None or step.lines:
                raise ViolationError("something was new on an idle pass")
        if self.lister.calls - calls > len(self.pages.pages) + 1:
            raise ViolationError("an idle pass asked more often than there are pages")


def play(seed: int) -> int:
    """Play one history; returns the number of versions that were recorded.

    Raises:
        ViolationError: The promise was broken.
    """
    random = Random(seed)
    # In most histories no listing is long enough that its parts are handed over before the end is in sight.
    with patch.object(walk_module, "MOST_ANSWERS", random.choice([1, 2, 3, 10])):
        return _play(World(random), random)


def _play(world: World, random: Random) -> int:
    world.lister.between = lambda: world.change() if random.random() < busy else None
    busy = 0.0
    plans = [Plan(), Plan(sweep=1), Plan(window=world.window, sweep=random.randint(1, 3)), Plan(tail=True, sweep=1)]
    plan = random.choice(plans)
    for _ in range(random.randint(3, 10)):
        for _ in range(random.randint(0, 8)):
            world.change()
        what = random.random()
        if what < 0.15:
            keys = random.sample(sorted(world.store.lines), min(len(world.store.lines), 3))
            world.look(keys)
            for key in keys:
                world.must_know(key, key + "\0")
        elif what < 0.55:
            world.scan(plan, steps=random.choice([1, 2, 3, None]), changing=random.choice([0, 0.5]), dying=0.1)
        elif what < 0.65:
            busy = 0.3  # somebody writes while a changed page is being listed
            world.scan(plan)
            busy = 0.0
        else:
            before = world.position
            world.scan(plan)
            for start, stop in plan.window if before.window is None else ():
                world.must_know(start, stop)
            if plan.sweep is None and before.sweep is None:
                world.must_know()
                world.must_be_mapped()
    settle(world, plan, random)
    return sum(world.recorded.values())


def settle(world: World, plan: Plan, random: Random) -> None:
    """When nothing changes any more, scans that stop after a step or two still get through everything."""
    pace = random.choice([1, 2, None])
    lines = len(world.store.all()[0]) + 2
    # With one step a scan, every page of the sweep waits until the window was gone through.
    for _ in range(lines * lines):
        if world.knows_all():
            break
        world.scan(plan, steps=pace)
    world.must_know()
    world.scan(Plan())
    world.scan(Plan())
    world.must_know()
    world.must_be_mapped()
    world.must_be_idle()


def histories(seed: int, number: int) -> Iterator[int]:
    """Play histories; the seed of one that fails is in the error.

    Raises:
        ViolationError: The promise was broken.
    """
    for index in range(number):
        try:
            yield play(seed + index)
        except Exception as error:
            raise ViolationError(f"history {seed + index}: {type(error).__name__}: {error}") from error
