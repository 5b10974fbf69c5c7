"""Which partition of an asset an item belongs to, by the asset's partitions definition."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Protocol

import dagster as dg

from sensor_assets.errors import DefinitionError


class Unplaceable(Exception):  # noqa: N818 - a verdict about an item, not an error of the program
    """The item belongs to no partition that can ever exist; the message is the reason shown in the quarantine."""


class Partitions(Protocol):
    """The partitions of one consumer, as far as decisions need them."""

    def place(self, partition: str | None) -> str | None:
        """Return the asset's partition key for an item's partition; raise `Unplaceable` when there can be none."""
        ...

    def exists(self, key: str) -> bool:
        """Tell whether the partition may be launched now; an unknown key would fail the daemon's whole tick."""
        ...

    def ranges(self, keys: Sequence[str]) -> list[tuple[str, ...]]:
        """Group keys into ranges that one run may take, in order."""
        ...

    def window(self, key: str) -> tuple[str, str | None]:
        """Return the items' partitions that belong to a key: from (inclusive) to (exclusive), or (equal, None)."""
        ...


class NoPartitions:
    """An asset without partitions: every item belongs to the whole."""

    def place(self, partition: str | None) -> str | None:  # noqa: ARG002
        return None

    def exists(self, key: str) -> bool:  # noqa: ARG002
        return False

    def ranges(self, keys: Sequence[str]) -> list[tuple[str, ...]]:  # noqa: ARG002
        return []

    def window(self, key: str) -> tuple[str, str | None]:
        raise DefinitionError(f"'{key}': an asset without partitions has no partition windows")


class NamedPartitions:
    """Static or dynamic partitions: an item names its partition literally."""

    def __init__(self, keys: Callable[[], Sequence[str]], *, fixed: bool) -> None:
        self._keys = keys
        self._fixed = fixed

    def place(self, partition: str | None) -> str | None:
        if partition is None:
            raise Unplaceable("the item names no partition")
        if self._fixed and partition not in self._keys():
            raise Unplaceable(f"partition '{partition}' is not among the asset's partitions: {', '.join(self._keys())}")
        return partition

    def exists(self, key: str) -> bool:
        return key in self._keys()

    def ranges(self, keys: Sequence[str]) -> list[tuple[str, ...]]:
        return [(key,) for key in keys]

    def window(self, key: str) -> tuple[str, str | None]:
        return key, None


class TimePartitions:
    """Time windows: an item's date or time falls into one of them; neighbours may share a run."""

    def __init__(self, definition: dg.TimeWindowPartitionsDefinition, *, join: bool) -> None:
        self._definition = definition
        self._join = join

    def _moment(self, partition: str) -> datetime:
        try:
            moment = datetime.fromisoformat(partition)
        except ValueError:
            raise Unplaceable(f"'{partition}' is not an ISO date or time") from None
        return moment if moment.tzinfo else moment.replace(tzinfo=self._definition.start.tzinfo or UTC)

    def place(self, partition: str | None) -> str | None:
        if partition is None:
            raise Unplaceable("the item names no date")
        moment = self._moment(partition)
        # The ledger finds a partition's items by comparing texts: a moment is written in full and without an offset.
        moment = moment.astimezone(self._definition.start.tzinfo)
        if partition not in {_iso(moment), moment.replace(tzinfo=None).isoformat()}:
            raise Unplaceable(f"'{partition}' is to be written as {_iso(moment)}, in the time zone of the asset")
        start, end = self._definition.start, self._definition.end
        if moment < start:
            raise Unplaceable(f"{partition} lies before the asset's first partition ({start:%Y-%m-%d %H:%M})")
        if end is not None and moment >= end:
            raise Unplaceable(f"{partition} lies after the asset's last partition (it ends at {end:%Y-%m-%d %H:%M})")
        key = self._definition.get_partition_key_for_timestamp(moment.timestamp())
        window = self._definition.time_window_for_partition_key(key)
        if window.start < start or (end is not None and window.end > end):
            raise Unplaceable(f"{partition} lies in '{key}', which the first or last moment of the asset cuts off")
        return key

    def exists(self, key: str) -> bool:
        return self._definition.has_partition_key(key)

    def ranges(self, keys: Sequence[str]) -> list[tuple[str, ...]]:
        ordered = sorted(keys, key=self._definition.start_time_for_partition_key)
        if not self._join:
            return [(key,) for key in ordered]
        grouped: list[list[str]] = []
        for key in ordered:
            if grouped and self._definition.get_next_partition_key(grouped[-1][-1]) == key:
                grouped[-1].append(key)
            else:
                grouped.append([key])
        return [tuple(group) for group in grouped]

    def window(self, key: str) -> tuple[str, str | None]:
        window = self._definition.time_window_for_partition_key(key)
        return _iso(window.start), _iso(window.end)


def _iso(moment: datetime) -> str:
    """Write a moment the way items carry it, so that texts compare as times do."""
    plain = moment.replace(tzinfo=None)
    return plain.date().isoformat() if plain.time() == datetime.min.time() else plain.isoformat()


def partitions_of(
    definition: dg.PartitionsDefinition | None,
    policy: dg.BackfillPolicy | None,
    dynamic_keys: Callable[[str], Sequence[str]],
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
            return NamedPartitions(lambda: dynamic_keys(name), fixed=False)
        case _:
            raise DefinitionError(
                f"{type(definition).__name__} is not supported for a sensor asset: "
                "use time windows, static partitions or dynamic partitions with a name"
            )
