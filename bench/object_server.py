"""Servers with buckets of dated objects, each in a process of its own: one that computes listings, and versitygw.

The name of a bucket says how many objects are in it, as in ``objects-1000000``: a thousand a day, the last of them on
the newest day. What is computed has the form of AWS's answers to ListObjectsV2.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from bisect import bisect_right
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from functools import cache
from hashlib import md5
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit
from xml.sax.saxutils import escape

import httpx

A_DAY = 1000
KEY, SECRET = "bench", "bench-secret"
PORT = 7979

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
    """Serve until terminated; the argument is the newest day. Prints the URL."""
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


@contextmanager
def served(numbers: Sequence[int], server: str) -> Generator[dict[str, str]]:
    """Start a server with buckets of so many objects, and yield the environment in which it is found."""
    newest = datetime.now(UTC).date()
    if server == "versitygw":
        with versitygw(numbers, newest) as url:
            yield environment(url)
        return
    command = [sys.executable, "-c", "from bench.object_server import main; main()", newest.isoformat()]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield environment(process.stdout.readline().strip() if process.stdout else "")
        finally:
            process.terminate()


@contextmanager
def versitygw(numbers: Sequence[int], newest: date) -> Generator[str]:
    """Write buckets of real files and serve them with versitygw, which checks signatures."""
    home = Path(tempfile.mkdtemp(prefix="buckets-"))
    try:
        for number in numbers:
            for key in keys_of(number, newest):
                file = home / f"objects-{number}" / key
                if not file.parent.exists():
                    file.parent.mkdir(parents=True)
                file.write_bytes(b"1")
                os.setxattr(file, "user.etag", etag(key).encode())
        url = f"http://127.0.0.1:{PORT}"
        keys = {"ROOT_ACCESS_KEY": KEY, "ROOT_SECRET_KEY": SECRET}
        command = ["versitygw", "--port", f"127.0.0.1:{PORT}", "--keep-alive", "-q", "posix", str(home)]
        with subprocess.Popen(command, env={**os.environ, **keys}, stdout=subprocess.DEVNULL) as process:
            try:
                until_it_answers(url)
                yield url
            finally:
                process.terminate()
    finally:
        shutil.rmtree(home, ignore_errors=True)


def until_it_answers(url: str) -> None:
    """Wait for a server."""
    for _ in range(300):
        try:
            httpx.get(url)
        except httpx.TransportError:
            time.sleep(0.1)
        else:
            return
    raise TimeoutError(url)


def environment(url: str) -> dict[str, str]:
    """Return the variables that name the server and the keys to it."""
    return {
        "AWS_ENDPOINT_URL": url,
        "AWS_ALLOW_HTTP": "true",
        "AWS_ACCESS_KEY_ID": KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
