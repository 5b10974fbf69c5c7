"""Scanning and reading the resources of an HTTP server."""

import hashlib
import mimetypes
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import httpx

from sensor_assets._items import UNMATCHED, Item
from sensor_assets._sources.base import Page, ScanContext, SourceClient, place
from sensor_assets._sources.etags import HASHED, condition, same_version
from sensor_assets._sources.fetch import GONE, NOT_MODIFIED, Fetcher, Remaining, StatusError, UnreachableError
from sensor_assets._sources.http import HttpSource, Link
from sensor_assets.errors import ItemChanged, ItemGone, SourceError

# Seconds that a run waits for one resource.
READ_SECONDS = 300.0

# A body up to this size is read in any case: cheaper than a new connection, which stopping in the middle costs.
SMALL_BYTES = 64 * 1024

# A date of change says nothing about what happens within its second, so it counts once it is this old (seconds).
# https://www.rfc-editor.org/rfc/rfc7232#section-2.2.2
SETTLED_SECONDS = 60.0

# Resources without an ETag whose date of change is remembered; those beyond are read in full by every scan.
MOST_DATES = 1000

# A server that cannot be reached this many times in a row is not asked for the remaining resources.
MOST_UNREACHABLE = 3

PAGE_ITEMS = 1000


@dataclass(kw_only=True)
class _Scan:
    """What one scan remembers.

    Args:
        context: What it was given.
        position: The position as it is recorded by now.
        dates: Last-Modified and length of what has no ETag, by link.
        errors: What went wrong with single resources.
    """

    context: ScanContext
    position: Any
    dates: dict[str, list[Any]] = field(default_factory=dict[str, list[Any]])
    errors: list[str] = field(default_factory=list[str])

    @property
    def before(self) -> Mapping[str, Any]:
        """The position that the last scan left."""
        return self.context.position or {}

    def page(self, items: Sequence[Item]) -> Page:
        """Return a page that leaves the position as it is."""
        return Page(items=items, position=self.position)

    def step(self, items: Sequence[Item] = (), *, more: Mapping[str, str] | None = None) -> Page:
        """Return a page with a new position, which holds the dates as well."""
        dates = {"dates": dict(list(self.dates.items())[:MOST_DATES])} if self.dates else {}
        self.position = {**dates, **(more or {})} or None
        return self.page(items)


