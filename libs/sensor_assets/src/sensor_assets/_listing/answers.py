"""What a store is asked for, and what its answer has to tell."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import chain
from math import inf
from typing import Generic, NamedTuple, Protocol, TypeVar

from sensor_assets._pages import order

# What stands for the version of a key that is listed and can never be read.
REFUSED = "refused"


NO_CREDENTIALS = (
    "no AWS credentials were found: give the pod a role, or set AWS_PROFILE or AWS_ACCESS_KEY_ID and "
    "AWS_SECRET_ACCESS_KEY"
)


class ListingError(Exception):
    """A store cannot be listed or read; the text says what it answered, in one line."""


class Entry(NamedTuple):
    """One line of a listing, see `Lines`."""

    key: str
    version: str | None
    size: int
    modified: datetime | None


@dataclass(frozen=True)
class Lines:
    """Lines of a listing, by column; a page has a thousand of them.

    Args:
        keys: Keys below the source's prefix.
        versions: ETag or version id of each; None for a line that is no object, such as a delete marker.
        sizes: Bytes.
        modified: When the store says that the object was written (UTC).
    """

    keys: Sequence[str]
    versions: Sequence[str | None]
    sizes: Sequence[int]
    modified: Sequence[datetime | None]

    @classmethod
    def of(cls, entries: Sequence[Entry]) -> "Lines":
        """Return the columns of lines that exist one by one."""
        keys, versions = [entry.key for entry in entries], [entry.version for entry in entries]
        return cls(keys, versions, [entry.size for entry in entries], [entry.modified for entry in entries])

    def __len__(self) -> int:
        return len(self.keys)

    def __iter__(self) -> Iterator[Entry]:
        return map(Entry, self.keys, self.versions, self.sizes, self.modified)

    def part(self, start: int, stop: int) -> "Lines":
        """Return some consecutive lines."""
        part = slice(start, stop)
        return Lines(self.keys[part], self.versions[part], self.sizes[part], self.modified[part])

    def take(self, places: Sequence[int]) -> "Lines":
        """Return the lines at some places, in that order."""
        return Lines(
            [self.keys[place] for place in places],
            [self.versions[place] for place in places],
            [self.sizes[place] for place in places],
            [self.modified[place] for place in places],
        )


NO_LINES = Lines((), (), (), ())


def joined(parts: Sequence[Lines]) -> Lines:
    """Return the lines of several parts, one after the other."""
    if len(parts) == 1:
        return parts[0]
    return Lines(
        list(chain.from_iterable(part.keys for part in parts)),
        list(chain.from_iterable(part.versions for part in parts)),
        list(chain.from_iterable(part.sizes for part in parts)),
        list(chain.from_iterable(part.modified for part in parts)),
    )


class Listed(Protocol):
    """One answer: the keys after a key, in order. What is expensive is done when it is asked for."""

    @property
    def keys(self) -> int:
        """Number of lines."""
        ...

    @property
    def digest(self) -> bytes:
        """Hash of all that the lines say."""
        ...

    @property
    def complete(self) -> bool:
        """Whether the listing is known to end here."""
        ...

    def lines(self) -> Lines:
        """Parse the lines, in order of key."""
        ...


L = TypeVar("L", bound=Listed)

Remaining = Callable[[], float]


def forever() -> float:
    """Return that there is no bound."""
    return inf


class Piece(NamedTuple, Generic[L]):
    """Some consecutive lines of an answer."""

    listed: L
    start: int
    stop: int


class Hash(Protocol):
    """What hashlib makes."""

    def update(self, data: bytes | memoryview, /) -> None: ...
    def copy(self) -> "Hash": ...
    def digest(self) -> bytes: ...


class Lister(Protocol[L]):
    """Lists the objects below a prefix."""

    @property
    def page_keys(self) -> int:
        """The most keys that one answer is asked for."""
        ...

    @property
    def calls(self) -> int:
        """Number of LIST calls so far."""
        ...

    @property
    def unseen(self) -> Sequence[str]:
        """Keys before which there may be others that were not shown in this scan."""
        ...

    def begin(self, remaining: Remaining = forever) -> None:
        """Begin a scan: forget what was listed for an earlier one.

        Args:
            remaining: Returns the seconds in which an answer is expected.
        """
        ...

    def list(self, after: str | None, limit: int) -> L:
        """Return the first `limit` lines after a key, or fewer; never only some of the lines of a key.

        Raises:
            ListingError: The store does not answer, or not with a listing.
        """
        ...

    def digest(self, pieces: Sequence[Piece[L]]) -> bytes:
        """Return the digest that one answer with exactly these lines would have."""
        ...


def in_order(lines: Lines, after: str | None) -> Lines:
    """Return the lines.

    Raises:
        ListingError: They are not sorted by the bytes of their keys, so that a listing could not be taken up again.
    """
    keys = list(lines.keys)
    # Texts compare like their UTF-8 bytes, unless they stand for bytes that are no UTF-8.
    if keys != sorted(keys) or (keys and after is not None and keys[0] <= after):
        exact = [order(key) for key in keys]
        if exact != sorted(exact) or (after is not None and exact[0] <= order(after)):
            raise ListingError("the store does not list its keys in the order of their UTF-8 bytes")
    return lines
