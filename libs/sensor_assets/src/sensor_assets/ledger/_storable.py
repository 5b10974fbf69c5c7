"""What Postgres can store of what a source shows."""

import json
from dataclasses import replace

from sensor_assets._items import UNMATCHED, Item

# An index entry may have about 2,700 bytes; key and version share one. S3 allows keys of 1,024 bytes.
MAX_KEY_BYTES = 1536
MAX_VERSION_BYTES = 1024


def storable(item: Item) -> Item:
    """Return the item as it is, or made legible and marked, so that it ends in quarantine instead of blocking its page.

    Postgres refuses NUL and unpaired surrogates in texts, and index entries that are too long.
    """
    key, version = _legible(item.key, MAX_KEY_BYTES), _legible(item.version, MAX_VERSION_BYTES)
    metadata = dict(item.metadata)
    text = json.dumps(metadata, ensure_ascii=False)
    if key == item.key and version == item.version and _legible(text, len(text) * 4) == text and r"\u0000" not in text:
        return item
    reason = f"key, version or metadata of {item.key[:200]!r} cannot be stored: NUL, broken Unicode, or too long"
    return replace(item, key=key, version=version, partition=None, metadata={UNMATCHED: _legible(reason, 2000)})


def _legible(text: str, limit: int) -> str:
    encoded = text.replace("\0", r"\x00").encode("utf-8", "backslashreplace")
    return encoded[:limit].decode("utf-8", "ignore")
