"""One GET: where its headers may go, how long it may take, what is asked again, what is said when it fails."""

import time
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from threading import Lock

import httpx

from sensor_assets.errors import SourceError

NOT_MODIFIED = 304
GONE = frozenset({404, 410})
BUSY = frozenset({429, 503})

MOST_REDIRECTS = 5
MOST_ATTEMPTS = 3
# A server that is busy and does not say for how long is asked again after this (seconds).
BUSY_SECONDS = 1.0
# The longest pause (seconds) that a server may ask for.
MOST_PAUSE = 3600.0

Remaining = Callable[[], float]


class StatusError(SourceError):
    """The server answered with a status that is no success."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class UnreachableError(SourceError):
    """The server cannot be reached, or stops in the middle."""


class Fetcher:
    """Asks one server, and others that it refers to.

    Args:
        where: Begins every message, such as ``source 'rates'``.
        base: The source's own URL. Its scheme, host and port are where `headers` go, and nowhere else: another server
            that an index or a redirect names does not get them.
        headers: Headers for the source's own server, secrets among them.
        timeout: Seconds for connecting and for each silence.
        mask: Takes secrets out of a message.
    """

    def __init__(
        self,
        where: str,
        base: httpx.URL,
        *,
        headers: Mapping[str, str],
        timeout: float,
        mask: Callable[[str], str],
    ) -> None:
        self._where = where
        self._base = base
        self._headers = dict(headers)
        self._timeout = timeout
        self._mask = mask
        self._http: httpx.Client | None = None
        self._opening = Lock()
        self._not_before = 0.0

    def close(self) -> None:
        """Close connections; the next request opens new ones."""
        with self._opening:
            http, self._http = self._http, None
        if http is not None:
            http.close()

    def _opened(self) -> httpx.Client:
        with self._opening:
            if self._http is None:
                self._http = httpx.Client(timeout=self._timeout, headers={"User-Agent": "sensor-assets"})
            return self._http

    @contextmanager
    def get(
        self, url: httpx.URL, remaining: Remaining, *, condition: Mapping[str, str] | None = None
    ) -> Generator[httpx.Response]:
        """Ask for a resource; the body is read by `chunks`, or not at all.

        Args:
            url: The resource.
            remaining: Returns the seconds that are left.
            condition: Headers of a conditional request; with them the answer may be 304.

        Raises:
            SourceError: The server cannot be reached, or answers with an error (`StatusError`).
        """
        if self._not_before - time.monotonic() > remaining():
            left = self._not_before - time.monotonic()
            raise self.failed(url, f"asked to be left alone for another {left:.0f} s")
        response = self._patiently(url, remaining, condition or {})
        try:
            if response.status_code != NOT_MODIFIED and not response.is_success:
                raise StatusError(self._status(response), response.status_code)
            yield response
        except httpx.HTTPError as error:
            raise self._unreachable(url, error) from error
        finally:
            response.close()

    def chunks(self, response: httpx.Response, remaining: Remaining) -> Iterator[bytes]:
        """Yield the body.

        Raises:
            SourceError: It ends too early, or not in time.
        """
        try:
            # As it arrives: with a size given, a chunk that comes byte by byte would be waited for without end.
            for chunk in response.iter_bytes():
                yield chunk
                if remaining() <= 0:
                    raise self.failed(response.url, "did not send all of it in time")
        except httpx.HTTPError as error:
            raise self._unreachable(response.url, error) from error

    def failed(self, url: httpx.URL, reason: str) -> SourceError:
        """Return the error for a resource, without secrets."""
        return SourceError(self._mask(f"{self._where}: {self.shown(url)} {reason}"))

    def shown(self, url: httpx.URL) -> str:
        """Return a URL for a message: without a password, and of a foreign server without what may be a signature."""
        bare = url.copy_with(username=None, password=None, fragment=None)
        return self._mask(str(bare if self._own(url) else bare.copy_with(query=None)))

    def _patiently(self, url: httpx.URL, remaining: Remaining, condition: Mapping[str, str]) -> httpx.Response:
        """Ask, and ask again as far as time allows when the server is busy or hung up."""
        for attempt in range(1, MOST_ATTEMPTS + 1):
            pause = self._not_before - time.monotonic()
            if pause > 0:
                time.sleep(pause)
            try:
                response = self._following(url, remaining, condition)
            except httpx.TimeoutException as error:
                raise self._unreachable(url, error) from error
            except httpx.HTTPError as error:
                if attempt == MOST_ATTEMPTS or isinstance(error, httpx.ConnectError) or remaining() < self._timeout:
                    raise self._unreachable(url, error) from error
                continue
            if response.status_code not in BUSY:
                return response
            pause = _retry_after(response)
            self._not_before = time.monotonic() + (BUSY_SECONDS if pause is None else min(pause, MOST_PAUSE))
            if attempt == MOST_ATTEMPTS or self._not_before - time.monotonic() + BUSY_SECONDS > remaining():
                return response
            response.close()
        raise AssertionError("the last attempt returns or raises")

    def _following(self, url: httpx.URL, remaining: Remaining, condition: Mapping[str, str]) -> httpx.Response:
        target = url
        for _ in range(MOST_REDIRECTS + 1):
            headers = {**condition, **(self._headers if self._own(target) else {})}
            timeout = max(min(self._timeout, remaining()), 0.1)
            http = self._opened()
            response = http.send(http.build_request("GET", target, headers=headers, timeout=timeout), stream=True)
            if response.next_request is None:
                return response
            response.close()
            target = response.next_request.url
        raise self.failed(url, f"led to more than {MOST_REDIRECTS} redirects, the last to {self.shown(target)}")

    def _own(self, url: httpx.URL) -> bool:
        """Tell whether a URL is the source's own server; the same host behind TLS is."""
        if url.host != self._base.host:
            return False
        if url.scheme == self._base.scheme:
            return url.port == self._base.port
        return url.scheme == "https" and url.port is None and self._base.port is None

    def _status(self, response: httpx.Response) -> str:
        text = f"{self._where}: {self.shown(response.url)} answered {response.status_code} {response.reason_phrase}"
        if response.status_code in BUSY and (pause := _retry_after(response)) is not None:
            text += f" and asks to wait {pause:.0f} s"
        return self._mask(text.rstrip())

    def _unreachable(self, url: httpx.URL, error: httpx.HTTPError) -> UnreachableError:
        reason = str(error) or type(error).__name__
        return UnreachableError(
            self._mask(
                f"{self._where} cannot reach {self.shown(url)}: {reason}. Check the URL and that the server answers."
            )
        )


def _retry_after(response: httpx.Response) -> float | None:
    """Return the seconds that the server asks to wait, which it gives as a number or as a date."""
    text = response.headers.get("retry-after", "").strip()
    if text.isdecimal():
        return float(text)
    try:
        return max((parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds(), 0.0)
    except (ValueError, TypeError):
        return None
