"""What a store is asked for, and what its answer has to tell."""

from collections.abc import Sequence
from datetime import datetime
from typing import Generic, NamedTuple, Protocol, TypeVar

from sensor_assets._pages import order


class ListingError(Exception):
    """A store cannot be listed or read; the text says what it answered, in one line."""


class Entry(NamedTuple):
    """One line of a listing.

    Args:
        key: Key below the source's prefix.
        version: ETag or version id; None for a line that is no object, such as a delete marker.
        size: Bytes.
        modified: When the store says that the object was written (UTC).
    """

    key: str
    version: str | None
    size: int
    modified: datetime | None


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

    def entries(self) -> Sequence[Entry]:
        """Parse the lines, in order of key."""
        ...


L = TypeVar("L", bound=Listed)


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

    def begin(self) -> None:
        """Begin a scan: forget what was listed for an earlier one."""
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


def in_order(entries: Sequence[Entry], after: str | None) -> Sequence[Entry]:
    """Return the entries.

    Raises:
        ListingError: They are not sorted by the bytes of their keys, so that a listing could not be taken up again.
    """
    keys = [entry.key for entry in entries]
    # Texts compare like their UTF-8 bytes, unless they stand for bytes that are no UTF-8.
    if keys != sorted(keys) or (keys and after is not None and keys[0] <= after):
        exact = [order(key) for key in keys]
        if exact != sorted(exact) or (after is not None and exact[0] <= order(after)):
            raise ListingError("the store does not list its keys in the order of their UTF-8 bytes")
    return entries
