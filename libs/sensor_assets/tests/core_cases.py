"""Inputs of the pure core, as hypothesis draws them."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import count

from hypothesis import strategies as st
from sensor_assets import Batching, Hold, Item, Retry, Router, Send, Skip, Waiting, source
from sensor_assets import _decide as decide_module
from sensor_assets._items import UNMATCHED
from sensor_assets._joins import Join
from sensor_assets._partitions import NoPartitions
from sensor_assets._placing import Partitions, Unplaceable, Window
from sensor_assets._policy import Policy
from sensor_assets._reconcile import RunOutcome
from sensor_assets._state import Arrival, Ask, BatchRecord, ConsumerState, Decision, Log

NOW = datetime(2013, 2, 1, tzinfo=UTC)
DAYS = tuple(f"2013-01-{day:02}" for day in range(1, 8))
TARGETS = ("left", "right")
SOURCES: tuple[str, ...] = ("source1", "source2")


def new_ids(prefix: str) -> Callable[[], str]:
    """Return a function that gives a new identity each time."""
    numbers = count(1)
    return lambda: f"{prefix}{next(numbers)}"


class Days:
    """Daily partitions without Dagster: some are still in the future, and neighbours may share a run."""

    def __init__(self, future: frozenset[str], *, join: bool) -> None:
        self.future = future
        self.join = join

    def place(self, partition: str | None) -> str | None:
        if partition not in DAYS:
            raise Unplaceable(f"no day {partition}")
        return partition

    def available(self, keys: Sequence[str]) -> frozenset[str]:
        return frozenset(keys).intersection(DAYS) - self.future

    def absence(self, key: str) -> str:
        return f"{key} is to come"

    def ranges(self, keys: Sequence[str]) -> list[tuple[str, ...]]:
        groups: list[list[str]] = []
        for key in sorted(keys):
            if self.join and groups and DAYS.index(groups[-1][-1]) + 1 == DAYS.index(key):
                groups[-1].append(key)
            else:
                groups.append([key])
        return [tuple(group) for group in groups]

    def window(self, key: str) -> Window:
        return key, None


@source("outside")
def outside(context: object) -> Iterator[Item]:
    yield from ()


def _sides(waiting: Waiting) -> list[Send]:
    """Send items of even size to the left, the others to the right."""
    left = [item for item in waiting.items if item.size % 2 == 0]
    right = [item for item in waiting.items if item.size % 2]
    return [Send(to=to, items=items) for to, items in (("left", left), ("right", right)) if items]


def _even(waiting: Waiting) -> list[Item]:
    return [item for item in waiting.items if item.size % 2 == 0]


# What a route function may answer, and whether the answer keeps the contract.
ROUTES: dict[str, Callable[[Waiting], Hold | Send | Sequence[Send | Skip | Hold]]] = {
    "sends everything to one": lambda waiting: Send(to="right"),
    "sends by size": _sides,
    "holds": lambda waiting: Hold("not yet"),
    "holds until forced": lambda waiting: Send(to="right") if waiting.forced else Hold("not yet"),
    "sends even ones": lambda waiting: [Send(to="right", items=_even(waiting))],
    "sends even ones, holds odd ones": lambda waiting: [Send(to="right", items=_even(waiting)), Hold("odd")],
    "sends even ones, skips odd ones": lambda waiting: [Send(to="right", items=_even(waiting)), Skip("odd")],
    "sends nothing": lambda waiting: [],
    "skips everything": lambda waiting: [Skip("of no use", to="left")],
    "sends an item twice": lambda waiting: [Send(to="left"), Send(to="right", items=waiting.items[:1])],
    "skips what it sent": lambda waiting: [Send(to="left"), Skip("no", waiting.items[:1])],
    "sends to nowhere": lambda waiting: Send(to="up"),
    "skips to nowhere": lambda waiting: [Skip("no", to="up")],
}
BROKEN_ROUTES = ("sends an item twice", "skips what it sent", "sends to nowhere", "skips to nowhere")
# The outlet of what an answer leaves waiting when it may wait no longer is "left".
LEAVES_ODD = ("sends even ones", "sends even ones, holds odd ones")


@dataclass(frozen=True)
class Case:
    """A policy, a state to decide about, and what the ledger would answer.

    `parked` is what the ledger holds of earlier decisions, `shown` by day the sources that have shown something.
    """

    policy: Policy
    state: ConsumerState
    route: str | None
    parked: tuple[Arrival, ...] = ()
    shown: dict[str, frozenset[str]] = field(default_factory=dict[str, frozenset[str]])

    @property
    def partitioned(self) -> bool:
        return isinstance(self.policy.partitions, Days)

    def decide(self, new_id: Callable[[], str]) -> tuple[ConsumerState, Decision]:
        """Decide, as the ledger lets a consumer decide; returns also what was known in the end."""
        return settled(self.policy, self.state, self.parked, self.shown, NOW, new_id)


def settled(
    policy: Policy,
    state: ConsumerState,
    parked: Sequence[Arrival],
    shown: dict[str, frozenset[str]],
    now: datetime,
    new_id: Callable[[], str],
) -> tuple[ConsumerState, Decision]:
    """Let a consumer decide and answer its questions as the ledger does."""
    for _ in range(3):
        answer = decide_module.decide(policy, state, now, new_id)
        if not isinstance(answer, Ask):
            return state, answer
        if answer.shown is not None:
            assert all(window == (key, None) for key, window in answer.shown.items())
            state = replace(state, shown={key: shown.get(key, frozenset()) for key in answer.shown})
        if answer.parked is not None:
            in_order = sorted(parked, key=lambda arrival: (arrival.item.partition or "", arrival.seen_at))
            found = [arrival for window in answer.parked for arrival in in_order if _within(arrival, window)]
            assert len(set(found)) == len(found)
            more = len(found) > policy.limit
            state = replace(state, parked=tuple(found[: policy.limit]), more_parked=more)
    raise AssertionError("a decision asks a third time")


def _within(arrival: Arrival, window: Window) -> bool:
    text = arrival.item.partition or ""
    start, stop = window
    return text == start if stop is None else start <= text < stop


def oldest(arrivals: Sequence[Arrival]) -> dict[str, datetime]:
    """Return by their items' partition since when arrivals wait."""
    since: dict[str, datetime] = {}
    for arrival in arrivals:
        text = arrival.item.partition or ""
        since[text] = min(arrival.seen_at, since.get(text, arrival.seen_at))
    return since


