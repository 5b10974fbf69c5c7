"""A server that answers ListObjectsV2 for buckets of dated objects, in a process of its own.

    python -m bench.object_server NEWEST_DAY

The name of a bucket says how many objects are in it, as in ``objects-1000000``: a thousand a day, the last of them on
the newest day. Answers have the form of AWS's. It prints its URL and serves until it is terminated.
"""

import sys
from bisect import bisect_right
from datetime import date, timedelta
from functools import cache
from hashlib import md5
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit
from xml.sax.saxutils import escape

A_DAY = 1000

_HEAD = """<?xml version="1.0" encoding="UTF-8"?>
<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>{bucket}</Name><Prefix></Prefix>{token}\
<KeyCount>{count}</KeyCount><MaxKeys>{limit}</MaxKeys><EncodingType>url</EncodingType>\
<IsTruncated>{truncated}</IsTruncated>"""
_LINE = """<Contents><Key>{key}</Key><LastModified>{day}T05:00:00.000Z</LastModified><ETag>&quot;{etag}&quot;</ETag>\
<ChecksumAlgorithm>CRC64NVME</ChecksumAlgorithm><ChecksumType>FULL_OBJECT</ChecksumType><Size>{size}</Size>\
<StorageClass>STANDARD</StorageClass></Contents>"""


def etag(key: str) -> str:
    """Return what stands for the content of an object."""
    return md5(key.encode(), usedforsecurity=False).hexdigest()


def keys_of(number: int, newest: date) -> list[str]:
    """Return so many dated keys, in their order."""
    first = newest - timedelta(days=(number - 1) // A_DAY)
    days = [(first + timedelta(days=day)).isoformat() for day in range(-(-number // A_DAY))]
    return [f"{days[place // A_DAY]}/flights-{place % A_DAY:04}-{place:08x}.csv" for place in range(number)]


class Listing:
    """The answers for all buckets."""

    def __init__(self, newest: date) -> None:
        self._newest = newest
        self._keys = cache(self._made)

    def _made(self, bucket: str) -> list[str]:
        return keys_of(int(bucket.rpartition("-")[2]), self._newest)

    def answer(self, target: str) -> bytes:
        """Return the body of an answer."""
        parts = urlsplit(target)
        asked = {name: values[0] for name, values in parse_qs(parts.query).items()}
        bucket, limit = parts.path.strip("/"), int(asked.get("max-keys", 1000))
        keys = self._keys(bucket)
        after = asked.get("continuation-token", asked.get("start-after", ""))
        start = bisect_right(keys, after)
        found = keys[start : start + limit]
        more = start + limit < len(keys)
        token = f"<NextContinuationToken>{escape(found[-1])}</NextContinuationToken>" if more else ""
        head = _HEAD.format(
            bucket=bucket, token=token, count=len(found), limit=limit, truncated="true" if more else "false"
        )
        lines = (_LINE.format(key=key, day=key[:10], etag=etag(key), size=100_000 + len(key)) for key in found)
        return "".join([head, *lines, "</ListBucketResult>"]).encode()


def main() -> None:
    """Serve."""
    listing = Listing(date.fromisoformat(sys.argv[1]))

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1

        def do_GET(self) -> None:
            body = listing.answer(self.path)
            self.send_response(200)
            self.send_header("Content-Type", "application/xml")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
            self.wfile.flush()

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base's name
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    print(f"http://127.0.0.1:{server.server_port}", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
