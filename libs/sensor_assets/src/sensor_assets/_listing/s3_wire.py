"""Signed GET requests to a bucket of S3, or of anything that speaks its protocol.

botocore finds credentials as every AWS tool does. To sign and send a request through it takes longer than everything
else that an unchanged page costs, so that is done here.
"""

import os
import re
import ssl
from base64 import b64encode
from collections import deque
from collections.abc import Mapping
from email.message import Message
from functools import cached_property
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from time import monotonic, sleep
from urllib.parse import quote, unquote, urlsplit
from weakref import finalize

from botocore.exceptions import BotoCoreError
from botocore.httpsession import get_cert_path
from botocore.session import Session
from botocore.utils import get_environ_proxies

from sensor_assets._listing.answers import NO_CREDENTIALS, ListingError, Remaining, forever
from sensor_assets._listing.s3_signature import signed

CONNECT_SECONDS = 5.0
READ_SECONDS = 8.0
# A server that sends a byte now and then must not take the time of the other sources.
ANSWER_SECONDS = 20.0
# What is left for the rest of the scan, and what a request gets however little is left.
RESERVE = 0.5
LEAST_SECONDS = 1.0
# A page of 1,000 keys of 1,024 bytes, each byte as %XX, has about 4 MB.
MOST_BYTES = 16 * 1024 * 1024
CHUNK = 256 * 1024
# What a server answers that is busy or starting; what fails twice is asked again by the next scan.
BUSY = (500, 502, 503, 504)
PAUSE_SECONDS = 0.2
_UNRESERVED = "-_.~"


