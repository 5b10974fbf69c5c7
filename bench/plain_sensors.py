"""What sensors do without a ledger: how each finds the objects that it requests runs for, poll by poll.

Each takes a client of boto3's kind and returns the keys of the objects for which it requests a run; of a run key that
was used before Dagster makes no second run, which these see to themselves.
"""

import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

from dagster_aws.s3.sensor import get_objects, get_s3_keys

BUCKET = "landing"


class PlainSensor(ABC):
    """One such sensor, with its cursor and the run keys that Dagster has seen.

    `name` says by what it is known, `does` what it does, `source` where it is described.
    """

    name: ClassVar[str]
    does: ClassVar[str]
    source: ClassVar[str]

    def __init__(self, client: Any) -> None:
        self.client = client
        self.run_keys: set[str] = set()

    @abstractmethod
    def poll(self) -> list[str]:
        """Look once."""

    def request(self, found: Iterable[tuple[str, str]]) -> list[str]:
        """Request a run for each pair of run key and object key whose run key is new."""
        requested: list[str] = []
        for run_key, key in found:
            if run_key not in self.run_keys:
                self.run_keys.add(run_key)
                requested.append(key)
        return requested


def by_key(objects: Sequence[Any]) -> list[tuple[str, str]]:
    """Return the objects with their keys as run keys."""
    return [(found["Key"], found["Key"]) for found in objects]


def by_version(objects: Sequence[Any]) -> list[tuple[str, str]]:
    """Return the objects with key and ETag as run keys."""
    return [(f"{found['Key']}-{found['ETag']}", found["Key"]) for found in objects]


class LastKeyOfPage(PlainSensor):
    """One page after the cursor, one run for its last key, which becomes the cursor."""

    name = "last key of the page"
    does = "lists one page of keys after the last one, starts a run for the last key of the page"
    source = "sensors with `list_objects_v2(StartAfter=cursor)`"
    cursor = ""

    def poll(self) -> list[str]:
        page = self.client.list_objects_v2(Bucket=BUCKET, Prefix="", StartAfter=self.cursor)
        objects = page.get("Contents", [])
        if objects:
            self.cursor = objects[-1]["Key"]
        return self.request(by_key(objects[-1:]))


class KeysOfPage(PlainSensor):
    """One page after the cursor, a run for each of its keys."""

    name = "keys of the page"
    does = "lists one page of keys after the last one, starts a run for each"
    source = "the same, for every key of the page"
    cursor = ""

    def poll(self) -> list[str]:
        page = self.client.list_objects_v2(Bucket=BUCKET, Prefix="", StartAfter=self.cursor)
        objects = page.get("Contents", [])
        if objects:
            self.cursor = objects[-1]["Key"]
        return self.request(by_key(objects))


class SinceKey(PlainSensor):
    """`get_s3_keys(since_key=...)`; the run key is the key, the cursor the last one."""

    name = "`get_s3_keys(since_key)`"
    does = "takes the keys that were modified after the last one, run key = key"
    source = "Dagster's documentation of sensors, `dagster_aws.s3.sensor.get_s3_keys`"
    cursor: str | None = None

    def poll(self) -> list[str]:
        try:
            keys = self._keys_since(self.cursor)
        except Exception as error:
            # The object of the cursor was deleted: it raises now and at every further poll, until somebody resets the
            # cursor. Here somebody does so at once.
            if "since_key" not in str(error):
                raise
            keys = self._keys_since(None)
        if keys:
            self.cursor = keys[-1]
        return self.request((key, key) for key in keys)

    def _keys_since(self, key: str | None) -> list[str]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            return get_s3_keys(BUCKET, since_key=key, s3_session=self.client)


class SinceLastModified(PlainSensor):
    """`get_objects(since_last_modified=...)`; the run key is key and ETag, the cursor the newest LastModified."""

    name = "`get_objects(since_last_modified)`"
    does = "takes the objects whose LastModified is after the newest one, run key = key and ETag"
    source = "`dagster_aws.s3.sensor.get_objects`"
    cursor: datetime | None = None

    def poll(self) -> list[str]:
        objects = get_objects(BUCKET, since_last_modified=self.cursor, client=self.client)
        if objects:
            self.cursor = max(found["LastModified"] for found in objects)
        return self.request(by_version(objects))


class LookBack(PlainSensor):
    """`get_objects` since a quarter of an hour before the newest LastModified; the run key is key and ETag."""

    name = "look-back of 15 minutes"
    does = "takes the objects modified up to 15 minutes before the newest one or later, run key = key and ETag"
    source = "the same with a look-back window, as in AWS Glue's bookmarks (`maxBand`)"
    window = timedelta(minutes=15)
    newest = datetime(2013, 1, 1, tzinfo=UTC)

    def poll(self) -> list[str]:
        objects = get_objects(BUCKET, since_last_modified=self.newest - self.window, client=self.client)
        if objects:
            self.newest = max(self.newest, *(found["LastModified"] for found in objects))
        return self.request(by_version(objects))


PLAIN_SENSORS: Sequence[type[PlainSensor]] = (LastKeyOfPage, KeysOfPage, SinceKey, SinceLastModified, LookBack)
