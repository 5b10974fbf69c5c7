"""Listings of S3 as they come over the wire, parsed only when somebody asks what is in them."""

import re
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from urllib.parse import unquote_to_bytes

from sensor_assets._listing.answers import Lines, ListingError

OPEN, CLOSE = b"<Contents>", b"</Contents>"
_TAGS = (b"Key", b"ETag", b"Size", b"LastModified")
_TAG = {tag: re.compile(b"<" + tag + b">([^<]*)</" + tag + b">") for tag in (*_TAGS, b"VersionId", b"IsTruncated")}
_ENTITY = re.compile(rb"&(?:#(\d+)|#[xX]([0-9a-fA-F]+)|(quot|amp|lt|gt|apos));")
_NAMED = {b"quot": b'"', b"amp": b"&", b"lt": b"<", b"gt": b">", b"apos": b"'"}


class Body:
    """The body of a listing.

    Raises:
        ListingError: It is no listing, or not all of one.
    """

    def __init__(self, body: bytes, root: bytes) -> None:
        if not body.rstrip().endswith(b"</" + root + b">") or b"<" + root not in body[:400]:
            shown = body[:80].decode("utf-8", "replace")
            raise ListingError(
                f"the answer is not a listing, or not all of one: {len(body)} bytes that begin with {shown!r}"
            )
        self.bytes = body

    @property
    def quoted(self) -> bool:
        """Whether keys are quoted as in a URL. Some servers say so and do it, others escape them as XML does."""
        return b"<EncodingType>url</EncodingType>" in self.bytes

    def truncated(self, start: int, stop: int) -> bool:
        """Tell whether more keys follow; the lines lie between `start` and `stop`."""
        found = _TAG[b"IsTruncated"].search(self.bytes, 0, start) or _TAG[b"IsTruncated"].search(self.bytes, stop)
        return found is not None and found[1] == b"true"


def keys(texts: Sequence[bytes], *, quoted: bool, prefix: int = 0) -> list[str]:
    """Return keys as they are, without a prefix of so many characters; a key that is not UTF-8 keeps its bytes."""
    together = b"<".join(texts)  # which no text has in it
    if quoted and (b"%" in together or b"+" in together):
        # As in a form: a plus is a space.
        plain = [unquote_to_bytes(text.replace(b"+", b" ")) for text in texts]
        found = [text.decode("utf-8", "surrogateescape") for text in plain]
    elif not quoted and b"&" in together:
        found = [unescaped(text).decode("utf-8", "surrogateescape") for text in texts]
    else:
        found = together.decode("utf-8", "surrogateescape").split("<") if texts else []
    return [key[prefix:] for key in found]


def parsed(text: bytes, prefix: int, *, quoted: bool) -> Lines:
    """Parse what is between the first ``<Contents>`` and the last ``</Contents>``; leave out the prefix of keys."""
    found: list[Sequence[bytes]] = [_TAG[tag].findall(text) for tag in _TAGS]
    number = text.count(OPEN)
    if any(len(values) != number for values in found):
        found = list(zip(*map(_line, text.split(CLOSE)[:-1]), strict=True))
    names, etags = keys(found[0], quoted=quoted, prefix=prefix), _etags(found[1])
    sizes, times = list(map(int, found[2])), list(map(moment, found[3]))
    if not all(etags):
        etags = [etag or fallback_version(at, size) for etag, at, size in zip(etags, times, sizes, strict=True)]
    return Lines(names, etags, sizes, times)


def fallback_version(modified: datetime | None, size: int) -> str:
    """Return what stands for a version in the rare store that has no ETags."""
    return f"{modified.isoformat() if modified else ''}/{size}"


def _line(line: bytes) -> tuple[bytes, ...]:
    """Return the fields of one line in which something is missing or twice."""
    return tuple(field(line, tag, b"0" if tag == b"Size" else b"") for tag in _TAGS)


def field(line: bytes, tag: bytes, default: bytes = b"") -> bytes:
    """Return what stands in the first such element of a line."""
    found = _TAG[tag].search(line)
    return found[1] if found else default


def _etags(texts: Sequence[bytes]) -> list[str]:
    """Return ETags as they are; nearly all differ from their text in the quotes around them alone."""
    plain = b"<".join(texts).replace(b"&quot;", b'"').replace(b"&#34;", b'"')
    if b"&" in plain:
        return [unescaped(text).decode("utf-8", "replace") for text in plain.split(b"<")]
    return plain.decode("utf-8", "replace").split("<") if texts else []


def moment(text: bytes) -> datetime | None:
    """Return a time in UTC."""
    try:
        found = datetime.fromisoformat(text.decode())
    except ValueError:
        return None
    return found if found.tzinfo is UTC else found.replace(tzinfo=found.tzinfo or UTC).astimezone(UTC)


def unescaped(text: bytes) -> bytes:
    """Return a text of XML as it is. Unlike HTML, XML as stores write it has control characters."""
    return _ENTITY.sub(_character, text) if b"&" in text else text


def _character(found: "re.Match[bytes]") -> bytes:
    if found[3]:
        return _NAMED[found[3]]
    number = int(found[1]) if found[1] else int(found[2], 16)
    return chr(number).encode("utf-8", "surrogatepass") if number <= sys.maxunicode else found[0]
