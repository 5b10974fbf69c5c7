"""Listings of obstore as columns, as Arrow has them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import chain
from typing import TYPE_CHECKING, Any, cast

from sensor_assets._listing.answers import Lines
from sensor_assets._listing.s3_xml import fallback_version

if TYPE_CHECKING:
    from obstore import ObjectMeta

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Columns:
    """Some lines of a listing as Arrow has them; times in microseconds since 1970 (UTC)."""

    keys: Sequence[str]
    etags: Sequence[str | None]
    sizes: Sequence[int]
    times: Sequence[int]

    def part(self, start: int, stop: int | None = None) -> "Columns":
        """Return some consecutive lines."""
        chosen = slice(start, stop)
        return Columns(self.keys[chosen], self.etags[chosen], self.sizes[chosen], self.times[chosen])

    def take(self, places: Sequence[int]) -> "Columns":
        """Return the lines at some places, in that order."""
        return Columns(
            [self.keys[place] for place in places],
            [self.etags[place] for place in places],
            [self.sizes[place] for place in places],
            [self.times[place] for place in places],
        )

    def lines(self) -> Lines:
        """Return the lines with the versions and times that items have."""
        modified = [EPOCH + timedelta(microseconds=time) for time in self.times]
        shown = zip(self.etags, modified, self.sizes, strict=True)
        versions = [etag or fallback_version(time, size) for etag, time, size in shown]
        return Lines(self.keys, versions, self.sizes, modified)


NOTHING = Columns((), (), (), ())


def joined(parts: Sequence[Columns]) -> Columns:
    """Return the lines of several parts."""
    if len(parts) == 1:
        return parts[0]
    return Columns(
        list(chain.from_iterable(part.keys for part in parts)),
        list(chain.from_iterable(part.etags for part in parts)),
        list(chain.from_iterable(part.sizes for part in parts)),
        list(chain.from_iterable(part.times for part in parts)),
    )


def of_batch(batch: Any) -> Columns:
    """Return the columns that matter of a batch of Arrow."""
    from arro3.core import DataType  # noqa: PLC0415 - only where such a store is listed

    return Columns(
        keys=cast("list[str]", batch.column("path").to_pylist()),
        etags=cast("list[str | None]", batch.column("e_tag").to_pylist()),
        sizes=cast("list[int]", batch.column("size").to_pylist()),
        times=cast("list[int]", batch.column("last_modified").cast(DataType.int64()).to_pylist()),
    )


def of_one(key: str, meta: "ObjectMeta") -> Columns:
    """Return the line of one object."""
    time = (meta["last_modified"] - EPOCH) // timedelta(microseconds=1)
    return Columns([key], [meta["e_tag"]], [meta["size"]], [time])