class Answer:
    """What a store answered: status, headers, body."""

    def __init__(self, status: int, headers: Message, body: bytes) -> None:
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
    """Sends requests and keeps connections; several threads may use it.

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
        self.base = self.base_url(endpoint)
        self._server = urlsplit(self.base)
        standard = {"http": 80, "https": 443}[self._server.scheme] == self._server.port
        self._host = (self._server.hostname or "") if standard else self._server.netloc
        self._idle: deque[HTTPConnection] = deque()
        finalize(self, _close, self._idle)

    def close(self) -> None:
        """Close the connections that nobody uses; others are opened when they are needed."""
        _close(self._idle)

    def _configured(self, name: str) -> str | None:
        value = self._session.get_config_variable(name)
        return value if isinstance(value, str) else None

    def _scoped(self, name: str) -> str | None:
        try:
            return self._session.get_scoped_config().get(name)
        except BotoCoreError as error:
            raise ListingError(str(error)) from error

    def base_url(self, endpoint: str | None) -> str:
        """Return where the bucket is: at the endpoint, or at AWS."""
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

    def get(
        self,
        key: str,
        query: Mapping[str, str],
        headers: Mapping[str, str] | None = None,
        *,
        most: int | None = None,
        remaining: Remaining = forever,
    ) -> Answer:
        """Get an object, or with an empty key the bucket.

        Args:
            key: Full key of the object.
            query: Parameters.
            headers: More headers, such as If-Match.
            most: Bytes that the body may have; without it neither its size nor its time is bounded.
            remaining: Returns the seconds in which an answer is expected.

        Raises:
            ListingError: The server does not answer in time, or not to the end.
        """
        path = self._server.path
        if key or not path:
            path += "/" + quote(key, safe="/" + _UNRESERVED, errors="surrogateescape")
        sent = "&".join(sorted(f"{_quoted(name)}={_quoted(value)}" for name, value in query.items()))
        target = f"{path}?{sent}" if sent else path
        answer = self._sent(target, self._signed(path, sent, headers or {}), most, remaining)
        if answer.status in BUSY:
            sleep(PAUSE_SECONDS)
            answer = self._sent(target, self._signed(path, sent, headers or {}), most, remaining)
        return answer

    def _sent(self, target: str, headers: Mapping[str, str], most: int | None, remaining: Remaining) -> Answer:
        while True:
            left = max(remaining() - RESERVE, LEAST_SECONDS)
            kept, connection = True, self._kept()
            if connection is None:
                kept, connection = False, self._connection(min(CONNECT_SECONDS, left))
            try:
                if not kept:
                    connection.connect()
                if connection.sock is not None:
                    connection.sock.settimeout(min(READ_SECONDS, left))
                connection.request("GET", target, headers=dict(headers))
                response = connection.getresponse()
            except (HTTPException, OSError) as error:
                connection.close()
                if kept and not isinstance(error, TimeoutError):
                    continue  # a connection that was idle may have been closed by the server
                raise ListingError(f"{self._host} does not answer: {_words(error)}") from error
            try:
                seconds = min(ANSWER_SECONDS, left)
                answer = Answer(response.status, response.headers, _body(response, most, seconds))
            except (HTTPException, OSError) as error:
                connection.close()
                raise ListingError(f"the answer of {self._host} broke off: {_words(error)}") from error
            except ListingError:
                connection.close()
                raise
            finally:
                response.close()
            if not response.will_close:
                self._idle.append(connection)
            return answer

    def _kept(self) -> HTTPConnection | None:
        """Return a connection that was used before, if there is one."""
        try:
            return self._idle.pop()
        except IndexError:
            return None

    def _connection(self, seconds: float) -> HTTPConnection:
        host, port = self._server.hostname or "", self._server.port
        if self._server.scheme == "http":
            return HTTPConnection(host, port, timeout=seconds)
        proxy = urlsplit(get_environ_proxies(self.base).get("https", ""))
        if not proxy.hostname:
            return HTTPSConnection(host, port, timeout=seconds, context=self._trust)
        connection = HTTPSConnection(proxy.hostname, proxy.port, timeout=seconds, context=self._trust)
        login = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}" if proxy.username else ""
        known = {"Proxy-Authorization": f"Basic {b64encode(login.encode()).decode()}"} if login else {}
        connection.set_tunnel(host, port, headers=known)
        return connection

    @cached_property
    def _trust(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=os.environ.get("AWS_CA_BUNDLE") or get_cert_path(verify=True))

    def _signed(self, path: str, query: str, headers: Mapping[str, str]) -> dict[str, str]:
        if _is_set("AWS_SKIP_SIGNATURE"):
            return dict(headers)
        try:
            found = self._session.get_credentials()
            keys = found.get_frozen_credentials() if found else None
        except BotoCoreError as error:
            raise ListingError(str(error)) from error
        if keys is None or keys.access_key is None or keys.secret_key is None:
            raise ListingError(NO_CREDENTIALS)
        return signed(
            self._host,
            path,
            query,
            headers,
            access_key=keys.access_key,
            secret_key=keys.secret_key,
            token=keys.token,
            region=self.region,
        )


def _close(connections: deque[HTTPConnection]) -> None:
    while connections:
        connections.pop().close()


def _body(response: HTTPResponse, most: int | None, seconds: float) -> bytes:
    """Return the body, which ends in time and at the length that was announced."""
    deadline = monotonic() + seconds
    chunks: list[bytes] = []
    received = 0
    while chunk := response.read1(CHUNK):
        chunks.append(chunk)
        received += len(chunk)
        if most is not None and received > most:
            raise ListingError(f"the answer has more than {most:,} bytes, which no listing has")
        if most is not None and monotonic() > deadline:
            raise ListingError(f"the answer is not complete after {seconds:.0f} s")
    if response.length:
        raise ListingError(f"the answer broke off: {response.length:,} of its bytes are missing")
    return b"".join(chunks)


def _words(error: Exception) -> str:
    """Return an error in one line."""
    return " ".join(str(error).split()).rstrip(".") or type(error).__name__


def _setting(*names: str) -> str | None:
    return next((value for name in names if (value := os.environ.get(name))), None)


def _is_set(name: str) -> bool:
    return os.environ.get(name, "").lower() in {"1", "true", "yes", "on"}


def _quoted(text: str) -> str:
    return quote(text, safe=_UNRESERVED, errors="surrogateescape")
