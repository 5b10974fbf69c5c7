"""Cutting arrivals into batches within their bounds. Pure."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from sensor_assets._batching import Batching
from sensor_assets._placing import Partitions
from sensor_assets._state import Arrival


def chunks(
    partitions: Partitions, batching: Batching, members: Sequence[Arrival], placed: Mapping[Arrival, str | None]
) -> Iterator[tuple[tuple[str, ...], list[Arrival]]]:
    """Cut arrivals into batches within the bounds; neighbouring partitions share a batch where the asset allows it."""
    by_partition: dict[str | None, list[Arrival]] = defaultdict(list)
    for arrival in members:
        by_partition[placed[arrival]].append(arrival)
    for part in parts(by_partition.pop(None, []), batching):
        yield (), part
    for span in partitions.ranges([key for key in by_partition if key is not None]):
        joined: list[Arrival] = []
        joined_keys: tuple[str, ...] = ()
        for key in span:
            # A partition that is larger than a batch is cut as well; its parts then run one after the other.
            for part in parts(by_partition[key], batching):
                if joined and (key in joined_keys or not fits([*joined, *part], batching)):
                    yield joined_keys, joined
                    joined, joined_keys = [], ()
                joined, joined_keys = [*joined, *part], (*joined_keys, key)
        yield joined_keys, joined


def fits(arrivals: Sequence[Arrival], batching: Batching) -> bool:
    """Tell whether arrivals may share a batch."""
    size = sum(arrival.item.size for arrival in arrivals)
    return len(arrivals) <= batching.max_items and size <= batching.bytes


def parts(arrivals: Sequence[Arrival], batching: Batching) -> Iterator[list[Arrival]]:
    """Cut arrivals into parts of at most a batch."""
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


def slices(arrivals: Sequence[Arrival]) -> dict[int, tuple[int, ...]]:
    """Return the arrival numbers by source, ascending."""
    numbers: dict[int, list[int]] = defaultdict(list)
    for arrival in arrivals:
        numbers[arrival.source_id].append(arrival.item.arrival)
    return {source: tuple(sorted(taken)) for source, taken in numbers.items()}
