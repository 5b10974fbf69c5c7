"""Many items as columns: a page of ten thousand objects without ten thousand objects in Python."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, overload

from sensor_assets._items import Item


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Columns(Sequence[Item]):
    """A sequence of items that makes an item only where one is asked for; the columns are of equal length.

    Args:
        keys: Key of each item.
        versions: Version of each item.
        sizes: Bytes of each item.
        modified: When each item changed (UTC), or None.
        partitions: Partition of each item; empty when no item has one.
        metadata: Metadata of those items that have some, by place.
        source: Name of the source of all of them.
    """

    keys: Sequence[str]
    versions: Sequence[str]
    sizes: Sequence[int]
    modified: Sequence[datetime | None]
    partitions: Sequence[str | None] = ()
    metadata: Mapping[int, Mapping[str, Any]] = field(default_factory=dict[int, Mapping[str, Any]])
    source: str = ""

    def __post_init__(self) -> None:
        lengths = {len(self.keys), len(self.versions), len(self.sizes), len(self.modified)}
        if self.partitions:
            lengths.add(len(self.partitions))
        if len(lengths) > 1:
            raise ValueError(f"columns of different length: {sorted(lengths)}")

    @classmethod
    def of(cls, items: Sequence[Item]) -> "Columns":
        """Return the columns of items that exist already; their arrivals and readers are left out."""
        return cls(
            keys=[item.key for item in items],
            versions=[item.version for item in items],
            sizes=[item.size for item in items],
            modified=[item.modified for item in items],
            partitions=[item.partition for item in items],
            metadata={place: item.metadata for place, item in enumerate(items) if item.metadata},
            source=items[0].source if items else "",
        )

    def __len__(self) -> int:
        return len(self.keys)

    @overload
    def __getitem__(self, index: int) -> Item: ...

    @overload
    def __getitem__(self, index: slice) -> "Columns": ...

    def __getitem__(self, index: int | slice) -> "Item | Columns":
        if isinstance(index, slice):
            return self.take(range(len(self))[index])
        place = range(len(self))[index]
        return Item(
            key=self.keys[place],
            version=self.versions[place],
            size=self.sizes[place],
            modified=self.modified[place],
            partition=self.partitions[place] if self.partitions else None,
            metadata=self.metadata.get(place, {}),
            source=self.source,
        )

    def take(self, places: Sequence[int]) -> "Columns":
        """Return the items at some places, in that order."""
        return Columns(
            keys=[self.keys[place] for place in places],
            versions=[self.versions[place] for place in places],
            sizes=[self.sizes[place] for place in places],
            modified=[self.modified[place] for place in places],
            partitions=[self.partitions[place] for place in places] if self.partitions else (),
            metadata={new: self.metadata[old] for new, old in enumerate(places) if old in self.metadata}
            if self.metadata
            else {},
            source=self.source,
        )
