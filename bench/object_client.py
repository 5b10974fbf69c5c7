"""What listing a bucket costs a process that has nothing else to do; started by `bench.object_listing`.

Follows the bucket with a sensor asset, evaluated as a code server evaluates it, with the ledger in Postgres; or lists
it as a plain sensor does. Prints what that took as JSON. Time is processor time of this process; memory is the peak
while it worked, above what the process had before.
"""

import json
import sys
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from statistics import median
from typing import Any

from sensor_assets import Batch, ObjectSource, Settings, sensor_asset
from sensor_assets._sources import object_client, object_places
from sensor_assets.ledger import PostgresLedger
from sensor_assets.testing import Location, settings_for

TICKS = 60
MOST_TICKS = 100


class Follower:
    """A location that follows a bucket; what is there when it begins starts no run."""

    def __init__(self, bucket: str, ledger: PostgresLedger, **declared: Any) -> None:
        source = ObjectSource(
            "files", url=f"s3://{bucket}", key="{date:%Y-%m-%d}/*.csv", start_from="now", every=30, **declared
        )

        @sensor_asset(source)
        def files_loaded(batch: Batch) -> None:
            """Load nothing."""

        with ledger.transaction() as connection:
            # Due now; and a sweep begins at the beginning, not where the ticks of another process have left it.
            connection.execute("update source set due_at = null, position = position - 'sweep' - 'window'")
        self._clients: set[object_client.ObjectClient] = set()
        self.location = Location([files_loaded], ledger=ledger, settings=settings_for(Settings))

    @property
    def calls(self) -> int:
        """LIST calls so far, also those of clients that were left behind in the middle of a tick."""
        return sum(client.lister.calls for client in self._clients)

    @property
    def position(self) -> dict[str, Any]:
        """Where the scans are."""
        return self.location.runtime.ledger.sources(["files"])["files"].position or {}

    def tick(self) -> None:
        """Evaluate the monitor once; nothing new is to be found."""
        ticked = self.location.evaluate()
        client = self.location.runtime.clients["files"]
        if isinstance(client, object_client.ObjectClient):
            self._clients.add(client)
        if ticked.run_requests:
            raise RuntimeError("something is new in a bucket that does not change")

    def sweep(self) -> None:
        """Evaluate until everything was listed once."""
        for _ in range(MOST_TICKS):
            self.tick()
            if self.position.get("swept") and not {"sweep", "window"} & self.position.keys():
                return
        raise RuntimeError(f"after {MOST_TICKS} ticks the scans are at {self.position}")


def resident(name: str) -> int:
    """Return a figure about memory of this process, bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:"))


def measured(work: Callable[[], int]) -> dict[str, float]:
    """Work, and return what it took: the number of calls, seconds of processor time, bytes."""
    Path("/proc/self/clear_refs").write_text("5")  # proc(5): the peak begins anew
    before, began = resident("VmRSS"), time.process_time()
    calls = work()
    return {"calls": calls, "seconds": time.process_time() - began, "bytes": resident("VmHWM") - before}


def first_sight(bucket: str, ledger: PostgresLedger) -> dict[str, Any]:
    """Record everything."""
    follower = Follower(bucket, ledger, strategy="full")

    def work() -> int:
        follower.sweep()
        return follower.calls

    return measured(work)


def idle(bucket: str, ledger: PostgresLedger) -> dict[str, Any]:
    """Look at the window and a slice of the sweep, tick by tick."""
    follower = Follower(bucket, ledger)
    seconds: list[float] = []
    calls: list[int] = []

    def work() -> int:
        for _ in range(TICKS):
            asked, began = follower.calls, time.process_time()
            follower.tick()
            seconds.append(time.process_time() - began)
            calls.append(follower.calls - asked)
        return follower.calls

    taken = measured(work)
    return {"calls": max(calls), "seconds": median(seconds[1:]), "first": seconds[0], "bytes": taken["bytes"]}


def sweep(bucket: str, ledger: PostgresLedger) -> dict[str, Any]:
    """List everything; nothing has changed."""
    follower = Follower(bucket, ledger, strategy="full")

    def work() -> int:
        follower.sweep()
        return follower.calls

    return measured(work)


def through_obstore() -> None:
    """Let S3 be listed as any other store, which has no need of botocore's credentials."""
    import_module("botocore.session")  # so it is in memory before
    object_places.speaks_s3 = lambda url: False  # noqa: ARG005


def paginator(bucket: str, _: PostgresLedger) -> dict[str, Any]:
    """List as with boto3, and keep what tells versions apart."""
    import boto3  # noqa: PLC0415 - not in the processes that follow

    client: Any = boto3.client("s3")  # pyright: ignore[reportUnknownMemberType]
    seen: set[tuple[str, str]] = set()

    def work() -> int:
        pages = 0
        for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket):
            pages += 1
            seen.update((found["Key"], found["ETag"]) for found in page["Contents"])
        return pages

    return {**measured(work), "keys": len(seen)}


def get_objects(bucket: str, _: PostgresLedger) -> dict[str, Any]:
    """List as dagster-aws recommends it for sensors."""
    import boto3  # noqa: PLC0415 - not in the processes that follow
    from dagster_aws.s3.sensor import get_objects as listed  # noqa: PLC0415

    client: Any = boto3.client("s3")  # pyright: ignore[reportUnknownMemberType]
    found: list[Any] = []

    def work() -> int:
        found.extend(listed(bucket=bucket, client=client))
        return -(-len(found) // 1000)

    return {**measured(work), "keys": len(found)}


TASKS: dict[str, Callable[[str, PostgresLedger], dict[str, Any]]] = {
    "first sight": first_sight,
    "idle": idle,
    "sweep": sweep,
    "paginator": paginator,
    "get_objects": get_objects,
}


def main() -> None:
    """Do what is asked for, and print what it took; the arguments are task, bucket, URL of Postgres and schema."""
    task, bucket, url, schema = sys.argv[1:]
    name, _, way = task.partition(" through ")
    if way == "obstore":
        through_obstore()
    print(json.dumps(TASKS[name](bucket, PostgresLedger(url, schema))))
