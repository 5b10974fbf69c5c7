"""Decisions one after the other over a ledger of plain lists: what is parked comes back, and goes in the end."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from hypothesis import strategies as st
from sensor_assets import Batching, Hold, Item, Router, Send, Waiting
from sensor_assets._joins import Join
from sensor_assets._partitions import NoPartitions
from sensor_assets._policy import Policy
from sensor_assets._state import Arrival, BatchRecord, ConsumerState, Log

from .core_cases import DAYS, NOW, SOURCES, Days, new_ids, oldest, outside, settled

# As few as possible, so that histories of some arrivals pass the bounds.
LOOKS = 2
PAUSE = timedelta(seconds=10)
HOLD = 60.0

Numbered = tuple[int, int]


@dataclass(frozen=True)
class Arrive:
    """A source shows something for a day."""

    source: int
    day: str


@dataclass(frozen=True)
class Decide:
    """The consumer decides; what it launches is done before the next decision."""


@dataclass(frozen=True)
class History:
    """What arrives between decisions, and how the consumer waits."""

    kind: str
    max_items: int
    events: tuple[Arrive | Decide, ...]
    future: frozenset[str]

    @property
    def policy(self) -> Policy:
        partitions = NoPartitions() if self.kind == "whole" else Days(self.future, join=True)
        router = Router(
            outside, days_of_both, name="r", targets=("both", "late"), max_hold=HOLD, otherwise="late", max_waiting=6
        )
        return Policy(
            name="consumer",
            batching=Batching(max_items=self.max_items),
            max_in_flight=2,
            partitions=partitions,
            router=router if self.kind == "routed" else None,
            join=None
            if self.kind == "routed"
            else Join(sources=SOURCES, max_hold=HOLD if self.kind == "held" else None),
        )


def days_of_both(waiting: Waiting) -> Sequence[Send | Hold]:
    """Send the days for which both sources have something that waits."""
    sources: dict[str | None, set[str]] = {}
    for item in waiting.items:
        sources.setdefault(item.partition, set()).add(item.source)
    both = [item for item in waiting.items if len(sources[item.partition]) > 1]
    return [Send(to="both", items=both), Hold("alone")]


@st.composite
def histories(draw: st.DrawFn) -> History:
    """Draw a history; most days are shown by one source only until late."""
    arrive = st.builds(Arrive, st.integers(1, 2), st.sampled_from([*DAYS, "someday"]))
    return History(
        kind=draw(st.sampled_from(["days", "days", "held", "whole", "routed"])),
        max_items=draw(st.integers(1, 3)),
        events=tuple(draw(st.lists(st.one_of(arrive, arrive, st.just(Decide())), max_size=40))),
        future=draw(st.frozensets(st.sampled_from(DAYS), max_size=2)),
    )


@dataclass
class Consumer:
    """A consumer's place in the logs, as the ledger keeps it."""

    policy: Policy
    logs: dict[int, list[Arrival]] = field(default_factory=lambda: {1: [], 2: []})
    position: dict[int, int] = field(default_factory=lambda: {1: 0, 2: 0})
    released: dict[int, int] = field(default_factory=lambda: {1: 0, 2: 0})
    parked: dict[Numbered, Arrival] = field(default_factory=dict[Numbered, Arrival])
    open: list[BatchRecord] = field(default_factory=list[BatchRecord])
    done: Counter[Numbered] = field(default_factory=Counter[Numbered])
    shown: dict[str, frozenset[str]] = field(default_factory=dict[str, frozenset[str]])
    together: list[BatchRecord] = field(default_factory=list[BatchRecord])
    looked: str = ""
    barrier: dict[int, int] = field(default_factory=lambda: {1: 0, 2: 0})
    now: datetime = NOW

    def __post_init__(self) -> None:
        self.new_id = new_ids("batch")

    def arrive(self, source: int, day: str) -> None:
        """Append to a log."""
        number = len(self.logs[source]) + 1
        name = SOURCES[source - 1]
        item = Item(key=str(number), version="1", arrival=number, size=1, partition=day, source=name)
        self.logs[source].append(Arrival(source_id=source, item=item, seen_at=self.now))
        self.shown[day] = self.shown.get(day, frozenset()) | {name}

    def decide(self) -> bool:
        """Decide and do what was launched; tells whether anything happened."""
        self.now += PAUSE
        self._raise_the_barrier()
        waiting, more_waiting = self._look()
        pending = [a for source, log in self.logs.items() for a in log[self.position[source] :][: self.policy.limit]]
        state = ConsumerState(
            pending=tuple(pending),
            more=any(len(log) - self.position[source] > self.policy.limit for source, log in self.logs.items()),
            open=tuple(self.open),
            logs={
                source: Log(
                    source=SOURCES[source - 1],
                    position=self.position[source],
                    released=self.released[source],
                    end=len(log),
                )
                for source, log in self.logs.items()
            },
            waiting=waiting,
            more_waiting=more_waiting,
        )
        _, decision = settled(self.policy, state, list(self.parked.values()), self.shown, self.now, self.new_id)
        self.position |= decision.positions
        self.released |= decision.released
        for arrival in decision.unpark:
            del self.parked[arrival.source_id, arrival.item.arrival]
        for arrival in decision.park:
            number = (arrival.source_id, arrival.item.arrival)
            assert number not in self.parked
            self.parked[number] = arrival
        self.done.update((misfit.source_id, misfit.arrival) for misfit in decision.misfits)
        self.together += decision.cut
        for batch in (*self.open, *decision.cut):
            if batch.id in decision.emit:
                self.done.update((source, number) for source, numbers in batch.slices.items() for number in numbers)
        self.open = [batch for batch in (*self.open, *decision.cut) if batch.id not in decision.emit]
        return bool(decision.cut or decision.emit or decision.positions or decision.unpark)

    def _raise_the_barrier(self) -> None:
        """Note, without partitions, up to where arrivals may go: to the end, once both sources have shown something."""
        ends = {source: len(log) for source, log in self.logs.items()}
        may_cut = len(self.open) < self.policy.max_in_flight
        if may_cut and all(end > self.barrier[source] for source, end in ends.items()):
            self.barrier = ends

    def _look(self) -> tuple[dict[str, datetime], bool]:
        """Return the partitions that are looked at in turn, as the ledger does."""
        since = oldest(list(self.parked.values()))
        texts = sorted(since)
        turned = [text for text in texts if text > self.looked] + [text for text in texts if text <= self.looked]
        looked, more = turned[:LOOKS], len(texts) > LOOKS
        self.looked = looked[-1] if more else ""
        return {text: since[text] for text in looked}, more

    def rest(self) -> None:
        """Decide until every partition was looked at and nothing happened.

        Raises:
            AssertionError: It never ends.
        """
        quiet = 0
        for _ in range(10 + 2 * sum(map(len, self.logs.values())) * len(DAYS)):
            quiet = 0 if self.decide() else quiet + 1
            if quiet > len(DAYS):
                return
        raise AssertionError("it never comes to rest")


