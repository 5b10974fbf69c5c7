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
        digest: Hash of what the store answered; empty where the page is in doubt and is to be listed again.
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

    def before(self, key: str | None, limit: int) -> Sequence[ListingPage]:
        """Return the last pages whose last key is less than a key, in order; the last of all without one."""
        ...

    def doubtful(self) -> Sequence[str]:
        """Return the last keys of the pages in doubt, in order."""
        ...


class NoPages:
    """A page map that remembers nothing."""

    def after(self, key: str | None, limit: int) -> Sequence[ListingPage]:  # noqa: ARG002
        return ()

    def before(self, key: str | None, limit: int) -> Sequence[ListingPage]:  # noqa: ARG002
        return ()

    def doubtful(self) -> Sequence[str]:
        return ()


def order(key: str) -> bytes:
    """Return what keys are sorted by: UTF-8 bytes, also those that are none."""
    return key.encode("utf-8", "surrogateescape")


def text(key: bytes) -> str:
    """Return the key that is sorted by these bytes."""
    return key.decode("utf-8", "surrogateescape")
