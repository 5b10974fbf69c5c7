"""Resources of an HTTP server, by conditional GET and otherwise by the hash of the body."""

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Unpack

import httpx

from sensor_assets._items import Item
from sensor_assets._settings import Settings
from sensor_assets._sources.base import CommonOptions, Page, ScanContext, Source, SourceClient, place
from sensor_assets._template import KeyTemplate
from sensor_assets.errors import ItemChanged, ItemGone, SourceError

HTTP_NOT_MODIFIED = 304
HTTP_GONE = frozenset({404, 410})


@dataclass(frozen=True)
class Link:
    """A resource that an index names; with its ETag no request of its own is needed to see that it did not change."""

    href: str
    etag: str | None = None


def parse_index(body: bytes) -> list[Link]:
    """Read an index: a JSON array of links, each a text or an object with `href` and optionally `etag`."""
    entries = json.loads(body)
    if not isinstance(entries, list):
        raise TypeError("the index is not a JSON array")
    return [Link(entry) if isinstance(entry, str) else Link(entry["href"], entry.get("etag")) for entry in entries]


class HttpSource(Source):
    """Follow one HTTP resource, or all that an index names; an item is one version of one resource.

    Args:
        name: Name of the source, unique within the team.
        url: The resource, or with `index` the base of the links; may hold ``{setting}``s.
        index: Link of the index below `url`, read by conditional GET.
        links: Reads the index's body; by default a JSON array, see `parse_index`.
        key: Template of the resources' links, such as ``{date:%Y-%m-%d}.csv``: the date is the item's partition.
        headers: Sent with every request; may hold ``{setting}``s.
        timeout: Seconds for each request.
        common: See `Common`.

    A version is the ETag, or ``sha256:`` and the hash of the body where the server sends none.
    """

    kind = "http"

    def __init__(
        self,
        name: str,
        *,
        url: str,
        index: str | None = None,
        links: Callable[[bytes], Sequence[Link]] = parse_index,
        key: str | None = None,
        headers: dict[str, str] | None = None,
        timeout: float = 5.0,
        **common: Unpack[CommonOptions],
    ) -> None:
        super().__init__(name, **common)
        self.url = url
        self.index = index
        self.links = links
        self.key = KeyTemplate(key) if key is not None else None
        self.headers = headers or {}
        self.timeout = timeout

    @property
    def gives_partition(self) -> bool:
        return self.key is not None and self.key.has_partition

    def open(self, settings: Settings) -> "HttpClient":
        where = f"source '{self.name}'"
        headers = {name: settings.fill(value, f"{where}, headers") for name, value in self.headers.items()}
        return HttpClient(self, settings.fill(self.url, f"{where}, url"), headers)

    def describe(self, settings: Settings) -> dict[str, Any]:
        return {"url": settings.fill(self.url, f"source '{self.name}', url"), "index": self.index or ""}


class HttpClient(SourceClient):
    """Asks with If-None-Match; position is the ETag of the index that was recorded last."""

    def __init__(self, source: HttpSource, url: str, headers: dict[str, str]) -> None:
        self._source = source
        self._url = httpx.URL(url)
        self._http = httpx.Client(headers=headers, timeout=source.timeout, follow_redirects=True)

    def close(self) -> None:
        self._http.close()

    def scan(self, context: ScanContext) -> Iterator[Page]:
        if self._source.index is None:
            key = self._url.path.rsplit("/", 1)[-1] or self._url.host
            yield Page(items=self._look(self._url, key, context.known([key]).get(key)))
            return
        seen = (context.position or {}).get("index")
        response = self._get(self._url.join(self._source.index), seen)
        if response.status_code == HTTP_NOT_MODIFIED:
            return
        links = self._links(response)
        known = context.known(None)
        for link in links:
            version = known.get(link.href)
            if link.etag is None:
                yield Page(items=self._look(self._url.join(link.href), link.href, version), position=context.position)
        listed = [
            self._item(link.href, link.etag, 0) for link in links if link.etag and link.etag != known.get(link.href)
        ]
        # An index that tells no ETags says nothing about the resources, so it is read in full every time.
        complete = all(link.etag is not None for link in links) and "etag" in response.headers
        yield Page(items=listed, position={"index": response.headers["etag"]} if complete else None)

    def _links(self, response: httpx.Response) -> Sequence[Link]:
        try:
            return self._source.links(response.content)
        except (ValueError, TypeError, KeyError) as error:
            raise SourceError(f"source '{self._source.name}': {response.url} is no index: {error!r}") from error

    def _look(self, url: httpx.URL, key: str, known: str | None) -> list[Item]:
        response = self._get(url, known)
        if response.status_code == HTTP_NOT_MODIFIED:
            return []
        return [self._item(key, _version(response), len(response.content))]

    def _get(self, url: httpx.URL, etag: str | None) -> httpx.Response:
        conditional = etag is not None and not etag.startswith("sha256:")
        try:
            response = self._http.get(url, headers={"If-None-Match": etag} if etag and conditional else {})
        except httpx.HTTPError as error:
            raise SourceError(
                f"source '{self._source.name}' cannot reach {url}: {error or type(error).__name__}. "
                "Check the URL and that the server answers."
            ) from error
        if response.status_code != HTTP_NOT_MODIFIED and not response.is_success:
            raise SourceError(
                f"source '{self._source.name}': {url} answered {response.status_code} {response.reason_phrase}"
            )
        return response

    def _item(self, key: str, version: str | None, size: int) -> Item:
        partition, metadata = place(key, self._source.key)
        return Item(
            key=key,
            version=version or "",
            size=size,
            partition=partition,
            metadata=metadata,
            source=self._source.name,
        )

    def read(self, item: Item) -> bytes:
        url = self._url if self._source.index is None else self._url.join(item.key)
        try:
            response = self._http.get(url)
        except httpx.HTTPError as error:
            raise SourceError(f"source '{self._source.name}' cannot reach {url}: {error!r}") from error
        if response.status_code in HTTP_GONE:
            raise ItemGone(item, f"{url} answered {response.status_code} after it was recorded")
        if not response.is_success:
            raise SourceError(f"source '{self._source.name}': {url} answered {response.status_code}")
        if _version(response) != item.version:
            raise ItemChanged(item, f"{url} changed after it was recorded as version {item.version}")
        return response.content


def _version(response: httpx.Response) -> str:
    return response.headers.get("etag") or "sha256:" + hashlib.sha256(response.content).hexdigest()
