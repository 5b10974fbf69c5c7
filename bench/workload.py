"""What producers do to a bucket in some hours: a list of object versions with the moments at which each can be seen."""

import random
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

HOUR = 3600.0

Naming = Literal["hour", "uuid"]
"""How objects are called: by hour, producer and running number, or by chance."""


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

    @property
    def identity(self) -> tuple[str, str]:
        """Key and ETag."""
        return self.key, self.etag


@dataclass(frozen=True, kw_only=True)
class Workload:
    """How much of what happens.

    Args:
        naming: How objects are called.
        seed: Makes the same workload again.
        objects: Number of keys.
        hours: In which their uploads begin.
        multipart: Share of objects whose upload takes from 30 s to `longest`.
        longest: Seconds that the longest upload takes.
        overwritten: Share that is written again, 5 s to 20 min later.
        deleted: Share that is deleted within half an hour.
        late: Share that is written into the folder of an earlier hour, where folders are hours.
        producers: Number of those who write; each counts its own objects.
    """

    naming: Naming = "hour"
    seed: int = 1
    objects: int = 20_000
    hours: float = 6.0
    multipart: float = 0.02
    longest: float = HOUR
    overwritten: float = 0.03
    deleted: float = 0.01
    late: float = 0.01
    producers: int = 4

    def versions(self) -> list[Version]:
        """Return every version of every object."""
        return list(self._versions())

    def _versions(self) -> Iterator[Version]:
        chance = random.Random(self.seed)  # noqa: S311 - repeatable on purpose
        counts: Counter[int] = Counter()
        for written in sorted(chance.uniform(0, self.hours * HOUR) for _ in range(self.objects)):
            key = self._key(chance, written, counts)
            takes = chance.uniform(30, self.longest) if chance.random() < self.multipart else 0.0
            version = Version(key, _etag(chance), float(int(written)), written + takes)
            if chance.random() < self.overwritten:
                again = version.begins + chance.uniform(5, 1200)
                yield replace(version, ends=again)
                version = Version(key, _etag(chance), float(int(again)), again)
            if chance.random() < self.deleted:
                version = replace(version, ends=version.begins + chance.uniform(5, 1800))
            yield version

    def _key(self, chance: random.Random, written: float, counts: Counter[int]) -> str:
        if self.naming == "uuid":
            return f"{chance.getrandbits(128):032x}.csv"
        hour, producer = int(written / HOUR), chance.randrange(self.producers)
        if chance.random() < self.late:
            hour = chance.randint(0, hour)
        counts[producer] += 1
        return f"2013-01-01T{hour:02}/{producer}-{counts[producer]:06}.csv"


def _etag(chance: random.Random) -> str:
    return f'"{chance.getrandbits(128):032x}"'


def ends(versions: Sequence[Version]) -> float:
    """Return the moment after which nothing happens any more, seconds."""
    moments = [moment for version in versions for moment in (version.begins, version.ends)]
    return max(moment for moment in moments if moment != float("inf"))


def visible(versions: Sequence[Version], polls: Sequence[float], lasting: float) -> set[tuple[str, str]]:
    """Return the key and ETag of whatever can be seen during the whole of at least one poll.

    Args:
        versions: What the bucket held.
        polls: When polls began, in order, seconds.
        lasting: How long a poll takes, seconds: what ends or begins meanwhile may rightly be missed.
    """

    def seen(version: Version) -> bool:
        first = bisect_left(polls, version.begins)
        return first < len(polls) and polls[first] + lasting < version.ends

    return {version.identity for version in versions if seen(version)}
