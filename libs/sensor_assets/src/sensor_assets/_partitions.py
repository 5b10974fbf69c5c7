"""Which partition of an asset an item belongs to, by the asset's partitions definition."""

from collections.abc import Callable, Iterable, Sequence
from functools import cached_property

import dagster as dg

from sensor_assets._placing import Partitions, Unplaceable, Window
from sensor_assets._time_windows import TimePartitions
from sensor_assets.errors import DefinitionError

# Dynamic partitions are for some hundreds of names. Beyond this many none is added by itself: every key costs Dagster
# a query in each tick that adds it, and a page of the UI shows all of them.
MOST_ADDED_PARTITIONS = 1000

# Dagster's UI cannot show these in a key, or reads them as a range.
_NOT_IN_KEYS = ("...", "\a", "\b", "\f", "\n", "\r", "\t", "\v")


class NoPartitions:
    """An asset without partitions: every item belongs to the whole."""

    def place(self, partition: str | None) -> str | None:  # noqa: ARG002
        return None

    def available(self, keys: Sequence[str]) -> frozenset[str]:  # noqa: ARG002
        return frozenset()

    def absence(self, key: str) -> str:
        return f"'{key}' is left over from a time when the asset had partitions"

    def ranges(self, keys: Sequence[str]) -> list[tuple[str, ...]]:  # noqa: ARG002
        return []

    def window(self, key: str) -> Window:
        raise DefinitionError(f"'{key}': an asset without partitions has no partition windows")


class NamedPartitions:
    """Static or dynamic partitions: an item names its partition literally.

    Args:
        keys: Returns the keys that exist; asked at most once.
        fixed: Whether no key can be added, so that an item with another one has no place.
        add: Whether keys that do not exist yet are to be added, as long as there are not too many.
    """

    def __init__(self, keys: Callable[[], Iterable[str]], *, fixed: bool, add: bool = False) -> None:
        self._load = keys
        self._fixed = fixed
        self._add = add

    @cached_property
    def _keys(self) -> dict[str, None]:
        return dict.fromkeys(self._load())

    def place(self, partition: str | None) -> str | None:
        if not partition:
            raise Unplaceable("the item names no partition")
        if self._fixed and partition not in self._keys:
            known = list(self._keys)
            some = ", ".join(known[:20]) + (f" and {len(known) - 20} more" if len(known) > 20 else "")  # noqa: PLR2004
            raise Unplaceable(f"partition '{partition}' is not among the asset's partitions: {some}")
        if unfit := [text for text in _NOT_IN_KEYS if text in partition]:
            raise Unplaceable(f"partition {partition!r} cannot be a partition key: it contains {unfit[0]!r}")
        return partition

    def available(self, keys: Sequence[str]) -> frozenset[str]:
        existing = frozenset(key for key in keys if key in self._keys)
        room = max(MOST_ADDED_PARTITIONS - len(self._keys), 0) if self._add else 0
        missing = [key for key in dict.fromkeys(keys) if key not in existing]
        return existing.union(missing[:room])

    def absence(self, key: str) -> str:
        if self._add:
            return f"'{key}' is not added: there are {len(self._keys)} partitions, too many to add more by themselves"
        return f"'{key}' is no partition yet: add it, or give add_partitions=True"

    def ranges(self, keys: Sequence[str]) -> list[tuple[str, ...]]:
        return [(key,) for key in keys]

    def window(self, key: str) -> Window:
        return key, None


def partitions_of(
    definition: dg.PartitionsDefinition | None,
    policy: dg.BackfillPolicy | None,
    dynamic_keys: Callable[[str], Sequence[str]],
    *,
    add: bool = False,
) -> Partitions:
    """Return the adapter for an asset's partitions definition.

    Raises:
        DefinitionError: The kind is not supported (multi-dimensional partitions).
    """
    match definition:
        case None:
            return NoPartitions()
        case dg.TimeWindowPartitionsDefinition():
            return TimePartitions(definition, join=policy is not None and policy.max_partitions_per_run is None)
        case dg.StaticPartitionsDefinition():
            return NamedPartitions(definition.get_partition_keys, fixed=True)
        case dg.DynamicPartitionsDefinition(name=str(name)):
            return NamedPartitions(lambda: dynamic_keys(name), fixed=False, add=add)
        case _:
            raise DefinitionError(
                f"{type(definition).__name__} is not supported for a sensor asset: "
                "use time windows, static partitions or dynamic partitions with a name"
            )
