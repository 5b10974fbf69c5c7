"""Objects below a prefix of an object store: S3, GCS, Azure, a directory, memory."""

import os
import re
from collections.abc import Iterator, Sequence
from datetime import timedelta
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, Unpack

import obstore
from obstore.exceptions import BaseError, PreconditionError
from obstore.store import LocalStore, ObjectStore, from_url

from sensor_assets._items import Item
from sensor_assets._settings import Settings
from sensor_assets._sources.base import CommonOptions, Page, ScanContext, Source, SourceClient, mismatch, place
from sensor_assets._template import KeyTemplate
from sensor_assets.errors import DefinitionError, ItemChanged, ItemGone, SourceError

if TYPE_CHECKING:
    from obstore import GetOptions, ObjectMeta
    from obstore.store import ClientConfig

PAGE_KEYS = 1000


class ObjectSource(Source):
    """Follow the objects below a URL; an item is one version of one object.

    Args:
        name: Name of the source, unique within the team.
        url: ``s3://bucket/prefix``, ``gs://``, ``az://`` or ``file:///directory``; may hold ``{setting}``s. Credentials
            come from the environment, as obstore reads them.
        key: Template of the keys below the URL, such as ``{date:%Y-%m-%d}*.csv``: the date is the item's partition. A
            key that does not fit is quarantined, so that a misnamed file is seen.
        ignore: Globs of keys that are not data, such as ``*.tmp``; they are not recorded.
        common: See `Common`.

    A version is the ETag. Two overwrites between two scans of a bucket without versioning are one change: only the last
    can be read by anyone.
    """

    kind = "objects"

    def __init__(
        self,
        name: str,
        *,
        url: str,
        key: str | None = None,
        ignore: Sequence[str] = (),
        **common: Unpack[CommonOptions],
    ) -> None:
        super().__init__(name, **common)
        self.url = url
        self.key = KeyTemplate(key) if key is not None else None
        self.ignore = tuple(ignore)

    @property
    def gives_partition(self) -> bool:
        return self.key is not None and self.key.has_partition

    def objection(self, key: str) -> str | None:
        if (glob := self.ignoring(key)) is not None:
            return f"key '{key}' is ignored, it matches '{glob}'"
        if self.key is not None and self.key.match(key) is None:
            return f"{mismatch(key, self.key)}, so it is put into quarantine"
        return None

    def ignoring(self, key: str) -> str | None:
        """Return the glob that says that a key is no data."""
        name = key.rsplit("/", 1)[-1]
        return next((glob for glob in self.ignore if fnmatchcase(name, glob) or fnmatchcase(key, glob)), None)

    def open(self, settings: Settings) -> "ObjectClient":
        return ObjectClient(self, settings.fill(self.url, f"source '{self.name}', url"))

    def describe(self, settings: Settings) -> dict[str, Any]:
        url = settings.fill(self.url, f"source '{self.name}', url")
        return {"url": url, "key": self.key.text if self.key else "*"}


class ObjectClient(SourceClient):
    """Lists and reads through obstore."""

    def __init__(self, source: ObjectSource, url: str) -> None:
        self._source = source
        self._url = url
        self._store: ObjectStore | None = None
        if "://" not in url:
            raise DefinitionError(f"source '{source.name}': '{url}' is not a URL; a directory is file:///directory")

    def use(self, store: ObjectStore) -> None:
        """Follow another store instead of the URL, for a test."""
        self._store = store

    def _opened(self) -> ObjectStore:
        if self._store is None:
            try:
                self._store = open_store(self._url)
            except (BaseError, OSError, ValueError) as error:
                raise self._failed(error) from error
        return self._store

    def _failed(self, error: Exception) -> SourceError:
        reason = _reason(error)
        return SourceError(
            f"source '{self._source.name}' cannot read {self._url}: {reason}. "
            "Check that it exists and that this location may list and read it."
        )

    def scan(self, context: ScanContext) -> Iterator[Page]:  # noqa: ARG002 - a listing needs no position
        store = self._opened()
        # A directory that vanished after it was opened would be listed as an empty one.
        if isinstance(store, LocalStore) and store.prefix is not None and not store.prefix.is_dir():
            raise self._failed(FileNotFoundError("there is no such directory"))
        try:
            for metas in obstore.list(store, chunk_size=PAGE_KEYS):
                yield Page(items=[self._item(meta) for meta in metas if self._source.ignoring(meta["path"]) is None])
        except (BaseError, OSError) as error:
            raise self._failed(error) from error

    def _item(self, meta: "ObjectMeta") -> Item:
        partition, metadata = place(meta["path"], self._source.key)
        return Item(
            key=meta["path"],
            version=_version(meta),
            size=meta["size"],
            modified=meta["last_modified"],
            partition=partition,
            metadata=metadata,
            source=self._source.name,
        )

    def read(self, item: Item) -> bytes:
        try:
            got = obstore.get(self._opened(), item.key, options=_condition(item))
            if _version(got.meta) != item.version:
                raise ItemChanged(item, self._changed(item))
            return bytes(got.bytes())
        except PreconditionError as error:
            raise ItemChanged(item, self._changed(item)) from error
        except FileNotFoundError as error:
            raise ItemGone(item, f"{self._url}/{item.key} was deleted after it was recorded") from error
        except (BaseError, OSError) as error:
            raise self._failed(error) from error

    def _changed(self, item: Item) -> str:
        return f"{self._url}/{item.key} was overwritten after it was recorded as version {item.version}"


def open_store(url: str) -> ObjectStore:
    """Open a store that gives up on a silent server within about 20 s; obstore alone would try for three minutes."""
    client: ClientConfig = {"connect_timeout": "5s", "read_timeout": "8s"}
    # Options given here replace those from the environment altogether, this one among them.
    if os.environ.get("AWS_ALLOW_HTTP", "").lower() in {"1", "true"}:
        client["allow_http"] = True
    return from_url(url, client_options=client, retry_config={"max_retries": 1, "retry_timeout": timedelta(seconds=10)})


def _reason(error: Exception) -> str:
    """Return what a store answered in one line: of an XML answer, its code and message."""
    text = " ".join(str(error).split("\n\nDebug source")[0].split())
    found = re.search(r"<Code>(.*?)</Code>.*?<Message>(.*?)</Message>", text)
    return f"{found[1]}: {found[2]}".rstrip(".") if found else text.rstrip(".")


def _version(meta: "ObjectMeta") -> str:
    """Return the ETag with its quotes, or time and size for the rare store that has none."""
    if etag := meta["e_tag"]:
        return etag
    return f"{meta['last_modified'].isoformat()}/{meta['size']}"


def _condition(item: Item) -> "GetOptions":
    return {"if_match": item.version} if item.version.startswith(('"', "W/")) else {}