class HttpClient(SourceClient):
    """Asks with If-None-Match.

    Position: `index`, the ETag of the index that was recorded last; `next`, the page of the index to go on with;
    `dates`, by link the Last-Modified and the length of what has no ETag.
    """

    def __init__(self, source: HttpSource, url: httpx.URL, fetcher: Fetcher) -> None:
        self._source = source
        self._url = url
        self._fetcher = fetcher

    def close(self) -> None:
        self._fetcher.close()

    def scan(self, context: ScanContext) -> Iterator[Page]:
        scan = _Scan(context=context, position=context.position)
        if self._source.index is None:
            key = self._url.path.rsplit("/", 1)[-1] or self._url.host
            yield scan.step(self._look(scan, self._url, key, context.known([key]).get(key)))
            return
        yield from self._scan_index(scan, self._url.join(self._source.index))
        if scan.errors:
            raise SourceError(f"{len(scan.errors)} resource(s) could not be read, the first: {scan.errors[0]}")

    def _scan_index(self, scan: _Scan, first: httpx.URL) -> Iterator[Page]:
        """Yield what the pages of the index name; a scan that stops goes on with the page that comes next."""
        resumed: str | None = scan.before.get("next")
        url = httpx.URL(resumed) if resumed else first
        visited: set[httpx.URL] = set()
        while True:
            visited.add(url)
            try:
                body, headers, following = self._index_page(scan, url, None if resumed else scan.before.get("index"))
            except StatusError:
                if not resumed or len(visited) > 1:
                    raise
                # The server no longer knows the page that the last scan was to go on with: from the beginning.
                resumed, url = None, first
                continue
            if body is None:
                return
            links = self._links(url, body)
            yield from self._named(scan, links)
            if following is None:
                # An index that tells no ETags says nothing about the resources, so it is read in full every time; so is
                # one of several pages, whose first may be the same while the others change.
                whole = not resumed and len(visited) == 1 and all(self._told(link) for link in links)
                yield scan.step(more={"index": headers["etag"]} if whole and "etag" in headers else None)
                return
            if following in visited:
                raise self._fetcher.failed(following, "is named as the next page of an index that it belongs to")
            url = following
            yield scan.step(more={"next": str(url)})

    def _index_page(
        self, scan: _Scan, url: httpx.URL, etag: str | None
    ) -> tuple[bytes | None, httpx.Headers, httpx.URL | None]:
        """Return a page of the index, None where it did not change, and the URL of the next."""
        scan.context.calls["get"] += 1
        with self._fetcher.get(url, scan.context.remaining, condition=condition(etag)) as response:
            if response.status_code == NOT_MODIFIED:
                return None, response.headers, None
            following = response.links.get("next", {}).get("url")
            body = self._whole(response, scan.context.remaining)
            return body, response.headers, response.url.join(following) if following else None

    def _links(self, url: httpx.URL, body: bytes) -> list[Link]:
        try:
            # A link that is named twice has the state that is named last.
            return list({link.href: link for link in self._source.links(body)}.values())
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise self._fetcher.failed(url, f"is no index: {error!r}") from error

    def _named(self, scan: _Scan, links: Sequence[Link]) -> Iterator[Page]:
        """Yield what is new of the resources that a page of an index names."""
        known = scan.context.known([link.href for link in links])
        news = [link for link in links if self._told(link) and not same_version(link.etag, known.get(link.href))]
        for first in range(0, len(news), PAGE_ITEMS):
            yield scan.page([self._item(link.href, link.etag or "", 0) for link in news[first : first + PAGE_ITEMS]])
        unreachable = 0
        for link in links:
            if self._told(link):
                continue
            try:
                items = self._look(scan, self._joined(link.href), link.href, known.get(link.href))
            except SourceError as error:
                unreachable = unreachable + 1 if isinstance(error, UnreachableError) else 0
                if unreachable == MOST_UNREACHABLE:
                    raise
                if isinstance(error, StatusError) and error.status in GONE:
                    scan.context.log.warning(f"{error}, though the index names it")
                else:
                    scan.errors.append(str(error))
                continue
            unreachable = 0
            yield scan.page(items)

    def _joined(self, href: str) -> httpx.URL:
        try:
            return self._url.join(href)
        except httpx.InvalidURL as error:
            raise SourceError(f"source '{self._source.name}': '{href}' is no link: {error}") from error

    def _told(self, link: Link) -> bool:
        """Tell whether the index says which version a resource has."""
        return bool(link.etag) and self._source.etags

    def _look(self, scan: _Scan, url: httpx.URL, key: str, known: str | None) -> list[Item]:
        """Return the resource's item unless it has the known version."""
        scan.context.calls["get"] += 1
        with self._fetcher.get(url, scan.context.remaining, condition=self._condition(known)) as response:
            if response.status_code == NOT_MODIFIED:
                return []
            self._check_type(response, key)
            length, changed = _length(response), response.headers.get("last-modified")
            small = length is not None and length <= SMALL_BYTES
            version = self._etag(response)
            if version is None:
                state = [changed, length]
                if not small and known and changed and scan.before.get("dates", {}).get(key) == state:
                    scan.dates[key] = state
                    return []
                version, length = self._hash(response, scan.context.remaining)
                if not small and _settled(response):
                    scan.dates[key] = state
            elif small:
                self._whole(response, scan.context.remaining)
            if same_version(version, known):
                return []
            return [self._item(key, version, length or 0, changed=changed)]

    def _condition(self, version: str | None) -> dict[str, str]:
        return condition(version) if self._source.etags else {}

    def _etag(self, response: httpx.Response) -> str | None:
        return response.headers.get("etag") if self._source.etags else None

    def _check_type(self, response: httpx.Response, key: str) -> None:
        media = response.headers.get("content-type", "").split(";")[0].strip().lower()
        wanted = self._source.content_type
        if wanted is not None and media != wanted.lower():
            raise self._fetcher.failed(
                response.url, f"answered with '{media}' instead of '{wanted}': is it a sign-in or an error page?"
            )
        guessed = mimetypes.guess_type(key.split("?", maxsplit=1)[0])[0]
        if wanted is None and media == "text/html" and guessed not in (None, "text/html", "application/xhtml+xml"):
            raise self._fetcher.failed(
                response.url,
                "answered with an HTML page, which its name does not promise: is it a sign-in or an error page? If it "
                "is the data, give the source content_type='text/html'",
            )

    def _hash(self, response: httpx.Response, remaining: Remaining) -> tuple[str, int]:
        digest, length = hashlib.sha256(), 0
        for chunk in self._fetcher.chunks(response, remaining):
            digest.update(chunk)
            length += len(chunk)
        return HASHED + digest.hexdigest(), length

    def _whole(self, response: httpx.Response, remaining: Remaining) -> bytes:
        content = bytearray()
        for chunk in self._fetcher.chunks(response, remaining):
            content += chunk
            if len(content) > self._source.max_bytes:
                raise self._fetcher.failed(response.url, self._too_large)
        return bytes(content)

    @property
    def _too_large(self) -> str:
        return f"has more than max_bytes={self._source.max_bytes}"

    def _item(self, key: str, version: str, size: int, *, changed: str | None = None) -> Item:
        partition, metadata = place(key, self._source.key)
        if size > self._source.max_bytes:
            metadata = {UNMATCHED: f"'{key}' has {size} bytes, {self._too_large}"}
        return Item(
            key=key,
            version=version,
            size=size,
            modified=_date(changed),
            partition=partition,
            metadata=metadata,
            source=self._source.name,
        )

    def read(self, item: Item) -> bytes:
        url = self._url if self._source.index is None else self._joined(item.key)
        until = time.monotonic() + READ_SECONDS

        def remaining() -> float:
            return until - time.monotonic()

        try:
            with self._fetcher.get(url, remaining) as response:
                self._check_type(response, item.key)
                body = self._whole(response, remaining)
        except StatusError as error:
            if error.status in GONE:
                raise ItemGone(item, f"{error} after it was recorded") from error
            raise
        if not same_version(self._etag(response) or HASHED + hashlib.sha256(body).hexdigest(), item.version):
            shown = self._fetcher.shown(url)
            raise ItemChanged(item, f"{shown} changed after it was recorded as version {item.version}")
        return body


def _length(response: httpx.Response) -> int | None:
    """Return the length of the body, if the server tells it and does not compress it."""
    length = response.headers.get("content-length", "")
    return int(length) if length.isdecimal() and "content-encoding" not in response.headers else None


def _settled(response: httpx.Response) -> bool:
    changed, answered = _date(response.headers.get("last-modified")), _date(response.headers.get("date"))
    return changed is not None and answered is not None and (answered - changed).total_seconds() >= SETTLED_SECONDS


def _date(text: str | None) -> datetime | None:
    try:
        moment = parsedate_to_datetime(text) if text else None
    except ValueError:
        return None
    return moment.replace(tzinfo=UTC) if moment is not None and moment.tzinfo is None else moment
