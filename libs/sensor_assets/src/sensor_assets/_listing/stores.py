"""Lists stores through obstore: what both ways share, and stores that do not sort their keys."""

import hashlib
import os
import re
from array import array
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import obstore
from obstore.exceptions import BaseError, GenericError, InvalidPathError
from obstore.store import LocalStore, ObjectStore

from sensor_assets._listing.answers import REFUSED, Hash, Lines, ListingError, Piece, Remaining, forever
from sensor_assets._listing.columns import NOTHING, Columns, joined, of_batch, of_one
from sensor_assets._pages import order

PAGE_KEYS = 1000
# So many empty objects of a page are asked for one by one whether they are folders.
MOST_EMPTY = 50


@dataclass(frozen=True)
class StorePage:
    """Some lines, as an answer."""

    columns: Columns
    complete: bool
    lister: "StoreLister"

    @property
    def keys(self) -> int:
        return len(self.columns.keys)

    @property
    def digest(self) -> bytes:
        return self.lister.digest_of(self.columns)

    def lines(self) -> Lines:
        return self.lister.lines_of(self.columns)


class StoreLister:
    """What both ways of listing share."""

    page_keys = PAGE_KEYS

    def __init__(self, store: ObjectStore, salt: bytes) -> None:
        self.calls = 0
        self._store = store
        self._salt: Hash = hashlib.sha256(type(self).__name__.encode() + salt)
        self.unseen: list[str] = []

    def digest(self, pieces: Sequence[Piece[StorePage]]) -> bytes:
        return self.digest_of(joined([listed.columns.part(start, stop) for listed, start, stop in pieces]))

    def digest_of(self, columns: Columns) -> bytes:
        """Return the hash of some lines."""
        digest = self._salt.copy()
        # No ETag holds a NUL, and no key but a refused one, which is always told as the same.
        digest.update("\0".join(columns.keys).encode("utf-8", "surrogateescape"))
        digest.update(b"\0\0")
        digest.update("\0".join(map(str, columns.etags)).encode())
        digest.update(array("Q", columns.sizes).tobytes())
        digest.update(array("q", columns.times).tobytes())
        return digest.digest()

    def lines_of(self, columns: Columns) -> Lines:
        """Return the lines; a folder is no object."""
        lines = columns.lines()
        empty = [place for place, size in enumerate(columns.sizes) if size == 0 and columns.etags[place] != REFUSED]
        if not empty:
            return lines
        versions = list(lines.versions)
        for place in empty:
            following = columns.keys[place + 1 : place + 2]
            holds_more = any(key.startswith(f"{columns.keys[place]}/") for key in following)
            if (holds_more or len(empty) <= MOST_EMPTY) and self._is_folder(columns.keys[place]):
                versions[place] = None
        return Lines(lines.keys, versions, lines.sizes, lines.modified)

    def _is_folder(self, key: str) -> bool:
        """Tell whether a key that was shown is that of no object: obstore leaves out the slash at a folder's end."""
        try:
            obstore.head(self._store, key)
        except FileNotFoundError:
            return True
        except (BaseError, OSError) as error:
            raise ListingError(reason_of(error)) from error
        return False

    def shown(self, offset: str | None) -> Iterator[Columns]:
        """Yield what obstore shows after a key, as it comes.

        Raises:
            InvalidPathError: The next answer holds a key that obstore refuses.
            ListingError: The store cannot be listed.
        """
        try:
            for batch in obstore.list(self._store, offset=offset, chunk_size=PAGE_KEYS, return_arrow=True):
                self.calls += 1
                yield of_batch(batch)
        except InvalidPathError:
            raise
        except (BaseError, OSError) as error:
            raise ListingError(reason_of(error)) from error


class WholeStoreLister(StoreLister):
    """Lists a store that does not sort its keys, such as a directory: all at once, when a scan begins."""

    def __init__(self, store: ObjectStore, salt: bytes) -> None:
        super().__init__(store, salt)
        self._all = NOTHING
        self._order: Sequence[bytes] = ()
        self._loaded = False

    def begin(self, remaining: Remaining = forever) -> None:  # noqa: ARG002 - obstore has bounds of its own
        self._loaded = False

    def list(self, after: str | None, limit: int) -> StorePage:
        if not self._loaded:
            self._load()
        start = 0 if after is None else bisect_right(self._order, order(after))
        return StorePage(self._all.part(start, start + limit), start + limit >= len(self._order), self)

    def _load(self) -> None:
        directory = self._store.prefix if isinstance(self._store, LocalStore) else None
        # One that vanished after it was opened would be listed as an empty one.
        if directory is not None and not directory.is_dir():
            raise ListingError("there is no such directory")
        try:
            listed = joined(list(self.shown(None)) or [NOTHING])
        except InvalidPathError as error:
            if directory is None:
                raise ListingError(f"{reason_of(error)}; remove the object or rename it") from error
            listed = joined(list(self._walked(directory)))
        ranks = [order(key) for key in listed.keys]
        places = sorted(range(len(ranks)), key=ranks.__getitem__)
        self._order = [ranks[place] for place in places]
        self._all = listed.take(places)
        self._loaded = True

    def _walked(self, directory: Path) -> Iterator[Columns]:
        """Yield the files of a directory in which some have a name that obstore refuses."""
        yield NOTHING
        for folder, _, names in os.walk(directory, followlinks=True):
            for name in names:
                key = Path(folder, name).relative_to(directory).as_posix()
                try:
                    yield of_one(key, obstore.head(self._store, key))
                except FileNotFoundError:
                    continue  # it vanished, or is a link to nowhere
                except ValueError:
                    yield Columns([key], [REFUSED], [0], [0])
                except GenericError:
                    continue  # what obstore names the parts of an upload before it is complete
                except (BaseError, OSError) as error:
                    raise ListingError(reason_of(error)) from error


def reason_of(error: Exception) -> str:
    """Return what a store answered in one line: of an XML answer, its code and message."""
    text = " ".join(str(error).split("\n\nDebug source")[0].split())
    found = re.search(r"<Code>(.*?)</Code>.*?<Message>(.*?)</Message>", text)
    return f"{found[1]}: {found[2]}".rstrip(".") if found else text.rstrip(".")
