"""What producers do to a bucket in some hours: a list of object versions with the moments at which each can be seen."""

import random
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass, replace

HOUR = 3600.0


@dataclass(frozen=True)
class Version:
    """One version of one object.

    Args:
        key: Its key.
        etag: What the store calls this version.
        modified: Its LastModified, seconds; of a multipart upload that is when the upload began, not when it ended
            (https://docs.aws.amazon.com/AmazonS3/latest/userguide/mpuoverview.html), and S3 tells whole seconds.
        begins: When it can be seen, seconds.
        ends: When it is overwritten or deleted, seconds; infinity when it stays.
    """

    key: str
    etag: str
    modified: float
    begins: float
    ends: float = float("inf")


@dataclass(frozen=True, kw_only=True)
class Workload:
    """How much of what happens.

    Args:
        seed: Makes the same workload again.
        objects: Number of keys.
        hours: How long it takes.
        multipart: Share of objects whose upload takes from 30 s to 1 h.
        overwritten: Share that is written again, 5 s to 20 min later.
        deleted: Share that is deleted within half an hour.
        late: Share that is written into the folder of an earlier hour.
    """

    seed: int = 1
    objects: int = 20_000
    hours: float = 6.0
    multipart: float = 0.02
    overwritten: float = 0.03
    deleted: float = 0.01
    late: float = 0.01
    producers: int = 4

    def versions(self) -> list[Version]:
        """Return every version of every object."""
        return list(self._versions())

    def _versions(self) -> Iterator[Version]:
        chance = random.Random(self.seed)  # noqa: S311 - repeatable on purpose
        for number in range(self.objects):
            written = chance.uniform(0, self.hours * HOUR)
            hour = int(written / HOUR)
            if chance.random() < self.late:
                hour = chance.randint(0, hour)
            key = f"2013-01-01T{hour:02}/{chance.randrange(self.producers)}-{number:06}.csv"
            takes = chance.uniform(30, HOUR) if chance.random() < self.multipart else 0.0
            version = Version(key, f'"{chance.getrandbits(128):032x}"', float(int(written)), written + takes)
            if chance.random() < self.overwritten:
                again = version.begins + chance.uniform(5, 1200)
                yield replace(version, ends=again)
                version = Version(key, f'"{chance.getrandbits(128):032x}"', float(int(again)), again)
            if chance.random() < self.deleted:
                version = replace(version, ends=version.begins + chance.uniform(5, 1800))
            yield version


def visible(versions: list[Version], moments: list[float]) -> set[tuple[str, str]]:
    """Return the (key, ETag) that can be seen at one of some moments, which are sorted."""

    def seen(version: Version) -> bool:
        first = bisect_left(moments, version.begins)
        return first < len(moments) and moments[first] < version.ends

    return {(version.key, version.etag) for version in versions if seen(version)}