def what_is_parked_goes_when_it_may(history: History) -> None:
    """Nothing is lost or doubled on the way, and in the end only what waits for something is left."""
    consumer = Consumer(history.policy)
    for event in history.events:
        if isinstance(event, Arrive):
            consumer.arrive(event.source, event.day)
        else:
            consumer.decide()
        if history.kind == "routed":
            assert len([a for a in consumer.parked.values() if a.item.partition not in history.future]) <= 6
    consumer.rest()
    _only_what_waits_is_left(history, consumer)
    if history.kind in ("days", "held", "routed"):
        consumer.policy = replace(consumer.policy, partitions=Days(frozenset(), join=True))
        consumer.rest()
        _only_what_waits_is_left(replace(history, future=frozenset()), consumer)


def _only_what_waits_is_left(history: History, consumer: Consumer) -> None:
    arrived = {(source, a.item.arrival): a for source, log in consumer.logs.items() for a in log}
    assert all(times == 1 for times in consumer.done.values())
    left = {number: arrival for number, arrival in arrived.items() if number not in consumer.done}
    if history.kind == "whole":
        assert not consumer.parked
        assert set(left) == {number for number in arrived if number[1] > consumer.barrier[number[0]]}
        return
    assert set(consumer.parked) == set(left)
    for arrival in left.values():
        day = arrival.item.partition
        assert day in DAYS
        waits = history.kind == "days" and len(consumer.shown[day]) < len(SOURCES)
        # What is held for too long goes on, so while time passes only a future day keeps it.
        assert day in history.future or waits
