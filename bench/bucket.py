"""A bucket at a moment of a workload, as boto3 shows it and as an S3 server answers ListObjectsV2."""

import threading
from bisect import bisect_right, insort
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit
from xml.sax.saxutils import escape

from bench.workload import Version

EPOCH = datetime(2013, 1, 1, tzinfo=UTC)
PAGE_KEYS = 1000


@dataclass
class Bucket:
    """What can be seen at the moment to which it was turned last; moments only go forward."""

    versions: Sequence[Version]

    def __post_init__(self) -> None:
        changes = [(version.begins, 1, number) for number, version in enumerate(self.versions)]
        changes += [(version.ends, 0, number) for number, version in enumerate(self.versions)]
        self._changes = sorted(change for change in changes if change[0] != float("inf"))
        self._done = 0
        self.present: dict[str, Version] = {}
        self.keys: list[str] = []

    def turn(self, moment: float) -> None:
        """Let everything happen that happens until a moment, seconds."""
        while self._done < len(self._changes) and self._changes[self._done][0] <= moment:
            _, begins, number = self._changes[self._done]
            self._done += 1
            version = self.versions[number]
            if begins:
                if version.key not in self.present:
                    insort(self.keys, version.key)
                self.present[version.key] = version
            elif self.present.get(version.key) == version:
                del self.present[version.key]
                self.keys.pop(bisect_right(self.keys, version.key) - 1)

    def after(self, key: str, limit: int) -> list[Version]:
        """Return the objects that follow a key."""
        first = bisect_right(self.keys, key)
        return [self.present[name] for name in self.keys[first : first + limit]]


def last_modified(version: Version) -> datetime:
    """Return LastModified as S3 tells it."""
    return EPOCH + timedelta(seconds=version.modified)


class Boto3Client:
    """The two ways in which plain sensors list, with boto3's answers and without its cost."""

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket
        self._entries: dict[str, dict[str, Any]] = {}

    def list_objects_v2(self, *, StartAfter: str = "", **_: Any) -> dict[str, Any]:  # noqa: N803 - boto3's name
        """Return one page."""
        return {"Contents": [self._entry(version) for version in self._bucket.after(StartAfter, PAGE_KEYS)]}

    def get_paginator(self, name: str) -> SimpleNamespace:
        """Return a paginator over all pages."""
        if name != "list_objects_v2":
            raise NotImplementedError(name)
        return SimpleNamespace(paginate=lambda **_: self._pages())

    def _pages(self) -> Iterator[dict[str, Any]]:
        yield {"Contents": [self._entry(version) for version in self._bucket.after("", len(self._bucket.keys))]}

    def _entry(self, version: Version) -> dict[str, Any]:
        if version.etag not in self._entries:
            self._entries[version.etag] = {
                "Key": version.key,
                "ETag": version.etag,
                "LastModified": last_modified(version),
                "Size": 1,
            }
        return self._entries[version.etag]


@contextmanager
def served(bucket: Bucket) -> Iterator[str]:
    """Serve the bucket over HTTP and yield the endpoint's URL; any name of a bucket will do, with the path style."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            asked = {name: values[0] for name, values in parse_qs(urlsplit(self.path).query).items()}
            prefix, limit = asked.get("prefix", ""), int(asked.get("max-keys", PAGE_KEYS))
            after = asked.get("continuation-token", asked.get("start-after", ""))
            found = bucket.after(max(after, prefix[:-1] if prefix and not after else after), limit + 1)
            found = [version for version in found if version.key.startswith(prefix)]
            self._answer(_listing(found[:limit], truncated=len(found) > limit, encoded="encoding-type" in asked))

        def _answer(self, body: bytes) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "application/xml")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base's name
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def _listing(found: Sequence[Version], *, truncated: bool, encoded: bool) -> bytes:
    entries = "".join(
        f"<Contents><Key>{quote(version.key, safe='/') if encoded else escape(version.key)}</Key>"
        f"<LastModified>{last_modified(version):%Y-%m-%dT%H:%M:%S.000Z}</LastModified>"
        f"<ETag>{escape(version.etag, {chr(34): '&quot;'})}</ETag><Size>1</Size>"
        "<StorageClass>STANDARD</StorageClass></Contents>"
        for version in found
    )
    token = f"<NextContinuationToken>{escape(found[-1].key)}</NextContinuationToken>" if truncated else ""
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
        f"<Name>b</Name><Prefix></Prefix><KeyCount>{len(found)}</KeyCount>{token}"
        f"<IsTruncated>{'true' if truncated else 'false'}</IsTruncated>{entries}</ListBucketResult>"
    ).encode()