@st.composite
def _arrivals(draw: st.DrawFn, *, first: int, least: int = 0) -> tuple[Arrival, ...]:
    partitions = st.sampled_from([*DAYS, "someday", None])
    arrivals: list[Arrival] = []
    for source_id in range(1, 1 + draw(st.integers(1, 2))):
        start = first + draw(st.integers(1, 5))
        # One age for all of a source's arrivals: how long an arrival that fits nowhere counts is tested by itself.
        seen_at = NOW - timedelta(seconds=draw(st.sampled_from([0, 5, 10, 60])))
        for arrival in range(start, start + draw(st.integers(least, 7))):
            item = Item(
                key=f"{source_id}/{arrival}",
                version="1",
                arrival=arrival,
                size=draw(st.integers(0, 40)),
                partition=draw(partitions),
                metadata=draw(st.sampled_from([{}, {}, {}, {UNMATCHED: "fits no template"}])),
                source=f"source{source_id}",
            )
            arrivals.append(Arrival(source_id=source_id, item=item, seen_at=seen_at))
    return tuple(arrivals)


@st.composite
def _logs(draw: st.DrawFn, pending: Sequence[Arrival]) -> dict[int, Log]:
    logs: dict[int, Log] = {}
    for source_id, name in enumerate(SOURCES, start=1):
        numbers = [arrival.item.arrival for arrival in pending if arrival.source_id == source_id]
        position = min(numbers, default=21) - 1
        logs[source_id] = Log(
            source=name,
            position=position,
            released=draw(st.integers(0, position + 4)),
            end=max(numbers, default=position),
        )
    return logs


