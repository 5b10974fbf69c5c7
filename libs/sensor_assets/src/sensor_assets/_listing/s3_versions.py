"""Lists every version of every object of a versioned bucket."""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from sensor_assets._listing import s3_xml
from sensor_assets._listing.answers import Entry, Hash, Lines, ListingError, Piece, Remaining, forever
from sensor_assets._listing.s3 import ask
from sensor_assets._pages import order

if TYPE_CHECKING:
    from sensor_assets._listing.s3_wire import Wire

MOST_KEYS = 1000
_LINE = re.compile(rb"<(Version|DeleteMarker)>(.*?)</\1>", re.DOTALL)
_NEXT_KEY = re.compile(rb"<NextKeyMarker>([^<]*)</NextKeyMarker>")
_NEXT_VERSION = re.compile(rb"<NextVersionIdMarker>([^<]*)</NextVersionIdMarker>")
# What a bucket holds since before it was versioned has this as its version id, and can be overwritten.
NULL = "null"


class Line(NamedTuple):
    """A version or a delete marker, as it came."""

    key: str
    kind: bytes
    text: bytes


@dataclass(frozen=True)
class VersionsPage:
    """The lines of some keys, of each key the oldest first."""

    texts: Sequence[Line]
    complete: bool
    salt: Hash
    prefix: int

    @property
    def keys(self) -> int:
        return len(self.texts)

    @property
    def digest(self) -> bytes:
        return digest_of(self.salt, self.texts)

    def lines(self) -> Lines:
        return Lines.of([_entry(line, self.prefix) for line in self.texts])


class VersionsLister:
    """Lists with ListObjectVersions; one line more than asked for tells whether a key has all its versions."""

    page_keys = MOST_KEYS - 1
    unseen = ()

    def __init__(self, wire: "Wire", prefix: str, salt: bytes) -> None:
        self.calls = 0
        self._wire = wire
        self._prefix = prefix
        self._salt: Hash = hashlib.sha256(b"s3 versions:" + salt)
        self._remaining = forever

    def begin(self, remaining: Remaining = forever) -> None:
        self._remaining = remaining

    def list(self, after: str | None, limit: int) -> VersionsPage:
        lines: list[Line] = []
        key, version = "" if after is None else self._prefix + after, ""
        while True:
            # At least two: a server that begins with the version which is named would show nothing else.
            most = min(MOST_KEYS, max(limit + 1 - len(lines), 2)) if len(lines) <= limit else MOST_KEYS
            query = {"versions": "", "encoding-type": "url", "max-keys": str(most)}
            places = {"prefix": self._prefix, "key-marker": key, "version-id-marker": version}
            self.calls += 1
            told = query | {name: value for name, value in places.items() if value}
            body = s3_xml.Body(ask(self._wire, told, self._remaining), b"ListVersionsResult")
            # Some servers begin with the key or version that is named, others after it.
            known = set(lines)
            shown = _lines(body)
            lines += [
                line for line in shown if line not in known and (after is None or line.key != self._prefix + after)
            ]
            if not body.truncated(len(body.bytes), 0):
                return self._page(lines, complete=True)
            if len(lines) > limit and len({line.key for line in lines}) > 1:
                last = max((line.key for line in lines), key=order)
                return self._page([line for line in lines if line.key != last], complete=False)
            following = _markers(body)
            if following == (key, version) or not shown:
                raise ListingError("the store answers that more versions follow, and not where")
            key, version = following

    def _page(self, lines: Sequence[Line], *, complete: bool) -> VersionsPage:
        # The store shows the newest of a key first; sorting backwards keeps that, and turning it around does not.
        oldest_first = sorted(lines, key=lambda line: order(line.key), reverse=True)[::-1]
        return VersionsPage(oldest_first, complete, self._salt, len(self._prefix))

    def digest(self, pieces: Sequence[Piece[VersionsPage]]) -> bytes:
        lines: list[Line] = []
        for listed, start, stop in pieces:
            lines += listed.texts[start:stop]
        return digest_of(self._salt, lines)


def digest_of(salt: Hash, lines: Sequence[Line]) -> bytes:
    """Return the hash of some lines."""
    digest = salt.copy()
    for line in lines:
        digest.update(line.kind + line.text)
    return digest.digest()


def _lines(body: s3_xml.Body) -> Sequence[Line]:
    found = [(line[1], line[2]) for line in _LINE.finditer(body.bytes)]
    names = s3_xml.keys([s3_xml.field(text, b"Key") for _, text in found], quoted=body.quoted)
    return [Line(key, kind, text) for key, (kind, text) in zip(names, found, strict=True)]


def _markers(body: s3_xml.Body) -> tuple[str, str]:
    key, version = _NEXT_KEY.search(body.bytes), _NEXT_VERSION.search(body.bytes)
    (name,) = s3_xml.keys([key[1] if key else b""], quoted=body.quoted)
    return name, s3_xml.unescaped(version[1]).decode() if version else ""


def _entry(line: Line, prefix: int) -> Entry:
    modified = s3_xml.moment(s3_xml.field(line.text, b"LastModified"))
    if line.kind == b"DeleteMarker":
        return Entry(line.key[prefix:], None, 0, modified)
    version = s3_xml.unescaped(s3_xml.field(line.text, b"VersionId")).decode() or NULL
    if version == NULL:
        version = f"{NULL}:{s3_xml.unescaped(s3_xml.field(line.text, b'ETag')).decode()}"
    return Entry(line.key[prefix:], version, int(s3_xml.field(line.text, b"Size", b"0")), modified)
