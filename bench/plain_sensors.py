"""What people write without a ledger: how each finds the objects that it asks runs for, poll by poll.

Each takes its client and returns (key, ETag) pairs, one for each run that it requests; a run key that was used before
makes Dagster drop the request, which these do themselves.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from dagster_aws.s3.sensor import get_objects

Requested = tuple[str, str]


class PlainSensor(ABC):
    """One such sensor, with its cursor and the run keys that Dagster has seen."""

    def __init__(self, client: Any) -> None:
        self.client = client
        self.run_keys: set[str] = set()

    @abstractmethod
    def poll(self) -> list[Requested]:
        """Look once."""

    def request(self, objects: Iterable[Any], *, by_version: bool = False) -> list[Requested]:
        """Request a run for each object whose run key is new."""
        requested: list[Requested] = []
        for found in objects:
            run_key = f"{found['Key']}-{found['ETag']}" if by_version else found["Key"]
            if run_key not in self.run_keys:
                self.run_keys.add(run_key)
                requested.append((found["Key"], found["ETag"]))
        return requested


class LastKeyOfPage(PlainSensor):
    """StartAfter the cursor, one run for the last key of the page, which becomes the cursor."""

    cursor = ""

    def poll(self) -> list[Requested]:
        objects = self.client.list_objects_v2(Bucket="b", Prefix="", StartAfter=self.cursor)["Contents"]
        if objects:
            self.cursor = objects[-1]["Key"]
        return self.request(objects[-1:])


class KeysOfPage(PlainSensor):
    """StartAfter the cursor, a run for each key of the page."""

    cursor = ""

    def poll(self) -> list[Requested]:
        objects = self.client.list_objects_v2(Bucket="b", Prefix="", StartAfter=self.cursor)["Contents"]
        if objects:
            self.cursor = objects[-1]["Key"]
        return self.request(objects)


class SinceKey(PlainSensor):
    """The documentation's example: `get_s3_keys(since_key=...)`, run key = key, cursor = last key."""

    cursor: str | None = None

    def poll(self) -> list[Requested]:
        try:
            objects = get_objects("b", since_key=self.cursor, client=self.client)
        except Exception as error:  # the key of the cursor was deleted: the function raises, at every further poll
            if "since_key" not in str(error):
                raise
            objects = get_objects("b", client=self.client)
        if objects:
            self.cursor = objects[-1]["Key"]
        return self.request(objects)


class SinceLastModified(PlainSensor):
    """`get_objects(since_last_modified=...)`, run key = key, cursor = newest LastModified."""

    cursor: datetime | None = None

    def poll(self) -> list[Requested]:
        objects = get_objects("b", since_last_modified=self.cursor, client=self.client)
        if objects:
            self.cursor = max(found["LastModified"] for found in objects)
        return self.request(objects, by_version=True)


class LookBack(PlainSensor):
    """Every object that is younger than the newest less a quarter of an hour, run key = key and ETag."""

    minutes = 15
    newest = datetime(2013, 1, 1, tzinfo=UTC)

    def poll(self) -> list[Requested]:
        horizon = self.newest - timedelta(minutes=self.minutes)
        objects = get_objects("b", since_last_modified=horizon, client=self.client)
        if objects:
            self.newest = max(self.newest, *(found["LastModified"] for found in objects))
        return self.request(objects, by_version=True)
