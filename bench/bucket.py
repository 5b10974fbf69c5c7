"""A bucket in simulated time, with S3's semantics: what its listings show, page by page, and what can be read."""

from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from threading import RLock
from types import SimpleNamespace
from typing import Any

from bench.workload import Version

EPOCH = datetime(2013, 1, 1, tzinfo=UTC)
PAGE_KEYS = 1000
PAGE_SECONDS = 0.1


@dataclass(frozen=True)
class Listed:
    """One page of a listing."""

    versions: Sequence[Version]
    truncated: bool


@dataclass
class Bucket:
    """What can be seen now.

    Args:
        versions: What the producers do.
        now: Returns the simulated time, seconds. A page of a listing takes `PAGE_SECONDS` on top of it, so that a
            listing of several pages shows each as the bucket was at another moment.
        moment: The time of the last answer, seconds.
        listings: How many listings came to their end.
        present: What is there, by key.
        keys: The same keys in order.
    """

    versions: Sequence[Version]
    now: Callable[[], float]
    moment: float = 0.0
    listings: int = 0
    present: dict[str, Version] = field(default_factory=dict[str, Version])
    keys: list[str] = field(default_factory=list[str])

    def __post_init__(self) -> None:
        changes = [(version.begins, 1, number) for number, version in enumerate(self.versions)]
        changes += [(version.ends, 0, number) for number, version in enumerate(self.versions)]
        self._changes = sorted(change for change in changes if change[0] != float("inf"))
        self._done = 0
        self._lock = RLock()

    def page(self, after: str = "", prefix: str = "", limit: int = PAGE_KEYS) -> Listed:
        """Return the objects below a prefix that follow a key, in order of key."""
        with self._lock:
            self._catch_up(lasting=PAGE_SECONDS)
            first = max(bisect_right(self.keys, after) if after else 0, bisect_left(self.keys, prefix))
            found = [key for key in self.keys[first : first + limit + 1] if key.startswith(prefix)]
            self.listings += len(found) <= limit
            return Listed([self.present[key] for key in found[:limit]], truncated=len(found) > limit)

    def get(self, key: str) -> Version | None:
        """Return the version of an object that is there, or None when there is none."""
        with self._lock:
            self._catch_up()
            return self.present.get(key)

    def _catch_up(self, lasting: float = 0.0) -> None:
        self.moment = max(self.moment + lasting, self.now())
        while self._done < len(self._changes) and self._changes[self._done][0] <= self.moment:
            _, begins, number = self._changes[self._done]
            self._done += 1
            version = self.versions[number]
            if begins:
                if version.key not in self.present:
                    insort(self.keys, version.key)
                self.present[version.key] = version
            elif self.present.get(version.key) == version:
                del self.present[version.key]
                self.keys.pop(bisect_left(self.keys, version.key))


def last_modified(version: Version) -> datetime:
    """Return LastModified as S3 tells it."""
    return EPOCH + timedelta(seconds=version.modified)


class Boto3Client:
    """The two ways in which plain sensors list, with boto3's answers and without what they cost."""

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket
        self._entries: dict[str, dict[str, Any]] = {}

    def list_objects_v2(self, *, StartAfter: str = "", Prefix: str = "", **_: Any) -> dict[str, Any]:  # noqa: N803 - boto3's names
        """Return one page."""
        return self._answer(self._bucket.page(StartAfter, Prefix))

    def get_paginator(self, name: str) -> SimpleNamespace:
        """Return a paginator over all pages."""
        if name != "list_objects_v2":
            raise NotImplementedError(name)
        return SimpleNamespace(paginate=self._pages)

    def _pages(self, *, Prefix: str = "", **_: Any) -> Iterator[dict[str, Any]]:  # noqa: N803 - boto3's name
        after, more = "", True
        while more:
            listed = self._bucket.page(after, Prefix)
            yield self._answer(listed)
            more = listed.truncated
            after = listed.versions[-1].key if more else ""

    def _answer(self, listed: Listed) -> dict[str, Any]:
        contents = [self._entry(version) for version in listed.versions]
        # S3 leaves out what is empty.
        return {"KeyCount": len(contents), **({"Contents": contents} if contents else {})}

    def _entry(self, version: Version) -> dict[str, Any]:
        if version.etag not in self._entries:
            self._entries[version.etag] = {
                "Key": version.key,
                "ETag": version.etag,
                "LastModified": last_modified(version),
                "Size": len(version.etag),
            }
        return self._entries[version.etag]
