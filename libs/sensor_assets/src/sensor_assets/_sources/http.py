"""Resources of an HTTP server, by conditional GET and otherwise by the hash of the body."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Unpack

import httpx

from sensor_assets._batching import size_in_bytes
from sensor_assets._settings import Settings
from sensor_assets._sources.base import CommonOptions, Source, mismatch
from sensor_assets._sources.fetch import Fetcher
from sensor_assets._template import KeyTemplate
from sensor_assets.errors import DefinitionError

if TYPE_CHECKING:
    from sensor_assets._sources.http_client import HttpClient


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
        index: Link of the index below `url`, read by conditional GET. An index of several pages names the next one in a
            header ``Link: <...>; rel="next"``.
        links: Reads the index's body; by default a JSON array, see `parse_index`.
        key: Template of the resources' links, such as ``{date:%Y-%m-%d}.csv``: the date is the item's partition.
        headers: Sent to the server of `url` and to no other; may hold ``{setting}``s, also secret ones.
        content_type: Media type that a resource must have, such as ``text/csv``. Unless told, HTML is refused where the
            link's ending says that it is something else: it is a sign-in or an error page.
        etags: Whether an ETag is a version. Not for a server whose ETags change without the content, or differ between
            its machines: there the body is hashed.
        max_bytes: Largest resource that is read, as a number or a text; a larger one is quarantined.
        timeout: Seconds for connecting and for each silence.
        common: See `Common`.

    A version is the ETag, or ``sha256:`` and the hash of the body where the server sends none. What an index no longer
    names stays as it was recorded.
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
        headers: Mapping[str, str] | None = None,
        content_type: str | None = None,
        etags: bool = True,
        max_bytes: int | str = "256 MiB",
        timeout: float = 5.0,
        **common: Unpack[CommonOptions],
    ) -> None:
        super().__init__(name, **common)
        self.url = url
        self.index = index
        self.links = links
        self.key = KeyTemplate(key) if key is not None else None
        self.headers = dict(headers or {})
        self.content_type = content_type
        self.etags = etags
        self.max_bytes = size_in_bytes(max_bytes, f"source '{name}': max_bytes")
        self.timeout = timeout

    @property
    def gives_partition(self) -> bool:
        return self.key is not None and self.key.has_partition

    def objection(self, key: str) -> str | None:
        if self.key is not None and self.key.match(key) is None:
            return f"{mismatch(key, self.key)}, so it is put into quarantine"
        return None

    def open(self, settings: Settings) -> "HttpClient":
        where = f"source '{self.name}'"
        text = settings.fill(self.url, f"{where}, url")
        url = _parsed(text)
        if url is None:
            raise DefinitionError(
                f"{where}: url must begin with http:// or https:// and a host, not '{settings.mask(text)}'"
            )
        from sensor_assets._sources.http_client import HttpClient  # noqa: PLC0415 - it needs this module

        headers = {name: settings.fill(value, f"{where}, headers") for name, value in self.headers.items()}
        return HttpClient(self, url, Fetcher(where, url, headers=headers, timeout=self.timeout, mask=settings.mask))

    def describe(self, settings: Settings) -> dict[str, Any]:
        url = _parsed(settings.fill(self.url, f"source '{self.name}', url"))
        shown = settings.mask(str(url.copy_with(username=None, password=None))) if url else self.url
        return {"url": shown, "index": self.index or ""}


def _parsed(text: str) -> httpx.URL | None:
    """Return what a client can ask, else None; httpx would tell a part of the URL, which may be a secret's."""
    try:
        url = httpx.URL(text)
    except httpx.InvalidURL:
        return None
    return url if url.scheme in ("http", "https") and url.host else None
