"""Lists any store that obstore knows: in pages where the store sorts its keys, else as a whole."""

import hashlib
import re
from array import array
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import obstore
from obstore.exceptions import BaseError, InvalidPathError
from obstore.store import ObjectStore

from sensor_assets._listing.answers import Entry, Hash, ListingError, Piece
from sensor_assets._listing.s3_xml import fallback_version
from sensor_assets._pages import order

PAGE_KEYS = 1000
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Columns:
    """Some lines of a listing, by column; times in microseconds since 1970 (UTC)."""

    keys: Sequence[str]
    etags: Sequence[str | None]
    sizes: Sequence[int]
    times: Sequence[int]

    def part(self, start: int, stop: int) -> "Columns":
        """Return some of the lines."""
        chosen = slice(start, stop)
        return Columns(self.keys[chosen], self.etags[chosen], self.sizes[chosen], self.times[chosen])

    def entries(self) -> list[Entry]:
        """Return the lines one by one."""
        found: list[Entry] = []
        for key, etag, size, time in zip(self.keys, self.etags, self.sizes, self.times, strict=True):
            modified = EPOCH + timedelta(microseconds=time)
            found.append(Entry(key, etag or fallback_version(modified, size), size, modified))
        return found


NOTHING = Columns((), (), (), ())


def joined(parts: Sequence[Columns]) -> Columns:
    """Return the lines of several parts."""
    if len(parts) == 1:
        return parts[0]
    return Columns(
        [key for part in parts for key in part.keys],
        [etag for part in parts for etag in part.etags],
        [size for part in parts for size in part.sizes],
        [time for part in parts for time in part.times],
    )


@dataclass(frozen=True)
class StorePage:
    """Some lines, as an answer."""

    columns: Columns
    complete: bool
    salt: Hash

    @property
    def keys(self) -> int:
        return len(self.columns.keys)

    @property
    def digest(self) -> bytes:
        return digest_of(self.salt, self.columns)

    def entries(self) -> Sequence[Entry]:
        return self.columns.entries()


def digest_of(salt: Hash, columns: Columns) -> bytes:
    """Return the hash of some lines."""
    digest = salt.copy()
    # No key and no ETag holds a NUL here: obstore refuses control characters.
    digest.update("\0".join(columns.keys).encode())
    digest.update(b"\0\0")
    digest.update("\0".join(map(str, columns.etags)).encode())
    digest.update(array("Q", columns.sizes).tobytes())
    digest.update(array("q", columns.times).tobytes())
    return digest.digest()


class _StoreLister:
    """What both ways of listing share."""

    page_keys = PAGE_KEYS

    def __init__(self, store: ObjectStore, salt: bytes) -> None:
        self.calls = 0
        self._store = store
        self._salt: Hash = hashlib.sha256(type(self).__name__.encode() + salt)

    def digest(self, pieces: Sequence[Piece[StorePage]]) -> bytes:
        return digest_of(self._salt, joined([listed.columns.part(start, stop) for listed, start, stop in pieces]))

    def _listed(self, offset: str | None) -> Iterator[Columns]:
        """Yield the listing after a key as it comes.

        Raises:
            ListingError: The store cannot be listed.
        """
        try:
            for batch in obstore.list(self._store, offset=offset, chunk_size=PAGE_KEYS, return_arrow=True):
                self.calls += 1
                yield _columns(batch)
        except InvalidPathError as error:
            reason = str(error).split("\n\nDebug source")[0]
            raise ListingError(
                f"{reason}; a listing with such a key cannot be read, remove the object or rename it"
            ) from error
        except (BaseError, OSError) as error:
            raise ListingError(reason_of(error)) from error


class SortedStoreLister(_StoreLister):
    """Lists a store that sorts its keys and can begin after one: S3, GCS, Azure, memory.

    Questions that follow each other are answered by one listing that goes on.
    """

    def __init__(self, store: ObjectStore, salt: bytes) -> None:
        super().__init__(store, salt)
        self._stream: Iterator[Columns] = iter(())
        self._rest = NOTHING
        self._at: str | None = ""

    def begin(self) -> None:
        self._at = ""

    def list(self, after: str | None, limit: int) -> StorePage:
        if after != self._at:
            self._stream, self._rest = self._listed(after), NOTHING
        self._at = ""  # until this succeeds
        parts = [self._rest] if self._rest.keys else []
        number = len(self._rest.keys)
        while number < limit and (more := next(self._stream, None)) is not None:
            parts.append(more)
            number += len(more.keys)
        lines = joined(parts) if parts else NOTHING
        found, self._rest = lines.part(0, limit), lines.part(limit, number)
        # The listing that ended here is of no use for the next question.
        self._at = found.keys[-1] if found.keys and number >= limit else ""
        return StorePage(found, number < limit, self._salt)


class WholeStoreLister(_StoreLister):
    """Lists a store that does not sort its keys, such as a directory: all at once, when a scan begins."""

    def __init__(self, store: ObjectStore, salt: bytes) -> None:
        super().__init__(store, salt)
        self._all = NOTHING
        self._order: Sequence[bytes] = ()
        self._loaded = False

    def begin(self) -> None:
        self._loaded = False

    def _load(self) -> None:
        self._loaded = True
        listed = joined(list(self._listed(None)) or [NOTHING])
        ranks = [order(key) for key in listed.keys]
        places = sorted(range(len(ranks)), key=ranks.__getitem__)
        self._order = [ranks[place] for place in places]
        self._all = Columns(*([column[place] for place in places] for column in _each(listed)))

    def list(self, after: str | None, limit: int) -> StorePage:
        if not self._loaded:
            self._load()
        start = 0 if after is None else bisect_right(self._order, order(after))
        return StorePage(self._all.part(start, start + limit), start + limit >= len(self._order), self._salt)


def _each(columns: Columns) -> tuple[Sequence[Any], ...]:
    return columns.keys, columns.etags, columns.sizes, columns.times


def _columns(batch: Any) -> Columns:
    """Return the columns that matter of a batch of Arrow."""
    from arro3.core import DataType  # noqa: PLC0415 - only where such a store is listed

    return Columns(
        keys=cast("list[str]", batch.column("path").to_pylist()),
        etags=cast("list[str | None]", batch.column("e_tag").to_pylist()),
        sizes=cast("list[int]", batch.column("size").to_pylist()),
        times=cast("list[int]", batch.column("last_modified").cast(DataType.int64()).to_pylist()),
    )


def reason_of(error: Exception) -> str:
    """Return what a store answered in one line: of an XML answer, its code and message."""
    text = " ".join(str(error).split("\n\nDebug source")[0].split())
    found = re.search(r"<Code>(.*?)</Code>.*?<Message>(.*?)</Message>", text)
    return f"{found[1]}: {found[2]}".rstrip(".") if found else text.rstrip(".")
