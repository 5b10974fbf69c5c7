"""Inputs of the pure core, as hypothesis draws them."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import count

from hypothesis import strategies as st
from sensor_assets import Batching, Hold, Item, Retry, Router, Send, Waiting, source
from sensor_assets._decide import Policy
from sensor_assets._items import UNMATCHED
from sensor_assets._partitions import NoPartitions, Partitions, Unplaceable
from sensor_assets._reconcile import RunOutcome
from sensor_assets._state import Arrival, BatchRecord, ConsumerState

NOW = datetime(2013, 2, 1, tzinfo=UTC)
DAYS = tuple(f"2013-01-{day:02}" for day in range(1, 8))
TARGETS = ("left", "right")


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

    def exists(self, key: str) -> bool:
        return key in DAYS and key not in self.future

    def ranges(self, keys: Sequence[str]) -> list[tuple[str, ...]]:
        groups: list[list[str]] = []
        for key in sorted(keys):
            if self.join and groups and DAYS.index(groups[-1][-1]) + 1 == DAYS.index(key):
                groups[-1].append(key)
            else:
                groups.append([key])
        return [tuple(group) for group in groups]

    def window(self, key: str) -> tuple[str, str | None]:
        return key, None


@source("outside")
def _outside(context: object) -> Iterator[Item]:
    yield from ()


def _sides(waiting: Waiting) -> list[Send]:
    """Send items of even size to the left, the others to the right."""
    left = [item for item in waiting.items if item.size % 2 == 0]
    right = [item for item in waiting.items if item.size % 2]
    return [Send(to=to, items=items) for to, items in (("left", left), ("right", right)) if items]


# What a route function may answer, and whether the answer keeps the contract.
ROUTES: dict[str, Callable[[Waiting], Hold | Send | Sequence[Send]]] = {
    "sends everything to one": lambda waiting: Send(to="right"),
    "sends by size": _sides,
    "holds": lambda waiting: Hold("not yet"),
    "holds until forced": lambda waiting: Send(to="right") if waiting.forced else Hold("not yet"),
    "forgets an item": lambda waiting: Send(to="left", items=waiting.items[1:]),
    "sends an item twice": lambda waiting: [Send(to="left"), Send(to="right", items=waiting.items[:1])],
    "sends to nowhere": lambda waiting: Send(to="up"),
}
BROKEN_ROUTES = ("forgets an item", "sends an item twice", "sends to nowhere")


@dataclass(frozen=True)
class Case:
    """A policy and a state to decide about."""

    policy: Policy
    state: ConsumerState
    route: str | None


@st.composite
def _pending(draw: st.DrawFn) -> tuple[Arrival, ...]:
    partitions = st.sampled_from([*DAYS, "someday", None])
    arrivals: list[Arrival] = []
    for source_id in range(1, 1 + draw(st.integers(1, 2))):
        start = draw(st.integers(1, 5))
        # One age for all of a source's arrivals: how long an arrival that fits nowhere counts is tested by itself.
        seen_at = NOW - timedelta(seconds=draw(st.sampled_from([0, 5, 10, 60])))
        for arrival in range(start, start + draw(st.integers(0, 7))):
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
    route = draw(st.sampled_from([None, None, *ROUTES]))
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
        router=None
        if route is None
        else Router(
            _outside,
            ROUTES[route],
            name="router",
            targets=TARGETS,
            max_hold=draw(st.sampled_from([None, 10])),
            otherwise="left",
        ),
    )
    state = ConsumerState(
        pending=draw(_pending()),
        more=draw(st.booleans()),
        open=draw(_open(partitioned, route is not None)),
    )
    return Case(policy, state, route)


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
