"""Which Jobs of runs are left over: nobody waits for them, and they take room from the team's other runs.

Dagster's run monitor gives up a run that does not begin, or does not end when it is told to; it leaves the run's Job. A
pod that no node has room for then waits for ever, and counts in the team's quota meanwhile.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

GRACE_SECONDS = 300.0
"""How long a pod may go on after its run has ended: it stores what the run has written, and ends by itself."""


@dataclass(frozen=True)
class RunJob:
    """A Job of a run that has not come to its end."""

    namespace: str
    name: str
    run_id: str
    made: float
    """Seconds since 1970."""
    version: str
    """Another one after each change, as when it has come to its end."""


def unfinished(namespace: str, jobs: Iterable[Mapping[str, Any]]) -> Iterator[RunJob]:
    """Yield the Jobs that are at work or wait for a pod; one that has ended stays, for its pod's log.

    Args:
        namespace: that they are in.
        jobs: of runs, as Kubernetes writes them.
    """
    for job in jobs:
        metadata = job["metadata"]
        conditions = (job.get("status") or {}).get("conditions") or ()
        ended = any(each["type"] in ("Complete", "Failed") and each["status"] == "True" for each in conditions)
        if not ended and "deletionTimestamp" not in metadata:
            yield RunJob(
                namespace=namespace,
                name=metadata["name"],
                run_id=metadata["labels"]["dagster/run-id"],
                made=datetime.fromisoformat(metadata["creationTimestamp"]).timestamp(),
                version=metadata["resourceVersion"],
            )


def left_over(jobs: Iterable[RunJob], over: Mapping[str, float], now: float) -> list[RunJob]:
    """Return the Jobs that are to be removed.

    Args:
        jobs: those that are unfinished.
        over: since when a run has ended, or is not known any more, by its id; a run that goes on is not in it.
        now: seconds since 1970, as all others.
    """
    # A Job may be newer than its run's end: of a run that was ended while it was being launched.
    return [job for job in jobs if job.run_id in over and now - max(over[job.run_id], job.made) > GRACE_SECONDS]
