"""Processing again what was processed before: which new batches take over which old ones. Pure."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby

from sensor_assets._state import BatchOrigin, BatchRecord

# A run locks, and an appending one deletes a file for, each batch that its batch takes the place of.
MOST_REPLACED = 100


def replays(done: Sequence[BatchRecord], new_id: Callable[[], str]) -> list[BatchRecord]:
    """Return batches that process what done batches processed, each arrival in one of them.

    They take whole batches, so that the effect of a batch can be removed as a whole. Those of one route and the same
    partitions join, but to none larger than the largest of them.
    """
    most_items = max((batch.items for batch in done), default=0)
    most_bytes = max((batch.bytes for batch in done), default=0)

    def fits(members: Sequence[BatchRecord]) -> bool:
        return (
            len(members) <= MOST_REPLACED
            and sum(batch.items for batch in members) <= most_items
            and sum(batch.bytes for batch in members) <= most_bytes
        )

    return [_joined(members, "replay", [b.id for b in members], new_id()) for members in _groups(done, fits)]


def releases(quarantined: Sequence[BatchRecord], new_id: Callable[[], str]) -> list[BatchRecord]:
    """Return batches for the items of batches that ended in quarantine.

    An attempt of a batch that was halved on the way there may have left its effect, so that is replaced as well.
    """

    def fits(members: Sequence[BatchRecord]) -> bool:
        return len(members) == 1 or len(_ancestry(members)) <= MOST_REPLACED

    return [_joined(members, "release", _ancestry(members), new_id()) for members in _groups(quarantined, fits)]


def _ancestry(members: Iterable[BatchRecord]) -> list[str]:
    return list(dict.fromkeys(each for batch in members for each in (*batch.replaces, batch.id)))


def _groups(
    batches: Sequence[BatchRecord], fits: Callable[[Sequence[BatchRecord]], bool]
) -> Iterator[list[BatchRecord]]:
    """Yield the batches in groups that may join, as large as fits."""

    def place(batch: BatchRecord) -> tuple[str, str, tuple[str, ...]]:
        return batch.consumer, batch.route or "", batch.partitions

    for _, same in groupby(sorted(batches, key=place), key=place):
        group: list[BatchRecord] = []
        for batch in same:
            if group and not fits([*group, batch]):
                yield group
                group = []
            group.append(batch)
        yield group


def _joined(members: Sequence[BatchRecord], origin: BatchOrigin, replaces: Sequence[str], identity: str) -> BatchRecord:
    slices: dict[int, set[int]] = {}
    for batch in members:
        for source, arrivals in batch.slices.items():
            slices.setdefault(source, set()).update(arrivals)
    first = members[0]
    return BatchRecord(
        id=identity,
        consumer=first.consumer,
        origin=origin,
        route=first.route,
        partitions=first.partitions,
        replaces=tuple(replaces),
        slices={source: tuple(sorted(arrivals)) for source, arrivals in slices.items()},
        bytes=sum(batch.bytes for batch in members),
    )


def rebuilds(
    consumer: str,
    route: str | None,
    partitions: Sequence[str],
    ranges: Iterable[tuple[str, ...]],
    new_id: Callable[[], str],
) -> list[BatchRecord]:
    """Return batches whose runs write partitions anew, or the whole asset where there are none.

    `ranges` are partitions that shared a run before: neighbours among them share one again.
    """
    if not partitions:
        return [BatchRecord(id=new_id(), consumer=consumer, origin="rebuild", route=route, slices={})]
    return [
        BatchRecord(id=new_id(), consumer=consumer, origin="rebuild", route=route, partitions=stretch, slices={})
        for stretch in stretches(partitions, ranges)
    ]


def stretches(partitions: Sequence[str], ranges: Iterable[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """Cut partitions into as few neighbouring ones as the known ranges show, in order."""
    left = dict.fromkeys(partitions)
    found: list[tuple[str, ...]] = []
    for known in sorted(ranges, key=len, reverse=True):
        for wanted, stretch in groupby(known, key=left.__contains__):
            if wanted:
                found.append(tuple(stretch))
        for key in known:
            left.pop(key, None)
    return sorted([*found, *((key,) for key in left)])
