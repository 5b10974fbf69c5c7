"""What Postgres can store of what a source shows."""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import UTC
from typing import Any

from sensor_assets._columns import Columns
from sensor_assets._items import UNMATCHED, Item

# An index entry may have about 2,700 bytes. S3 allows keys of 1,024 bytes.
MAX_KEY_BYTES = 1536
MAX_VERSION_BYTES = 1024


def storable(items: Sequence[Item]) -> Columns:
    """Return the items as columns, each as it is, or made legible and marked where it could not be stored.

    Postgres refuses NUL and unpaired surrogates in texts, and index entries that are too long. An item that is marked
    ends in quarantine instead of blocking its page.
    """
    columns = items if isinstance(items, Columns) else Columns.of([_in_utc(item) for item in items])
    if _plain(columns):
        return columns
    return Columns.of([_storable(item) for item in columns])


def metadata_text(metadata: Mapping[str, Any] | None) -> str:
    """Return the JSON document for an item's metadata, the empty text for none."""
    return json.dumps(dict(metadata), ensure_ascii=False) if metadata else ""


def stored_keys(keys: Sequence[str]) -> dict[str, str]:
    """Return each key by the key under which its items are stored."""
    return {legible(key, MAX_KEY_BYTES): key for key in keys}


def _plain(columns: Columns) -> bool:
    """Tell whether every item can be stored as it is; checks whole columns, as a page may have ten thousand items."""
    partitions = {partition for partition in columns.partitions if partition is not None}
    return (
        _plain_texts(columns.keys, MAX_KEY_BYTES)
        and _plain_texts(columns.versions, MAX_VERSION_BYTES)
        and _plain_texts(partitions, MAX_KEY_BYTES)
        and all(_plain_metadata(metadata) for metadata in columns.metadata.values())
    )


def _plain_texts(texts: Collection[str], limit: int) -> bool:
    joined = "".join(texts)
    if "\0" in joined:
        return False
    if joined.isascii():
        return max(map(len, texts), default=0) <= limit
    return all(legible(text, limit) == text for text in texts)


def _plain_metadata(metadata: Mapping[str, Any]) -> bool:
    text = metadata_text(metadata)
    return legible(text, len(text) * 4) == text and r"\u0000" not in text


def _storable(item: Item) -> Item:
    key, version = legible(item.key, MAX_KEY_BYTES), legible(item.version, MAX_VERSION_BYTES)
    partition = None if item.partition is None else legible(item.partition, MAX_KEY_BYTES)
    same = (key, version, partition) == (item.key, item.version, item.partition)
    if same and _plain_metadata(item.metadata):
        return item
    reason = (
        f"key, version, partition or metadata of {item.key[:200]!r} cannot be stored: NUL, broken Unicode, or too long"
    )
    return replace(item, key=key, version=version, partition=None, metadata={UNMATCHED: legible(reason, 2000)})


def legible(text: str, limit: int) -> str:
    """Return a text that Postgres can store, cut to so many bytes."""
    encoded = text.replace("\0", r"\x00").encode("utf-8", "backslashreplace")
    return encoded[:limit].decode("utf-8", "ignore")


def _in_utc(item: Item) -> Item:
    """Take a time without a zone for UTC, as the item's description says it is."""
    if item.modified is None or item.modified.tzinfo is not None:
        return item
    return replace(item, modified=item.modified.replace(tzinfo=UTC))
