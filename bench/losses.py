"""Versions lost and effects doubled, by what sensors do without a ledger and by a sensor asset, on the same workload.

A seeded workload is played in simulated time against a bucket with S3's semantics: 20,000 objects in 6 hours, of which
2 % are multipart uploads that take 30 s to 1 h, 3 % are overwritten, 1 % deleted, 1 % written into the folder of an
earlier hour. `LastModified` is when an upload began and tells whole seconds, listings are in order of key and in pages
of 1,000, of which each takes 0.1 s and shows the bucket as it is then. Everyone polls every 30 s.

A version counts when it can be seen during the whole of at least one poll. It is lost when it was never processed, and
doubled when it was processed more than once. What sensors without a ledger request is processed at once and never
fails. The sensor asset is the real thing: its monitor, its ledger in Postgres, its runs with reads by `If-Match` and
files named after batches, over HTTP to a server that answers from the simulated bucket. It is played without and with
faults: evaluations that are killed, lose their answer, or hang while the next one overtakes them, runs that are killed
or fail at four points, and a cursor that is reset or rolled back. A fault can keep a run from a version until that is
overwritten or deleted: then its bytes are gone, and it is counted as overtaken.

    python -m bench.losses --json bench/results/losses.json
"""

import argparse
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import get_args

from tenancy.local.postgres import Postgres

from bench.bucket import PAGE_KEYS, PAGE_SECONDS, Boto3Client, Bucket
from bench.followed_bucket import Effect, followed
from bench.plain_sensors import PLAIN_SENSORS, PlainSensor
from bench.report import Bar, Report, Table
from bench.s3_server import boto3_client, served
from bench.workload import Naming, Version, Workload, ends, visible

EVERY = 30.0
FIRST_POLL = 0.5

NAMINGS: dict[Naming, str] = {
    "hour": "Keys of four producers below a prefix for each hour",
    "uuid": "Keys by chance (UUIDs)",
}
OURS = "sensor asset"
OURS_WITH_FAULTS = "sensor asset, with faults"


@dataclass(frozen=True)
class Outcome:
    """What one algorithm did with one workload; numbers of versions, effects, polls and runs."""

    algorithm: str
    naming: Naming
    polls: int
    versions: int
    lost: int
    doubled: int
    overtaken: int
    runs: int
    faults: dict[str, int] = field(default_factory=dict[str, int])


