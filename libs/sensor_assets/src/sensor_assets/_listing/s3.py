"""Lists a bucket of S3 page by page; what did not change is hashed and never parsed."""

import hashlib
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from sensor_assets._listing import s3_xml
from sensor_assets._listing.answers import Hash, Lines, ListingError, Piece, Remaining, forever

if TYPE_CHECKING:
    from sensor_assets._listing.s3_wire import Wire

OK = 200


class S3Page:
    """One answer to ListObjectsV2."""

    def __init__(self, body: s3_xml.Body, prefix: int, salt: Hash) -> None:
        first, last = body.bytes.find(s3_xml.OPEN), body.bytes.rfind(s3_xml.CLOSE)
        self._start = first if first >= 0 else len(body.bytes)
        self._stop = last + len(s3_xml.CLOSE) if last >= 0 else self._start
        self._body = body
        self._prefix = prefix
        self._salt = salt

    @property
    def keys(self) -> int:
        return self._body.bytes.count(s3_xml.OPEN, self._start, self._stop)

    @property
    def digest(self) -> bytes:
        digest = self._salt.copy()
        digest.update(memoryview(self._body.bytes)[self._start : self._stop])
        return digest.digest()

    @property
    def complete(self) -> bool:
        return not self._body.truncated(self._start, self._stop)

    @cached_property
    def _parsed(self) -> Lines:
        text = self._body.bytes[self._start : self._stop]
        return s3_xml.parsed(text, self._prefix, quoted=self._body.quoted)

    def lines(self) -> Lines:
        return self._parsed

    @cached_property
    def texts(self) -> list[bytes]:
        """The lines as they came; joined they are what is hashed."""
        return [text + s3_xml.CLOSE for text in self._body.bytes[self._start : self._stop].split(s3_xml.CLOSE)[:-1]]


class S3Lister:
    """Lists with ListObjectsV2: ``start-after`` is any key, so every page can be asked for by itself."""

    page_keys = 1000
    unseen = ()

    def __init__(self, wire: "Wire", prefix: str, salt: bytes) -> None:
        self.calls = 0
        self._wire = wire
        self._prefix = prefix
        # A hash that is part of processors of servers; another one would be slower there.
        self._salt: Hash = hashlib.sha256(b"s3:" + salt)
        self._remaining = forever

    def begin(self, remaining: Remaining = forever) -> None:
        self._remaining = remaining

    def list(self, after: str | None, limit: int) -> S3Page:
        query = {"list-type": "2", "encoding-type": "url", "max-keys": str(limit)}
        if self._prefix:
            query["prefix"] = self._prefix
        if after is not None:
            query["start-after"] = self._prefix + after
        self.calls += 1
        body = s3_xml.Body(ask(self._wire, query, self._remaining), b"ListBucketResult")
        return S3Page(body, len(self._prefix), self._salt)

    def digest(self, pieces: Sequence[Piece[S3Page]]) -> bytes:
        digest = self._salt.copy()
        for listed, start, stop in pieces:
            digest.update(b"".join(listed.texts[start:stop]))
        return digest.digest()


def ask(wire: "Wire", query: Mapping[str, str], remaining: Remaining) -> bytes:
    """Return the body of a listing.

    Args:
        wire: The bucket.
        query: What is asked for.
        remaining: Returns the seconds in which an answer is expected.

    Raises:
        ListingError: The store refuses.
    """
    from sensor_assets._listing.s3_wire import MOST_BYTES  # noqa: PLC0415 - botocore, for S3 alone

    answer = wire.get("", query, most=MOST_BYTES, remaining=remaining)
    if answer.status != OK:
        raise ListingError(answer.reason)
    return answer.body
