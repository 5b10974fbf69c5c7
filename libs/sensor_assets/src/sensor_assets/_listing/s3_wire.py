"""Signed GET requests to a bucket of S3, or of anything that speaks its protocol.

Needs the extra `s3`: botocore finds credentials as every AWS tool does and signs; urllib3 comes with it.
"""

import os
import re
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from functools import cached_property
from time import monotonic
from urllib.parse import quote, urlsplit

import urllib3
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.exceptions import BotoCoreError
from botocore.httpsession import get_cert_path
from botocore.session import Session
from botocore.utils import get_environ_proxies

from sensor_assets._listing.answers import ListingError

CONNECT_SECONDS = 5.0
READ_SECONDS = 8.0
# A server that sends a byte now and then must not take the time of the other sources.
ANSWER_SECONDS = 20.0
# A page of 1,000 keys of 1,024 bytes, each byte as %XX, has about 4 MB.
MOST_BYTES = 16 * 1024 * 1024
# Kept open for a run that reads several objects at once; a scan uses one.
CONNECTIONS = 4
RETRIED = (500, 502, 503, 504)
_UNRESERVED = "-_.~"


class Answer:
    """What a store answered: status, headers, body."""

    def __init__(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        self.status = status
        self.headers = headers
        self.body = body

    @property
    def code(self) -> str:
        """The code of an error, such as NoSuchKey; empty without one."""
        found = re.search(rb"<Code>([^<]*)</Code>", self.body)
        return found[1].decode("utf-8", "replace") if found else ""

    @property
    def reason(self) -> str:
        """The error in one line."""
        found = re.search(rb"<Message>([^<]*)</Message>", self.body)
        message = " ".join(found[1].decode("utf-8", "replace").split()).rstrip(".") if found else ""
        region = self.headers.get("x-amz-bucket-region")
        if self.status in (301, 307, 400) and region:
            message += f"; the bucket is in region {region}, set AWS_REGION"
        return ": ".join(part for part in (self.code or f"HTTP status {self.status}", message) if part)


class Wire:
    """Sends requests and keeps connections.

    Endpoint, region and switches are read from the environment variables that obstore reads as well:
    ``AWS_ENDPOINT_URL_S3`` or ``AWS_ENDPOINT_URL``, ``AWS_REGION`` or ``AWS_DEFAULT_REGION``, ``AWS_ALLOW_HTTP``,
    ``AWS_VIRTUAL_HOSTED_STYLE_REQUEST``, ``AWS_SKIP_SIGNATURE``, ``AWS_CA_BUNDLE`` and the usual proxy variables.
    """

    def __init__(self, bucket: str) -> None:
        self.bucket = bucket
        self._session = Session()
        self.region = _setting("AWS_REGION", "AWS_DEFAULT_REGION") or self._configured("region") or "us-east-1"
        endpoint = _setting("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT") or self._scoped("endpoint_url")
        self._hosted = _is_set("AWS_VIRTUAL_HOSTED_STYLE_REQUEST")
        self._base = self._base_url(endpoint)

    def _configured(self, name: str) -> str | None:
        value = self._session.get_config_variable(name)
        return value if isinstance(value, str) else None

    def _scoped(self, name: str) -> str | None:
        try:
            return self._session.get_scoped_config().get(name)
        except BotoCoreError as error:
            raise ListingError(str(error)) from error

    def _base_url(self, endpoint: str | None) -> str:
        if endpoint is None:
            self._hosted = "." not in self.bucket  # a certificate covers one label below the region's name
            suffix = "amazonaws.com.cn" if self.region.startswith("cn-") else "amazonaws.com"
            endpoint = f"https://s3.{self.region}.{suffix}"
        parts = urlsplit(endpoint.rstrip("/"))
        if parts.scheme not in ("http", "https") or not parts.netloc:
            raise ListingError(f"'{endpoint}' in AWS_ENDPOINT_URL is not the URL of a server")
        if parts.scheme == "http" and not _is_set("AWS_ALLOW_HTTP"):
            raise ListingError(f"{endpoint} is not encrypted; set AWS_ALLOW_HTTP=true where that is meant")
        if self._hosted:
            return f"{parts.scheme}://{self.bucket}.{parts.netloc}{parts.path}"
        return f"{endpoint.rstrip('/')}/{quote(self.bucket, safe=_UNRESERVED)}"

    @cached_property
    def _pool(self) -> urllib3.PoolManager:
        # What fails twice is asked again by the next scan.
        retries = urllib3.Retry(
            total=1,
            redirect=False,
            status_forcelist=RETRIED,
            allowed_methods={"GET"},
            backoff_factor=0.2,
            raise_on_status=False,
            respect_retry_after_header=False,
        )
        timeout = urllib3.Timeout(connect=CONNECT_SECONDS, read=READ_SECONDS)
        trusted = os.environ.get("AWS_CA_BUNDLE") or get_cert_path(verify=True)
        proxy = get_environ_proxies(self._base).get(urlsplit(self._base).scheme)
        if proxy:
            return urllib3.ProxyManager(proxy, timeout=timeout, retries=retries, maxsize=CONNECTIONS, ca_certs=trusted)
        return urllib3.PoolManager(timeout=timeout, retries=retries, maxsize=CONNECTIONS, ca_certs=trusted)

    def get(
        self, key: str, query: Mapping[str, str], headers: Mapping[str, str] | None = None, most: int | None = None
    ) -> Answer:
        """Get an object, or with an empty key the bucket.

        Args:
            key: Full key of the object.
            query: Parameters.
            headers: More headers, such as If-Match.
            most: Bytes that the body may have.

        Raises:
            ListingError: The server does not answer in time, or not to the end.
        """
        path = quote(key, safe="/" + _UNRESERVED, errors="surrogateescape")
        pairs = sorted((_quoted(name), _quoted(value)) for name, value in query.items())
        url = f"{self._base}/{path}" if path or self._hosted else self._base
        url += "?" + "&".join(f"{name}={value}" for name, value in pairs) if pairs else ""
        signed = self._signed(url, headers or {})
        with _explained(url):
            response = self._pool.urlopen(  # pyright: ignore[reportUnknownVariableType]
                "GET", url, headers=signed, redirect=False, preload_content=False, decode_content=False
            )
            try:
                return Answer(response.status, dict(response.headers.items()), _body(response, most))
            finally:
                response.release_conn()

    def _signed(self, url: str, headers: Mapping[str, str]) -> dict[str, str]:
        if _is_set("AWS_SKIP_SIGNATURE"):
            return dict(headers)
        request = AWSRequest("GET", url, headers=dict(headers))
        try:
            credentials = self._session.get_credentials()
            if credentials is None:
                raise ListingError(
                    "no AWS credentials were found: give the pod a role, or set AWS_PROFILE or AWS_ACCESS_KEY_ID and "
                    "AWS_SECRET_ACCESS_KEY"
                )
            S3SigV4Auth(credentials.get_frozen_credentials(), "s3", self.region).add_auth(request)
        except BotoCoreError as error:
            raise ListingError(str(error)) from error
        return dict(request.headers.items())


def _body(response: urllib3.BaseHTTPResponse, most: int | None) -> bytes:
    """Return the body, which ends in time and at the length that was announced."""
    deadline = monotonic() + ANSWER_SECONDS
    body = bytearray()
    for chunk in response.stream(1024 * 1024, decode_content=False):
        body += chunk
        if most is not None and len(body) > most:
            raise ListingError(f"the answer has more than {most:,} bytes, which no listing has")
        if most is not None and monotonic() > deadline:
            raise ListingError(f"the answer is not complete after {ANSWER_SECONDS:.0f} s")
    return bytes(body)


@contextmanager
def _explained(url: str) -> Generator[None]:
    host = urlsplit(url).netloc
    try:
        yield
    except urllib3.exceptions.MaxRetryError as error:
        raise ListingError(f"{host} does not answer: {_cause(error.reason)}") from error
    except (urllib3.exceptions.ProtocolError, urllib3.exceptions.ReadTimeoutError) as error:
        raise ListingError(f"the answer of {host} broke off: {_cause(error)}") from error
    except urllib3.exceptions.HTTPError as error:
        raise ListingError(f"{host} does not answer: {_cause(error)}") from error


def _cause(error: Exception | None) -> str:
    """Return an error in one line, without the address of an object in memory."""
    return " ".join(re.sub(r"^<[^>]*>: |HTTPS?Connection(Pool)?\([^)]*\): ", "", str(error)).split()).rstrip(".")


def _setting(*names: str) -> str | None:
    return next((value for name in names if (value := os.environ.get(name))), None)


def _is_set(name: str) -> bool:
    return os.environ.get(name, "").lower() in {"1", "true", "yes", "on"}


def _quoted(text: str) -> str:
    return quote(text, safe=_UNRESERVED, errors="surrogateescape")
