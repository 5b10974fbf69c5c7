"""A page map: what is remembered of each page of a sorted listing, so that an unchanged page costs one hash."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, kw_only=True, slots=True)
class ListingPage:
    """A page of a listing as it was seen last.

    It covers the keys after the last key of the page before it, up to its own last key. So the gap that is left when
    the last key of a page is deleted belongs to the next page, and a key that appears there is seen.

    Args:
        last: Its last key.
        keys: How many keys it has.
        digest: Hash of what the store answered.
    """

    last: str
    keys: int
    digest: bytes


@dataclass(frozen=True, kw_only=True)
class Relisting:
    """A stretch of the map that was listed again: what it held is replaced by `pages`.

    Args:
        after: The stretch begins after this key; None for the beginning.
        until: It ends with this key; None for the end of the listing.
        pages: The pages that it has now, in order.
    """

    after: str | None
    until: str | None
    pages: Sequence[ListingPage]


class PageMap(Protocol):
    """The remembered pages of one source, in order of key (by UTF-8 bytes)."""

    def after(self, key: str | None, limit: int) -> Sequence[ListingPage]:
        """Return the first pages whose last key is greater than a key, all from the first page without one."""
        ...
