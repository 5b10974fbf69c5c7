"""The pure core: what a consumer does with what has arrived. No I/O, no clock, no Dagster instance."""

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime

from sensor_assets._batching import seconds
from sensor_assets._cutting import chunks, slices
from sensor_assets._items import counted
from sensor_assets._policy import Policy
from sensor_assets._readiness import Sifted, sift
from sensor_assets._routing import Routed, Way, route
from sensor_assets._state import Ask, BatchRecord, ConsumerState, Decision


def decide(policy: Policy, state: ConsumerState, now: datetime, new_id: Callable[[], str]) -> Decision | Ask:
    """Cut the log into batches and choose which batches to launch, or say what has to be known for that.

    Nothing is cut while nothing could be launched: arrivals that wait in the log join one batch later, arrivals that
    wait in batches cannot. Two batches in flight never share a partition.

    Raises:
        RouteError: The route function named an item twice, or sent one to an unknown target.
    """
    emitted = [batch for batch in state.open if batch.state == "emitted"]
    waiting = [batch for batch in state.open if batch.state == "waiting"]
    available = policy.partitions.available([key for batch in waiting for key in batch.partitions])
    launchable = [batch for batch in waiting if _may_launch(policy, batch, available, now)]
    free = policy.max_in_flight - len(emitted)
    cut = Decision(positions={})
    if (state.pending or state.waiting) and free > len(launchable):
        sifted = sift(policy, state, now)
        if isinstance(sifted, Ask):
            return sifted
        cut, available = _cut(policy, state, sifted, now, new_id), sifted.available
    candidates = [*launchable, *(batch for batch in cut.cut if _may_launch(policy, batch, available, now))]
    emit = tuple(_launch(policy, candidates, emitted, free))
    return Decision(
        cut=cut.cut,
        misfits=cut.misfits,
        positions=cut.positions,
        park=cut.park,
        unpark=cut.unpark,
        released=cut.released,
        emit=emit,
        held=cut.held,
    )


def _may_launch(policy: Policy, batch: BatchRecord, available: frozenset[str], now: datetime) -> bool:
    due = batch.not_before is None or batch.not_before <= now
    # Of an outlet that is there no more Dagster knows nothing, and an unknown partition would fail its whole tick.
    targets = (None,) if policy.router is None else policy.router.targets
    known = batch.route in targets and available.issuperset(batch.partitions)
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


def _cut(policy: Policy, state: ConsumerState, sifted: Sifted, now: datetime, new_id: Callable[[], str]) -> Decision:
    routed = _condition(policy, state, sifted, now) if sifted.ready else Routed(ways={})
    held = "; ".join(reason for reason in (routed.reason, sifted.reason) if reason) or None
    if routed.held:
        return Decision(positions={}, held=held)
    cut = tuple(
        BatchRecord(
            id=new_id(),
            consumer=policy.name,
            state="waiting" if way.skipped is None else "skipped",
            reason=way.skipped,
            route=way.to,
            partitions=partitions,
            slices=slices(arrivals),
            bytes=sum(arrival.item.size for arrival in arrivals),
        )
        for way, members in routed.ways.items()
        for partitions, arrivals in chunks(policy.partitions, policy.batching, members, sifted.ready)
    )
    positions: dict[int, int] = {}
    for arrival in sifted.taken:
        positions[arrival.source_id] = max(positions.get(arrival.source_id, 0), arrival.item.arrival)
    left = set(routed.left)
    pending = set(sifted.taken)
    return Decision(
        cut=cut,
        misfits=tuple(sifted.misfits.values()),
        positions=positions,
        park=(*sifted.unready, *(arrival for arrival in routed.left if arrival in pending)),
        unpark=tuple(
            arrival
            for arrival in state.parked or ()
            if arrival in sifted.misfits or (arrival in sifted.ready and arrival not in left)
        ),
        released=sifted.released if positions else {},
        held=held,
    )


def _condition(policy: Policy, state: ConsumerState, sifted: Sifted, now: datetime) -> Routed:
    """Return where the arrivals that may go do go."""
    more = state.more or state.more_parked
    arrivals = list(sifted.ready)
    if policy.router is not None:
        oldest_first = sorted(arrivals, key=lambda a: (a.seen_at, a.source_id, a.item.arrival))
        # Of what is parked, not everything could be shown when there is too much of it.
        unready = sum(1 for a in state.parked or () if a not in sifted.ready and a not in sifted.misfits)
        unseen = unready + 1 if state.more_parked else 0
        return route(policy.router, oldest_first, now, more=more, unseen=unseen, batch=policy.batching.max_items)
    batching = policy.batching
    full = more or len(arrivals) >= batching.max_items
    full = full or sum(arrival.item.size for arrival in arrivals) >= batching.bytes
    wait = seconds(batching.max_wait)
    age = (now - min(arrival.seen_at for arrival in arrivals)).total_seconds()
    if not full and age < wait:
        return Routed(
            ways={}, held=True, reason=f"{counted(len(arrivals), 'wait')} for company, {wait - age:.0f} s at most"
        )
    return Routed(ways={Way(None): arrivals})
