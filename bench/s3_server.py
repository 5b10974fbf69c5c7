"""The simulated bucket over S3's protocol: ListObjectsV2, and GetObject with If-Match."""

import threading
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from email.utils import format_datetime
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, quote, unquote, urlsplit
from xml.sax.saxutils import escape

import boto3
from botocore import UNSIGNED
from botocore.config import Config

from bench.bucket import PAGE_KEYS, Bucket, Listed, last_modified
from bench.workload import Version

NAME = "landing"


@contextmanager
def served(bucket: Bucket) -> Generator[str]:
    """Serve the bucket as `NAME` and yield the endpoint's URL, for clients that put the bucket's name into the path."""

    class Handler(_Handler):
        served_bucket = bucket

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def boto3_client(url: str) -> Any:
    """Return boto3's client of the server."""
    config = Config(signature_version=UNSIGNED, s3={"addressing_style": "path"}, retries={"total_max_attempts": 1})
    return boto3.client("s3", endpoint_url=url, region_name="eu-west-1", config=config)


def obstore_environment(url: str) -> Mapping[str, str]:
    """Return the environment variables with which obstore reads from the server."""
    return {
        "AWS_ENDPOINT": url,
        "AWS_ALLOW_HTTP": "true",
        "AWS_SKIP_SIGNATURE": "true",
        "AWS_REGION": "eu-west-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }


class _Handler(BaseHTTPRequestHandler):
    """Answers for one bucket."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    served_bucket: Bucket

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        _, _, key = unquote(url.path).lstrip("/").partition("/")
        if key:
            self._object(key)
        else:
            self._listing({name: values[0] for name, values in parse_qs(url.query).items()})

    def _listing(self, asked: Mapping[str, str]) -> None:
        after = asked.get("continuation-token", asked.get("start-after", ""))
        limit = int(asked.get("max-keys", PAGE_KEYS))
        listed = self.served_bucket.page(after, asked.get("prefix", ""), limit)
        self._answer(200, _xml(listed, encoded="encoding-type" in asked), {"Content-Type": "application/xml"})

    def _object(self, key: str) -> None:
        version = self.served_bucket.get(key)
        wanted = self.headers.get("If-Match")
        if version is None:
            self._answer(404, b"<Error><Code>NoSuchKey</Code><Message>There is no such key.</Message></Error>")
        elif wanted is not None and wanted != version.etag:
            self._answer(412, b"<Error><Code>PreconditionFailed</Code><Message>It is another one.</Message></Error>")
        else:
            modified = format_datetime(last_modified(version), usegmt=True)
            self._answer(200, version.etag.encode(), {"ETag": version.etag, "Last-Modified": modified})

    def _answer(self, status: int, body: bytes, headers: Mapping[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base's name
        """Say nothing."""


def _xml(listed: Listed, *, encoded: bool) -> bytes:
    contents = "".join(_entry(version, encoded) for version in listed.versions)
    more = (
        f"<NextContinuationToken>{escape(listed.versions[-1].key)}</NextContinuationToken>" if listed.truncated else ""
    )
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
        f"<Name>{NAME}</Name><Prefix></Prefix><KeyCount>{len(listed.versions)}</KeyCount>"
        f"<MaxKeys>{PAGE_KEYS}</MaxKeys>{'<EncodingType>url</EncodingType>' if encoded else ''}{more}"
        f"<IsTruncated>{str(listed.truncated).lower()}</IsTruncated>{contents}</ListBucketResult>"
    ).encode()


@cache
def _entry(version: Version, encoded: bool) -> str:  # noqa: FBT001 - of a private cache
    key = quote(version.key, safe="/") if encoded else escape(version.key)
    return (
        f"<Contents><Key>{key}</Key><LastModified>{last_modified(version):%Y-%m-%dT%H:%M:%S.000Z}</LastModified>"
        f"<ETag>{escape(version.etag, {chr(34): '&quot;'})}</ETag><Size>{len(version.etag)}</Size>"
        "<StorageClass>STANDARD</StorageClass></Contents>"
    )