def main(arguments: Sequence[str] | None = None) -> int:
    """Play, print tables, write them to a file; 1 when anything of ours is lost or doubled."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="file to write the figures to")
    parser.add_argument("--objects", type=int, default=20_000)
    parser.add_argument("--hours", type=float, default=6.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--wire", action="store_true", help="boto3 over HTTP for all (an hour), not its answers alone")
    options = parser.parse_args(arguments)

    outcomes: list[Outcome] = []
    with server() as (postgres, home):
        for naming in get_args(Naming):
            workload = Workload(naming=naming, seed=options.seed, objects=options.objects, hours=options.hours)
            for play in plays(postgres, home, wire=options.wire):
                outcomes.append(play(workload))
                print(outcomes[-1], flush=True)
    return report(outcomes).deliver(options.json)


@contextmanager
def server() -> Generator[tuple[Postgres, Path]]:
    """Start a Postgres; what it holds need not outlive it."""
    home = Path(tempfile.mkdtemp(prefix="losses-"))
    home.chmod(0o755)
    try:
        with Postgres(home / "data", home / "socket", durable=False) as postgres:
            yield postgres, home
    finally:
        shutil.rmtree(home, ignore_errors=True)


def plays(postgres: Postgres, home: Path, *, wire: bool) -> list[Callable[[Workload], Outcome]]:
    """Return all that is compared, as functions of the workload."""
    plain = [partial(play_plain, kind=kind, wire=wire) for kind in PLAIN_SENSORS]
    ours = [partial(play_ours, postgres=postgres, home=home, faults=faults) for faults in (False, True)]
    return [*plain, *ours]


def play_plain(workload: Workload, kind: type[PlainSensor], *, wire: bool = False) -> Outcome:
    """Let a sensor without a ledger follow the bucket; what it requests is read at once."""
    versions = workload.versions()
    time = FIRST_POLL
    bucket = Bucket(versions, now=lambda: time)
    polls: list[float] = []
    effects: Counter[Effect] = Counter()
    runs = 0
    with ExitStack() as stack:
        client = boto3_client(stack.enter_context(served(bucket))) if wire else Boto3Client(bucket)
        sensor = kind(client)
        while time < ends(versions) + EVERY:
            polls.append(time)
            for key in sensor.poll():
                runs += 1
                if (version := bucket.get(key)) is not None:
                    effects[version.identity] += 1
            time += EVERY
    return _outcome(kind.name, workload, versions, polls, effects, runs=runs)


def play_ours(workload: Workload, *, postgres: Postgres, home: Path, faults: bool) -> Outcome:
    """Let a sensor asset follow the bucket."""
    versions = workload.versions()
    bucket = Bucket(versions, now=lambda: 0.0)
    name = f"{workload.naming}_{'faults' if faults else 'calm'}"
    sink = f"file://{home / name}"
    with followed(
        bucket, postgres.url(), name, sink, faults=faults, seed=f"{name} {workload.seed}", every=EVERY
    ) as play:
        play.begin(FIRST_POLL)
        played = play.until(ends(versions))
    return _outcome(
        OURS_WITH_FAULTS if faults else OURS,
        workload,
        versions,
        sorted(played.polls),
        played.effects,
        overtaken=played.overtaken,
        runs=played.runs,
        faults=played.faults,
    )


def _outcome(
    algorithm: str,
    workload: Workload,
    versions: Sequence[Version],
    polls: Sequence[float],
    effects: Counter[Effect],
    *,
    runs: int,
    overtaken: set[Effect] | None = None,
    faults: Counter[str] | None = None,
) -> Outcome:
    pages = workload.objects // PAGE_KEYS + 2
    seen = visible(versions, polls, lasting=pages * PAGE_SECONDS)
    missed = seen - set(effects)
    late = missed & (overtaken or set())
    return Outcome(
        algorithm=algorithm,
        naming=workload.naming,
        polls=len(polls),
        versions=len(seen),
        lost=len(missed - late),
        doubled=sum(number - 1 for number in effects.values()),
        overtaken=len(late),
        runs=runs,
        faults=dict(faults or {}),
    )


def report(outcomes: Sequence[Outcome]) -> Report:
    """Return the outcomes as tables, and that nothing of ours may be lost or doubled."""
    ours = [outcome for outcome in outcomes if outcome.algorithm in (OURS, OURS_WITH_FAULTS)]
    faults: Counter[str] = sum((Counter(outcome.faults) for outcome in ours), Counter())
    return Report(
        tables=[
            Table(
                title="What is compared",
                columns=["algorithm", "what it does", "where it is from"],
                rows=[
                    *([kind.name, kind.does, kind.source] for kind in PLAIN_SENSORS),
                    [OURS, "records every version that a listing shows, runs for batches", "`sensor_assets`"],
                ],
            ),
            *(_table(title, [each for each in outcomes if each.naming == naming]) for naming, title in NAMINGS.items()),
            Table(
                title="Faults in both workloads together",
                columns=["fault", "times"],
                rows=[[fault, times] for fault, times in sorted(faults.items())],
            ),
        ],
        bars=[
            Bar(
                what=f"{what}, {sum(outcome.versions for outcome in ours):,} versions, with and without faults",
                measured=number,
                most=0,
                least=0,
            )
            for what, number in (
                ("versions lost", sum(outcome.lost for outcome in ours)),
                ("effects doubled", sum(outcome.doubled for outcome in ours)),
            )
        ],
        figures={"outcomes": [asdict(outcome) for outcome in outcomes]},
    )


def _table(title: str, outcomes: Sequence[Outcome]) -> Table:
    return Table(
        title=title,
        columns=["algorithm", "versions", "lost", "% lost", "doubled", "overtaken", "runs", "polls"],
        rows=[
            [own.algorithm, own.versions, own.lost, percent(own), own.doubled, own.overtaken, own.runs, own.polls]
            for own in outcomes
        ],
    )


def percent(outcome: Outcome) -> float:
    """Return how many of a hundred versions were lost."""
    return 100 * outcome.lost / max(outcome.versions, 1)


if __name__ == "__main__":
    sys.exit(main())
