"""Where the objects of a source lie: how they are listed, and how exactly the recorded version of one is read."""

import os
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import cached_property
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import unquote

import obstore
from obstore.exceptions import BaseError, PreconditionError
from obstore.store import AzureStore, GCSStore, MemoryStore, ObjectStore, S3Store, from_url

from sensor_assets._items import Item
from sensor_assets._listing.answers import NO_CREDENTIALS, Lister, ListingError
from sensor_assets._listing.s3_xml import fallback_version
from sensor_assets._listing.sorted_stores import SortedStoreLister
from sensor_assets._listing.stores import WholeStoreLister, reason_of

if TYPE_CHECKING:
    from obstore import GetOptions
    from obstore.store import ClientConfig, S3Credential

    from sensor_assets._listing.s3_wire import Wire

# A directory bucket of S3 does not sort its keys, and wants sessions that obstore makes.
UNSORTED_SUFFIX = "--x-s3"
# How long credentials are used that do not say when they end.
CREDENTIALS_LAST = timedelta(minutes=5)


class ChangedError(Exception):
    """The object is another version now."""


class GoneError(Exception):
    """There is no such object, or no such version, any more."""


class Place(Protocol):
    """An opened location of objects."""

    sorts: bool
    """Whether it lists its keys in order, so that a listing can begin anywhere."""

    def lister(self, salt: bytes, *, versions: bool) -> Lister[Any]:
        """Return what lists it; `salt` makes digests differ."""
        ...

    def read(self, item: Item) -> bytes:
        """Return the bytes of the recorded version.

        Raises:
            ChangedError: It is another version now.
            GoneError: It is not there any more.
            ListingError: The store does not answer.
        """
        ...

    def close(self) -> None:
        """Close connections; they are opened again when they are needed."""
        ...


def open_place(url: str) -> Place:
    """Open what a URL names.

    Raises:
        ListingError: It cannot be opened.
    """
    bucket, prefix = split(url)
    if speaks_s3(url):
        return S3Place(bucket, prefix)
    try:
        store = open_store(url)
    except (BaseError, OSError, ValueError) as error:
        raise ListingError(reason_of(error)) from error
    return StorePlace(store, prefix, sorts=not bucket.endswith(UNSORTED_SUFFIX))


def split(url: str) -> tuple[str, str]:
    """Return the bucket and the prefix, which is empty or ends in a slash."""
    bucket, _, path = url.split("://", 1)[1].partition("/")
    path = unquote(path.strip("/"))
    return bucket, f"{path}/" if path else ""


def is_s3(url: str) -> bool:
    """Tell whether a URL names a bucket of S3."""
    return url.startswith(("s3://", "s3a://"))


def speaks_s3(url: str) -> bool:
    """Tell whether a URL names a bucket that is listed and read in S3's own protocol."""
    return is_s3(url) and not split(url)[0].endswith(UNSORTED_SUFFIX)


class StorePlace:
    """Any store, through obstore.

    Args:
        store: The store, which shows keys without `prefix`.
        prefix: What every key begins with in the bucket.
        sorts: Whether a store of that kind sorts its keys here as well.
    """

    def __init__(self, store: ObjectStore, prefix: str = "", *, sorts: bool = True) -> None:
        self.sorts = sorts and isinstance(store, AzureStore | GCSStore | MemoryStore | S3Store)
        self._store = store
        self._prefix = prefix

    def lister(self, salt: bytes, *, versions: bool) -> Lister[Any]:  # noqa: ARG002 - refused when the source is opened
        return SortedStoreLister(self._store, self._prefix, salt) if self.sorts else WholeStoreLister(self._store, salt)

    def read(self, item: Item) -> bytes:
        options: GetOptions = {"if_match": item.version} if _is_etag(item.version) else {}
        try:
            got = obstore.get(self._store, item.key, options=options)
            found = got.meta["e_tag"] or fallback_version(got.meta["last_modified"], got.meta["size"])
            if found != item.version:
                raise ChangedError
            return bytes(got.bytes())
        except PreconditionError as error:
            raise ChangedError from error
        except FileNotFoundError as error:
            if item.size == 0 and self._is_shown(item.key):
                return b""  # a folder that was taken for an empty object
            raise GoneError from error
        except (BaseError, OSError) as error:
            raise ListingError(reason_of(error)) from error

    def _is_shown(self, key: str) -> bool:
        """Tell whether a listing shows a key that is no object's: a folder's, without the slash at its end."""
        return any(meta["path"] == key for page in obstore.list(self._store, key, chunk_size=1) for meta in page[:1])

    def close(self) -> None:
        """Leave connections to obstore, which closes them."""


