"""Histories: what may happen to the world, the daemon and the runs, drawn by hypothesis and played in a simulation."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from hypothesis import strategies as st
from sensor_assets.ledger._quarantine import release
from sensor_assets.ledger._selection import Selection

from .protocol_simulation import KEYS, POISONED, Moment, Simulation


@dataclass(frozen=True)
class Put:
    """A thing appears or is overwritten, perhaps with what it was before."""

    key: str
    content: str

    def play(self, simulation: Simulation) -> None:
        simulation.world.put(self.key, self.content)


@dataclass(frozen=True)
class Delete:
    """A thing disappears."""

    key: str

    def play(self, simulation: Simulation) -> None:
        simulation.world.delete(self.key)


@dataclass(frozen=True)
class Darkness:
    """The world cannot be read, or can be again."""

    begins: bool

    def play(self, simulation: Simulation) -> None:
        simulation.world.sick = self.begins


@dataclass(frozen=True)
class Tick:
    """The daemon evaluates; its answer is taken, lost or half taken, or it is killed before a ledger call."""

    fate: str = "taken"
    killed_at: Moment = 0

    def play(self, simulation: Simulation) -> None:
        simulation.tick(self.fate, killed_at=self.killed_at)


@dataclass(frozen=True)
class LateTick:
    """An evaluation stands still while other things happen, then goes on though Dagster has given it up."""

    paused_at: Moment
    meanwhile: tuple["Event", ...]

    def play(self, simulation: Simulation) -> None:
        simulation.late_tick(self.paused_at, all_of(self.meanwhile, simulation))


@dataclass(frozen=True)
class Execute:
    """A queued run is executed."""

    which: int
    fate: str = "succeeds"
    killed_at: int = 0
    meanwhile: tuple["Event", ...] = ()

    def play(self, simulation: Simulation) -> None:
        if queue := simulation.queue:
            meanwhile = all_of(self.meanwhile, simulation)
            simulation.run(queue[self.which % len(queue)], self.fate, killed_at=self.killed_at, meanwhile=meanwhile)


@dataclass(frozen=True)
class Purge:
    """A run is deleted from Dagster; what it was doing may go on later."""

    which: int
    lives_on: bool

    def play(self, simulation: Simulation) -> None:
        if runs := list(simulation.runs.values()):
            simulation.purge(runs[self.which % len(runs)], lives_on=self.lives_on)


@dataclass(frozen=True)
class Ghost:
    """A run that Dagster no longer knows is executed."""

    def play(self, simulation: Simulation) -> None:
        if simulation.ghosts:
            simulation.run(simulation.ghosts.pop(0))


@dataclass(frozen=True)
class Cursor:
    """The cursor is set back by so many ticks, or to nothing."""

    back: int | None

    def play(self, simulation: Simulation) -> None:
        known = simulation.cursors
        simulation.cursor = None if self.back is None else known[max(len(known) - 1 - self.back, 0)]


class Playable(Protocol):
    """Something that may happen."""

    def play(self, simulation: Simulation) -> None: ...


@dataclass(frozen=True)
class Reexecute:
    """A person executes a run that succeeded once more."""

    which: int

    def play(self, simulation: Simulation) -> None:
        simulation.reexecute(self.which)


@dataclass(frozen=True)
class LaunchByHand:
    """A person launches an asset, or one day of it."""

    outlet: int
    day: str = "2013-01-02"

    def play(self, simulation: Simulation) -> None:
        simulation.launch_by_hand(self.outlet, self.day)


@dataclass(frozen=True)
class Deploy:
    """New code can work with what is poisoned, or cannot; then the logs reject it or fail."""

    cures: bool = False
    rejects: bool = False

    def play(self, simulation: Simulation) -> None:
        simulation.cured = self.cures
        simulation.logs_reject = self.rejects


@dataclass(frozen=True)
class Replay:
    """A person lets everything be processed again, or what holds a key."""

    key: str | None = None

    def play(self, simulation: Simulation) -> None:
        for consumer in _registered(simulation):
            simulation.operations().replay(Selection(consumer=consumer, key=self.key))


@dataclass(frozen=True)
class Release:
    """A person releases all that is in quarantine."""

    def play(self, simulation: Simulation) -> None:
        for consumer in _registered(simulation):
            release(simulation.operations(), Selection(consumer=consumer))


@dataclass(frozen=True)
class Rebuild:
    """A person lets all partitions be written anew, and lets what waits for its next attempt be tried now."""

    def play(self, simulation: Simulation) -> None:
        for consumer in _registered(simulation):
            simulation.operations().rebuild(consumer, route=None, partitions=())
            simulation.operations().retry(Selection(consumer=consumer))


def _registered(simulation: Simulation) -> list[str]:
    """Return the consumers that the ledger has met."""
    names = {row["consumer"] for row in simulation.ledger.status()}
    return [consumer.name for consumer in simulation.consumers if consumer.name in names]


Event = (
    Put
    | Delete
    | Darkness
    | Tick
    | LateTick
    | Execute
    | Purge
    | Ghost
    | Cursor
    | Reexecute
    | LaunchByHand
    | Deploy
    | Replay
    | Release
    | Rebuild
)

A, B, BAD, C = "2013-01-02/a", "2013-01-01/b", POISONED, "2013-01-03/c"

# Short histories of which each has caught something; they are played before any that are drawn.
KNOWN: dict[str, tuple[Event, ...]] = {
    "one thing": (Put(A, "A"), Tick(), Execute(0)),
    "a thing returns to what it was": (Put(A, "A"), Tick(), Execute(0), Put(A, "B"), Tick(), Put(A, "A"), Tick()),
    "a thing is overwritten before its run": (Put(A, "A"), Put(B, "A"), Tick(), Put(A, "B"), Execute(0), Execute(1)),
    "a thing is overwritten again and again": tuple(
        Put(A, c) if c else Tick() for c in ("A", "", "B", "", "A", "", "B")
    ),
    "an answer is lost": (Put(A, "A"), Tick("lost"), Tick(), Execute(0)),
    "an answer is half taken": (Put(A, "A"), Put(B, "A"), Put(C, "A"), Tick("half"), Execute(0), Tick()),
    "the daemon is killed after the scan": (Put(A, "A"), Tick(killed_at="end_scans"), Tick(), Execute(0)),
    "the daemon is killed before the emission": (Put(A, "A"), Tick(killed_at="emit"), Tick(), Execute(0)),
    "the cursor is lost": (Put(A, "A"), Tick(), Execute(0), Cursor(None), Put(B, "A"), Tick(), Tick()),
    "a late scan sees what is gone": (Put(A, "A"), LateTick("record", (Put(A, "B"), Tick()))),
    "a late settlement meets a batch that is done": (
        Put(A, "A"),
        Tick(),
        Execute(0, "raises"),
        LateTick("settle", (Tick(), Tick(), Execute(0))),
        Tick(),
    ),
    "a run vanishes": (Put(A, "A"), Tick(), Purge(0, lives_on=False), Tick(), Execute(0)),
    "a vanished run works after all": (Put(A, "A"), Tick(), Purge(0, lives_on=True), Tick(), Execute(0), Ghost()),
    "a run fails": (Put(A, "A"), Tick(), Execute(0, "raises"), Tick(), Tick()),
    "a run is killed before its effect": (Put(A, "A"), Tick(), Execute(0, "killed before"), Tick()),
    "a run is killed between two partitions": (Put(A, "A"), Put(B, "A"), Tick(), Execute(0, "killed midway")),
    "runs are killed after their effect": (Put(A, "A"), Put(B, "A"), Tick(), *2 * (Execute(0, "killed after"),)),
    "a run works while the world goes on": (Put(A, "A"), Tick(), Execute(0, meanwhile=(Put(A, "B"), Tick()))),
    "poison among sound items": (Put(BAD, "A"), Put(B, "A"), Put(C, "A"), Tick(), Execute(0), Execute(0), Tick()),
    "poison is met again": (Put(BAD, "A"), Tick(), Execute(0), Put(A, "A"), Tick(), Execute(0)),
    "poison is overwritten": (Put(BAD, "A"), Put(B, "A"), Tick(), Execute(0), Put(BAD, "B"), Tick(), Execute(0)),
    "the world is dark for a while": (Put(A, "A"), Darkness(begins=True), Tick(), Put(A, "B"), Tick(), Tick()),
    "a thing is deleted before its run": (Put(A, "A"), Put(B, "A"), Tick(), Delete(A), Execute(0), Execute(0)),
    "all is replayed": (Put(A, "A"), Put(B, "A"), Tick(), *2 * (Execute(0),), Tick(), Replay(), Tick(), Execute(0)),
    "a replay is replayed": (Put(A, "A"), Put(B, "A"), *5 * (Tick(), *3 * (Execute(0),), Replay())),
    "a replay of what was overwritten": (
        *(Put(A, "A"), Put(B, "A"), Tick(), *3 * (Execute(0),), Put(A, "B"), Replay()),
        *(Tick(), *3 * (Execute(0),), Replay(A), Tick()),
    ),
    "a replay meets an open batch": (
        *(Put(A, "A"), Put(B, "A"), Tick(), *3 * (Execute(0),), Put(A, "B"), Put(C, "A"), Tick()),
        *(Replay(), Execute(0), Replay(), Tick()),
    ),
    "a run is executed again after its replay": (
        *(Put(B, "A"), Put(C, "A"), Tick(), *3 * (Execute(0),), Tick(), Replay(), Reexecute(0), Reexecute(1)),
        *(Tick(), *3 * (Execute(0),), *(Reexecute(which) for which in range(6))),
    ),
    "a replay fails and is halved": (
        *(Put(B, "A"), Put(C, "A"), Tick(), *3 * (Execute(0),), Tick(), Replay()),
        *6 * (Tick(), Execute(0, "raises"), Execute(0, "raises")),
    ),
    "poison is released": (Put(BAD, "A"), Put(B, "A"), *12 * (Tick(), *3 * (Execute(0),)), Release(), Tick()),
    "poison is released and replayed": (
        *(Put(BAD, "A"), Put(A, "A"), *12 * (Tick(), *3 * (Execute(0),)), Release(), Replay(), Tick()),
        *(Execute(0), Release(), Replay(), *4 * (Tick(), *3 * (Execute(0),)), Release()),
    ),
    "poison is released and then sound": (
        *(Put(BAD, "A"), Put(B, "A"), *12 * (Tick(), *3 * (Execute(0),)), Release(), Put(BAD, "B"), Tick()),
    ),
    "what was rejected is released to code that can work with it": (
        *(Deploy(rejects=True), Put(BAD, "A"), Put(B, "A"), Put(C, "A"), *3 * (Tick(), *3 * (Execute(0),))),
        *(Deploy(cures=True), Release(), Tick()),
        *(Release(), Replay(), *3 * (Tick(), *3 * (Execute(0),)), Replay(), Reexecute(0), Reexecute(1), Reexecute(2)),
    ),
    "what was given up is released to code that can work with it": (
        *(Put(BAD, "A"), Put(B, "A"), *12 * (Tick(), *3 * (Execute(0),)), Deploy(cures=True), Replay(), Tick()),
        *(Execute(0), Release(), Replay(), *2 * (Tick(), *3 * (Execute(0),)), Replay(), Reexecute(0)),
    ),
    "what code could work with once is given up, then released to code that can again": (
        *(Deploy(cures=True), Put(BAD, "A"), *5 * (Tick(), *3 * (Execute(0),)), Deploy(), Replay()),
        *(*24 * (Tick(), *3 * (Execute(0),)), Deploy(cures=True), Release(), *3 * (Tick(), *3 * (Execute(0),))),
    ),
    "days are launched by hand and rebuilt": (
        *(Put(A, "A"), Put(BAD, "A"), Tick(), LaunchByHand(0), *3 * (Execute(0),), Rebuild(), Tick()),
        *(LaunchByHand(0), Execute(0), Put(A, "B"), Rebuild(), Rebuild(), Tick()),
    ),
    "logs are launched by hand": (
        *(Put(A, "A"), Put(B, "A"), Tick(), LaunchByHand(1), *3 * (Execute(0),), LaunchByHand(1), LaunchByHand(2)),
        *(Tick(), LaunchByHand(2), *3 * (Execute(0),), Rebuild(), Tick()),
    ),
    "poison that was met by hand is released before the monitor comes to it": (
        *(Put(A, "A"), Tick(), Execute(0), Put(BAD, "A"), Tick(killed_at="emit"), LaunchByHand(0), Release(), Tick()),
        *(Execute(0), Execute(0)),
    ),
    "poison that was met by hand is released while its batch is launched": (
        *(Put(BAD, "A"), Put(A, "A"), Tick(), LaunchByHand(0), Release(), Tick(), *3 * (Execute(0),), Release()),
        *(Tick(), *3 * (Execute(0),)),
    ),
    "many things": tuple(Put(f"2013-01-0{day}/{name}", "A") for day in (1, 2, 3, 4) for name in "abcde"),
}


def all_of(events: Sequence[Event], simulation: Simulation) -> Callable[[], None]:
    """Return a function that plays events."""

    def play() -> None:
        for event in events:
            event.play(simulation)

    return play


_KEYS = st.sampled_from(KEYS)
_CHANGES = st.one_of(st.builds(Put, _KEYS, st.sampled_from("AB")), st.builds(Delete, _KEYS))
_PUTS = st.builds(Put, _KEYS, st.sampled_from("AB"))
_MEANWHILE = st.lists(st.one_of(_PUTS, st.builds(Tick), st.builds(Execute, st.integers(0, 3))), max_size=6).map(tuple)
_CHANGES_MEANWHILE = st.lists(st.one_of(_PUTS, st.builds(Tick)), max_size=3).map(tuple)
_FATES = ("succeeds", "succeeds", "raises", "will retry", "killed before", "killed midway", "killed after")

EVENTS: st.SearchStrategy[Event] = st.one_of(
    _PUTS,
    _PUTS,
    _PUTS,
    _CHANGES,
    st.builds(Tick),
    st.builds(Tick),
    st.builds(Tick),
    st.builds(Tick, st.sampled_from(["lost", "half"])),
    st.builds(Tick, killed_at=st.integers(2, 12)),
    st.builds(LateTick, st.integers(2, 10), _MEANWHILE),
    st.builds(Execute, st.integers(0, 3)),
    st.builds(Execute, st.integers(0, 3), st.sampled_from(_FATES), meanwhile=_CHANGES_MEANWHILE),
    st.builds(Execute, st.integers(0, 3), killed_at=st.integers(1, 8)),
    st.builds(Purge, st.integers(0, 9), st.booleans()),
    st.just(Ghost()),
    st.builds(Darkness, st.sampled_from([False, False, True])),
    st.builds(Cursor, st.sampled_from([None, 1, 2, 3])),
)
OPERATIONS: st.SearchStrategy[Event] = st.one_of(
    st.builds(Replay),
    st.builds(Replay, st.sampled_from(KEYS)),
    st.just(Release()),
    st.just(Rebuild()),
    st.builds(Deploy, st.booleans(), st.booleans()),
    st.builds(Reexecute, st.integers(0, 9)),
)
_LAUNCHES = st.builds(LaunchByHand, st.integers(0, 2), st.sampled_from(["2013-01-01", "2013-01-02"]))
# Long from the start: a fault tells something only where there is work that it can disturb.
HISTORIES = st.lists(EVENTS, min_size=25, max_size=50)
OPERATED = st.lists(st.one_of(EVENTS, st.one_of(OPERATIONS, _LAUNCHES)), min_size=25, max_size=50)


def play(history: Sequence[Playable], simulation: Simulation) -> None:
    """Play a history, let everything come to rest, and check what is there then."""
    for event in history:
        event.play(simulation)
    simulation.drain()
    simulation.check()
