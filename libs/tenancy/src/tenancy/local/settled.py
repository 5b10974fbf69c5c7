"""Whether everything that the feeds played has arrived where it belongs.

Nothing may be outstanding anywhere: the feeds have played everything, no ledger has an item waiting or in flight, no
run or backfill is queued or running, and every sensor has looked at least twice, without asking for a run, since the
last thing that could have given it work: the end of the feeds, of a run or of a backfill.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from tenancy.local.instance import Instance
from tenancy.local.status import SourceStatus

TICKS = 2
UNFINISHED_BACKFILLS = ("REQUESTED", "CANCELING", "FAILING")
UNFINISHED = ("QUEUED", "NOT_STARTED", "MANAGED", "STARTING", "STARTED", "SUSPENDED", "CANCELING")
QUERY = """
query Settled($unfinished: [RunStatus!]) {
  unfinished: runsOrError(filter: {statuses: $unfinished}, limit: 1000) { ... on Runs { results { id } } }
  last: runsOrError(limit: 50) { ... on Runs { results { endTime updateTime } } }
  backfills: partitionBackfillsOrError(limit: 50) {
    ... on PartitionBackfills { results { status endTimestamp } }
    ... on PythonError { message }
  }
  repositoriesOrError {
    ... on RepositoryConnection {
      nodes {
        location { name }
        sensors { name sensorState { status ticks(limit: 5) { timestamp endTimestamp status runIds } } }
      }
    }
    ... on PythonError { message }
  }
}
"""


@dataclass(frozen=True)
class Sensor:
    """A running sensor's latest ticks, newest first: (begin in seconds of the epoch, whether it ended with no runs)."""

    name: str
    ticks: Sequence[tuple[float, bool]]

    def is_quiet_since(self, moment: float) -> bool:
        """Say whether its last two ticks began after a moment and asked for nothing."""
        latest = self.ticks[:TICKS]
        return len(latest) == TICKS and all(begin > moment and quiet for begin, quiet in latest)


@dataclass(frozen=True)
class Activity:
    """What the instance is doing: runs and backfills that are not over, the end of the last one, its running sensors.

    Automation conditions ask for backfills where several partitions are concerned; their runs come only later.
    """

    unfinished_runs: int
    unfinished_backfills: int
    last_end: float
    sensors: Sequence[Sensor]


def feeds_end(state: Path) -> float | None:
    """Return when the feeds had played everything (seconds of the epoch), None while they have not."""
    path = state / "feeds.json"
    try:
        done = json.loads(path.read_text()).get("done")
        return path.stat().st_mtime if done else None
    except (FileNotFoundError, json.JSONDecodeError):
        return None


def activity(instance: Instance) -> Activity | None:
    """Ask the instance what it is doing; None when it does not answer."""
    try:
        data = instance.ask(QUERY, unfinished=UNFINISHED)
        runs, backfills = data["last"]["results"], data["backfills"]["results"]
        ends = [run["endTime"] or run["updateTime"] or 0.0 for run in runs]
        ends += [backfill["endTimestamp"] or 0.0 for backfill in backfills]
        return Activity(
            unfinished_runs=len(data["unfinished"]["results"]),
            unfinished_backfills=sum(backfill["status"] in UNFINISHED_BACKFILLS for backfill in backfills),
            last_end=max(ends, default=0.0),
            sensors=list(_sensors(data["repositoriesOrError"]["nodes"])),
        )
    except (httpx.HTTPError, KeyError):
        return None


def _sensors(repositories: Iterable[dict[str, Any]]) -> Iterator[Sensor]:
    for repository in repositories:
        for sensor in repository["sensors"]:
            state = sensor["sensorState"]
            if state["status"] == "RUNNING":
                ticks = [
                    (tick["timestamp"], tick["status"] == "SKIPPED" and not tick["runIds"]) for tick in state["ticks"]
                ]
                yield Sensor(f"{repository['location']['name']}/{sensor['name']}", ticks)


def outstanding(
    feeds: float | None,
    statuses: Sequence[SourceStatus] | None,
    ask_activity: Callable[[], Activity | None],
    locations: int,
) -> list[str]:
    """Return what is not settled, in words; empty when everything is.

    Args:
        feeds: when the feeds ended, None while they play.
        statuses: of every source of every team, None when the database does not answer.
        ask_activity: returns what the instance does, None when it does not answer; asked only when the rest is settled.
        locations: how many code locations the instance should show.
    """
    if feeds is None:
        return ["the feeds still play"]
    if statuses is None:
        return ["the ledgers' database does not answer"]
    if busy := [_words(status) for status in statuses if not status.is_settled]:
        return busy
    if not statuses:
        return ["no source has been looked at"]
    doing = ask_activity()
    if doing is None:
        return ["the webserver does not answer"]
    found: list[str] = []
    if doing.unfinished_runs:
        found.append(f"{doing.unfinished_runs} runs are queued or running")
    if doing.unfinished_backfills:
        found.append(f"{doing.unfinished_backfills} backfills are not over")
    if len({sensor.name.partition("/")[0] for sensor in doing.sensors}) < locations:
        found.append("a code location is not loaded or has no running sensor")
    since = max(feeds, doing.last_end)
    found += [f"sensor {sensor.name} still has to look" for sensor in doing.sensors if not sensor.is_quiet_since(since)]
    return found


def _words(status: SourceStatus) -> str:
    health = "" if status.healthy else f", failing: {status.error}"
    return f"{status.team}/{status.source}: {status.waiting} waiting, {status.in_flight} in flight{health}"