class S3Place:
    """A bucket of S3 in its own protocol, which lists faster and knows every key and version."""

    sorts = True

    def __init__(self, bucket: str, prefix: str) -> None:
        self._bucket = bucket
        self._prefix = prefix

    @cached_property
    def _wire(self) -> "Wire":
        from sensor_assets._listing.s3_wire import Wire  # noqa: PLC0415 - botocore, for S3 alone

        return Wire(self._bucket)

    def lister(self, salt: bytes, *, versions: bool) -> Lister[Any]:
        from sensor_assets._listing.s3 import S3Lister  # noqa: PLC0415
        from sensor_assets._listing.s3_versions import VersionsLister  # noqa: PLC0415

        return (VersionsLister if versions else S3Lister)(self._wire, self._prefix, salt)

    def read(self, item: Item) -> bytes:
        query, headers = _asked_for(item)
        answer = self._wire.get(self._prefix + item.key, query, headers)
        match answer.status, answer.code:
            case 200, _:
                return answer.body
            case 412, _:
                raise ChangedError
            # Of a version that is a delete marker now S3 says that the method is not allowed.
            case (404, "NoSuchKey" | "NoSuchVersion" | "") | (405, _):
                raise GoneError
            case _:
                raise ListingError(answer.reason)

    def close(self) -> None:
        if "_wire" in self.__dict__:
            self._wire.close()


def _asked_for(item: Item) -> tuple[Mapping[str, str], Mapping[str, str]]:
    """Return parameters and headers that let S3 answer with exactly the recorded version."""
    if _is_etag(item.version):
        return {}, {"If-Match": item.version}
    if item.version.startswith("null:"):
        return {"versionId": "null"}, {"If-Match": item.version.removeprefix("null:")}
    moment, slash, _ = item.version.partition("/")
    if slash:
        when = datetime.fromisoformat(moment)
        return {}, {"If-Unmodified-Since": when.strftime("%a, %d %b %Y %H:%M:%S GMT")}
    return {"versionId": item.version}, {}


def _is_etag(version: str) -> bool:
    return version.startswith(('"', "W/"))


def open_store(url: str) -> ObjectStore:
    """Open a store that gives up on a silent server within about 20 s; obstore alone would try for three minutes."""
    client: ClientConfig = {"connect_timeout": "5s", "read_timeout": "8s"}
    # Options given here replace those from the environment altogether, this one among them.
    if os.environ.get("AWS_ALLOW_HTTP", "").lower() in {"1", "true"}:
        client["allow_http"] = True
    more: dict[str, Any] = {}
    if is_s3(url) and find_spec("botocore") and os.environ.get("AWS_SKIP_SIGNATURE", "").lower() not in {"1", "true"}:
        more["credential_provider"] = _Credentials()
    retry: Any = {"max_retries": 1, "retry_timeout": timedelta(seconds=10)}
    return from_url(url, client_options=client, retry_config=retry, **more)


class _Credentials:
    """Finds credentials as every AWS tool does: also in profiles, SSO and the roles of pods."""

    def __init__(self) -> None:
        from botocore.session import Session  # noqa: PLC0415 - only for S3

        self._session = Session()

    def __call__(self) -> "S3Credential":
        found = self._session.get_credentials()
        if found is None:
            raise OSError(NO_CREDENTIALS)
        keys = found.get_frozen_credentials()
        return {
            "access_key_id": keys.access_key or "",
            "secret_access_key": keys.secret_key or "",
            "token": keys.token,
            "expires_at": datetime.now(UTC) + CREDENTIALS_LAST,
        }