@st.composite
def _open(draw: st.DrawFn, partitioned: bool, routed: bool) -> tuple[BatchRecord, ...]:
    batches: list[BatchRecord] = []
    for number in range(draw(st.integers(0, 4))):
        first = draw(st.integers(0, len(DAYS) - 1))
        last = draw(st.integers(first, min(first + 2, len(DAYS) - 1)))
        batches.append(
            BatchRecord(
                id=f"open{number}",
                consumer="consumer",
                state=draw(st.sampled_from(["waiting", "emitted"])),
                route=draw(st.sampled_from(TARGETS)) if routed else None,
                partitions=DAYS[first : last + 1] if partitioned else (),
                slices={9: (number + 1,)},
                not_before=draw(st.sampled_from([None, NOW - timedelta(seconds=1), NOW + timedelta(seconds=1)])),
            )
        )
    return tuple(batches)


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Draw a policy, what waits in the log, and what is open."""
    partitioned = draw(st.booleans())
    partitions: Partitions = NoPartitions()
    if partitioned:
        future = draw(st.frozensets(st.sampled_from(DAYS), max_size=2))
        partitions = Days(future, join=draw(st.booleans()))
    join = draw(st.sampled_from([None, None, Join(sources=SOURCES), Join(sources=SOURCES, max_hold=10)]))
    route = None if join else draw(st.sampled_from([None, None, *ROUTES]))
    policy = Policy(
        name="consumer",
        batching=Batching(
            max_items=draw(st.integers(1, 5)),
            max_bytes=draw(st.integers(1, 100)),
            max_wait=draw(st.sampled_from([0, 10])),
        ),
        max_in_flight=draw(st.integers(1, 4)),
        partitions=partitions,
        serial=draw(st.booleans()),
        join=join,
        router=None
        if route is None
        else Router(
            outside,
            ROUTES[route],
            name="router",
            targets=TARGETS,
            max_hold=draw(st.sampled_from([None, 10])),
            otherwise="left",
            max_waiting=draw(st.sampled_from([1, 3, 10, 100])),
        ),
    )
    pending = draw(_arrivals(first=20))
    parked = draw(_arrivals(first=0, least=1)) if draw(st.booleans()) else ()
    since = oldest(parked)
    looks = draw(st.integers(1, 4))
    state = ConsumerState(
        pending=pending,
        more=draw(st.booleans()),
        open=draw(_open(partitioned, route is not None)),
        logs=draw(_logs(pending)),
        waiting=dict(list(since.items())[:looks]),
        more_waiting=len(since) > looks,
    )
    shown = {day: draw(st.frozensets(st.sampled_from(SOURCES))) for day in DAYS}
    return Case(policy, state, route, parked, shown)


@dataclass(frozen=True)
class Ending:
    """A launched batch whose run ended somehow."""

    batch: BatchRecord
    outcome: RunOutcome
    retry: Retry
    sink_works: bool


@st.composite
def batches(draw: st.DrawFn, *, least: int = 1) -> BatchRecord:
    """Draw a launched batch of at least that many items."""
    slices: dict[int, tuple[int, ...]] = {}
    if least == 1 and draw(st.booleans()):
        slices[1] = (draw(st.integers(1, 30)),)
    for source_id in range(1, 1 + (0 if slices else draw(st.integers(1, 3)))):
        slices[source_id] = tuple(sorted(draw(st.sets(st.integers(1, 30), min_size=least, max_size=9))))
    return BatchRecord(
        id="parent",
        consumer="consumer",
        state="emitted",
        origin=draw(st.sampled_from(["arrivals", "replay", "release"])),
        halved=draw(st.booleans()),
        route=draw(st.sampled_from([None, "left"])),
        partitions=draw(st.sampled_from([(), DAYS[:1], DAYS[:3]])),
        slices=slices,
        bytes=draw(st.integers(0, 100)),
        attempt=draw(st.integers(1, 9)),
        failures=draw(st.integers(0, 9)),
        first_failed_at=draw(st.sampled_from([None, NOW - timedelta(hours=1)])),
    )


@st.composite
def endings(draw: st.DrawFn) -> Ending:
    """Draw how the run of a batch ended."""
    return Ending(
        batch=draw(batches()),
        outcome=draw(st.sampled_from(["active", "succeeded", "failed", "failed", "failed", "vanished"])),
        retry=Retry(
            max_failures=draw(st.integers(1, 4)),
            give_up=draw(st.integers(1, 10)),
            backoff=draw(st.floats(0, 60)),
            max_backoff=draw(st.floats(0, 600)),
        ),
        sink_works=draw(st.booleans()),
    )
