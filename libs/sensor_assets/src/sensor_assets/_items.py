"""An item: one version of one thing that a source showed."""

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, BinaryIO

from sensor_assets.errors import ItemGone, SensorAssetsError

# Metadata key under which a source says why an item that it showed cannot be placed; the item is quarantined with it.
UNMATCHED = "sensor_assets/unmatched"

# Metadata key of an item that says that the thing is no longer there, see `Item.deletion`.
DELETED = "sensor_assets/deleted"

# Metadata key under which an item names the message whose body the ledger keeps.
MESSAGE = "sensor_assets/message"


@dataclass(frozen=True, kw_only=True, slots=True)
class Item:
    """One version of one thing that a source showed.

    Args:
        key: Name of the thing within its source, for example a path below the source's prefix.
        version: What tells two states of the thing apart: object version id or ETag, row version, body hash.
        arrival: Position in the source's log, from 1; 0 while the item is not recorded yet.
        size: Bytes, 0 where the source does not know.
        modified: When the source says that the thing changed (UTC); for information only, never used as position.
        partition: ISO date or time (``2013-01-01``, ``2013-01-01T05:00:00``) or any other partition key.
        metadata: Small JSON document for conditions and routing; recorded in the ledger.
        source: Name of the source.
    """

    key: str
    version: str
    arrival: int = 0
    size: int = 0
    modified: datetime | None = None
    partition: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict[str, Any])
    source: str = ""
    reader: Callable[["Item"], bytes] | None = field(default=None, repr=False, compare=False)

    @property
    def deleted(self) -> bool:
        """Whether this version is that the thing is no longer there.

        Only sources that look for deletions show such items. They are in a batch, so that an asset can remove what it
        has; a rebuild (`Batch.current`, `Batch.by_partition`) sees what exists and leaves them out.
        """
        return bool(self.metadata.get(DELETED, False))

    @classmethod
    def deletion(cls, key: str, *, version: str, partition: str | None = None, source: str = "") -> "Item":
        """Return the item which says that a thing is no longer there, after it had this version."""
        return cls(key=key, version=f"deleted:{version}", partition=partition, metadata={DELETED: True}, source=source)

    def read(self) -> bytes:
        """Read the bytes of exactly this version.

        Raises:
            ItemChanged: The source now holds a newer version, which arrives by itself. Let it pass.
            ItemGone: The source no longer holds the item, or the item is a deletion. Let it pass.
            SensorAssetsError: The source's items have no bytes (rows of a table, metadata only).
        """
        if self.deleted:
            raise ItemGone(self, f"'{self.key}' of source '{self.source}' was deleted")
        if self.reader is None:
            raise SensorAssetsError(
                f"items of source '{self.source}' have no bytes: use batch.rows() for a table, item.metadata otherwise"
            )
        return self.reader(self)

    def open(self) -> BinaryIO:
        """Open the bytes of exactly this version as a file; see `read`."""
        return io.BytesIO(self.read())


def counted(number: int, verb: str = "") -> str:
    """Say how many items there are, and what they do: "1 item waits", "2 items wait"."""
    noun, ending = ("item", "s") if number == 1 else ("items", "")
    return f"{number} {noun} {verb}{ending}" if verb else f"{number} {noun}"
