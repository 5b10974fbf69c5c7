"""The pure core: what a consumer does with what has arrived. No I/O, no clock, no Dagster instance."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from sensor_assets._batching import Batching, seconds
from sensor_assets._items import UNMATCHED
from sensor_assets._partitions import Partitions, Unplaceable
from sensor_assets._routing import Hold, Router, Send, Waiting
from sensor_assets._state import Arrival, BatchRecord, ConsumerState, Decision, Misfit
from sensor_assets.errors import SensorAssetsError


@dataclass(frozen=True, kw_only=True)
class Policy:
    """How one consumer decides.

    Args:
        name: The consumer.
        batching: Bounds of a batch.
        max_in_flight: Most batches of this consumer that may be launched and unfinished.
        serial: Whether batches without partitions exclude each other (per route), as partitions always do.
        partitions: Where items belong.
        router: Condition, or None to send everything.
    """

    name: str
    batching: Batching
    max_in_flight: int
    partitions: Partitions
    serial: bool = False
    router: Router | None = None


class RouteError(SensorAssetsError):
    """A route function broke its contract; its items stay waiting."""


def decide(policy: Policy, state: ConsumerState, now: datetime, new_id: Callable[[], str]) -> Decision:
    """Cut the log into batches and choose which batches to launch.

    Nothing is cut while nothing could be launched: arrivals that wait in the log join one batch later, arrivals that
    wait in batches cannot. Two batches in flight never share a partition.

    Raises:
        RouteError: The route function did not send every item, or sent one twice, or to an unknown target.
    """
    emitted = [batch for batch in state.open if batch.state == "emitted"]
    launchable = [batch for batch in state.open if _may_launch(policy, batch, now)]
    free = policy.max_in_flight - len(emitted)
    cut: Decision = Decision(positions={})
    if state.pending and free > len(launchable):
        cut = _cut(policy, state, now, new_id)
    candidates = [*launchable, *(batch for batch in cut.cut if _may_launch(policy, batch, now))]
    emit = tuple(_launch(policy, candidates, emitted, free))
    return Decision(cut=cut.cut, misfits=cut.misfits, positions=cut.positions, emit=emit, held=cut.held)


def _may_launch(policy: Policy, batch: BatchRecord, now: datetime) -> bool:
    due = batch.not_before is None or batch.not_before <= now
    # Of an outlet that is there no more Dagster knows nothing, and an unknown partition would fail its whole tick.
    targets = (None,) if policy.router is None else policy.router.targets
    known = batch.route in targets and all(policy.partitions.exists(key) for key in batch.partitions)
    return batch.state == "waiting" and due and known


def _launch(
    policy: Policy, candidates: Sequence[BatchRecord], emitted: Sequence[BatchRecord], free: int
) -> Iterator[str]:
    busy = {lane for batch in emitted for lane in _lanes(policy, batch)}
    for batch in candidates:
        if free < 1:
            return
        lanes = _lanes(policy, batch)
        if busy.isdisjoint(lanes):
            busy |= lanes
            free -= 1
            yield batch.id


def _lanes(policy: Policy, batch: BatchRecord) -> set[tuple[str | None, str | None]]:
    """Return what a batch writes to, as far as another batch must not write to it at the same time."""
    lanes: set[tuple[str | None, str | None]] = {(batch.route, partition) for partition in batch.partitions}
    return lanes or ({(batch.route, None)} if policy.serial else set())


def _cut(policy: Policy, state: ConsumerState, now: datetime, new_id: Callable[[], str]) -> Decision:
    placed, misfits = _place(policy, state.pending)
    oldest = (now - min((arrival.seen_at for arrival in placed), default=now)).total_seconds()
    held, groups = _condition(policy, state, placed, oldest)
    if held is not None:
        return Decision(positions={}, held=held)
    cut = [
        BatchRecord(
            id=new_id(),
            consumer=policy.name,
            route=route,
            partitions=partitions,
            slices=_slices(arrivals),
            bytes=sum(arrival.item.size for arrival in arrivals),
        )
        for route, members in groups.items()
        for partitions, arrivals in _chunks(policy, members, placed)
    ]
    positions: dict[int, int] = {}
    for arrival in state.pending:
        positions[arrival.source_id] = max(positions.get(arrival.source_id, 0), arrival.item.arrival)
    return Decision(cut=tuple(cut), misfits=misfits, positions=positions)


def _place(policy: Policy, pending: Sequence[Arrival]) -> tuple[dict[Arrival, str | None], tuple[Misfit, ...]]:
    placed: dict[Arrival, str | None] = {}
    misfits: list[Misfit] = []
    for arrival in pending:
        try:
            if UNMATCHED in arrival.item.metadata:
                raise Unplaceable(str(arrival.item.metadata[UNMATCHED]))
            placed[arrival] = policy.partitions.place(arrival.item.partition)
        except Unplaceable as verdict:
            misfits.append(Misfit(source_id=arrival.source_id, arrival=arrival.item.arrival, reason=str(verdict)))
    return placed, tuple(misfits)


def _condition(
    policy: Policy, state: ConsumerState, placed: dict[Arrival, str | None], oldest: float
) -> tuple[str | None, dict[str | None, list[Arrival]]]:
    """Return the reason to hold, or the arrivals for each route."""
    arrivals = list(placed)
    if policy.router is not None and arrivals:
        oldest_first = sorted(arrivals, key=lambda a: (a.seen_at, a.source_id, a.item.arrival))
        return _route(policy.router, oldest_first, oldest)
    batching = policy.batching
    full = state.more or len(arrivals) >= batching.max_items
    full = full or sum(arrival.item.size for arrival in arrivals) >= batching.bytes
    wait = seconds(batching.max_wait)
    if arrivals and not full and oldest < wait:
        return f"{len(arrivals)} items wait for company, {wait - oldest:.0f} s at most", {}
    return None, {None: arrivals}


def _route(
    router: Router, arrivals: list[Arrival], oldest: float
) -> tuple[str | None, dict[str | None, list[Arrival]]]:
    by_item = {id(arrival.item): arrival for arrival in arrivals}
    forced = router.max_hold is not None and oldest >= seconds(router.max_hold)
    waiting = Waiting(items=tuple(arrival.item for arrival in arrivals), oldest_seconds=oldest, forced=forced)
    answer = router.decide(waiting)
    if isinstance(answer, Hold):
        if not forced:
            return answer.reason, {}
        answer = Send(to=router.otherwise)
    groups: dict[str | None, list[Arrival]] = defaultdict(list)
    for send in [answer] if isinstance(answer, Send) else answer:
        if send.to not in router.targets:
            raise RouteError(f"route '{router.name}' sent items to '{send.to}'; it has {', '.join(router.targets)}")
        chosen = list(by_item) if send.items is None else [id(item) for item in send.items]
        for key in chosen:
            if key not in by_item:
                raise RouteError(f"route '{router.name}' sent an item twice, or one that does not wait")
            groups[send.to].append(by_item.pop(key))
    if by_item:
        raise RouteError(
            f"route '{router.name}' sent {len(arrivals) - len(by_item)} of {len(arrivals)} items: "
            "every waiting item must be sent, or all of them held"
        )
    return None, groups


def _chunks(
    policy: Policy, members: list[Arrival], placed: dict[Arrival, str | None]
) -> Iterator[tuple[tuple[str, ...], list[Arrival]]]:
    """Cut arrivals into batches within the bounds; neighbouring partitions share a batch where the asset allows it."""
    by_partition: dict[str | None, list[Arrival]] = defaultdict(list)
    for arrival in members:
        by_partition[placed[arrival]].append(arrival)
    for part in _parts(by_partition.pop(None, []), policy.batching):
        yield (), part
    keys = [key for key in by_partition if key is not None]
    ready = [key for key in keys if policy.partitions.exists(key)]
    not_yet = [(key,) for key in keys if key not in ready]
    for span in [*policy.partitions.ranges(ready), *not_yet]:
        joined: list[Arrival] = []
        joined_keys: tuple[str, ...] = ()
        for key in span:
            # A partition that is larger than a batch is cut as well; its parts then run one after the other.
            for part in _parts(by_partition[key], policy.batching):
                if joined and (key in joined_keys or not _fits([*joined, *part], policy.batching)):
                    yield joined_keys, joined
                    joined, joined_keys = [], ()
                joined, joined_keys = [*joined, *part], (*joined_keys, key)
        yield joined_keys, joined


def _fits(arrivals: Sequence[Arrival], batching: Batching) -> bool:
    size = sum(arrival.item.size for arrival in arrivals)
    return len(arrivals) <= batching.max_items and size <= batching.bytes


def _parts(arrivals: Sequence[Arrival], batching: Batching) -> Iterator[list[Arrival]]:
    part: list[Arrival] = []
    size = 0
    for arrival in arrivals:
        if part and (len(part) == batching.max_items or size + arrival.item.size > batching.bytes):
            yield part
            part, size = [], 0
        part.append(arrival)
        size += arrival.item.size
    if part:
        yield part


def _slices(arrivals: Sequence[Arrival]) -> dict[int, tuple[int, ...]]:
    slices: dict[int, list[int]] = defaultdict(list)
    for arrival in arrivals:
        slices[arrival.source_id].append(arrival.item.arrival)
    return {source: tuple(sorted(numbers)) for source, numbers in slices.items()}
