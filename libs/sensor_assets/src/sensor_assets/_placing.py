"""Where an item belongs: what decisions ask of an asset's partitions."""

from collections.abc import Sequence
from typing import Protocol, TypeAlias

# The items' partitions that belong to a key: from (inclusive) to (exclusive), or (equal, None).
Window: TypeAlias = tuple[str, str | None]


class Unplaceable(Exception):  # noqa: N818 - a verdict about an item, not an error of the program
    """The item belongs to no partition that can ever exist; the message is the reason shown in the quarantine."""


class Partitions(Protocol):
    """The partitions of one consumer, as far as decisions need them."""

    def place(self, partition: str | None) -> str | None:
        """Return the asset's partition key for an item's partition; raise `Unplaceable` when there can be none."""
        ...

    def available(self, keys: Sequence[str]) -> frozenset[str]:
        """Return the keys that may be launched now; any other would fail the daemon's whole tick."""
        ...

    def absence(self, key: str) -> str:
        """Say why a key is not available."""
        ...

    def ranges(self, keys: Sequence[str]) -> list[tuple[str, ...]]:
        """Group keys into ranges that one run may take, in order."""
        ...

    def window(self, key: str) -> Window:
        """Return the items' partitions that belong to a key."""
        ...
