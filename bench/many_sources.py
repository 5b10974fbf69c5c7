"""Many sources: one monitor that checks them all against one plain sensor each, and what an outage does to the others.

Everything is real and in processes of its own: Postgres, a code server, `dagster-daemon run`. The sources are functions
that show three known items; the sensors return a `SkipReason` and so do less. A check is one scan of one source, or one
tick of one sensor. Processor time is that of the daemon, the code server and Postgres (Dagster's database and the
ledger) while they worked through so many checks, and includes what they do between the ticks.

    python -m bench.many_sources --json bench/results/many_sources.json
"""

import argparse
import math
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psutil
import psycopg
import yaml
from sensor_assets.ledger import migrate
from tenancy.local.postgres import Postgres

from bench.report import Bar, Report, Table

WARM_UP_SECONDS = 240.0
MOST_CPU_MS = 0.5
LEAST_RATIO = 200

SENSORS = """
import dagster as dg

@dg.op
def nothing():
    pass

@dg.job
def job():
    nothing()

def sensor(number):
    @dg.sensor(name=f"sensor_{{number}}", job=job, minimum_interval_seconds={every},
               default_status=dg.DefaultSensorStatus.RUNNING)
    def look(context):
        return dg.SkipReason("nothing new")
    return look

defs = dg.Definitions(jobs=[job], sensors=[sensor(number) for number in range({sources})])
"""

# Items that are there at the beginning start no runs: this is about what it costs to find nothing.
MONITOR = """
import os, time
import dagster as dg
from sensor_assets import Batch, Item, Settings, sensor_asset, source, with_sources

HANGING = int(os.environ["HANGING"])

def followed(number):
    @source(f"feed_{{number:03}}", every={every}, start_from="now")
    def feed(context):
        if number < HANGING:
            time.sleep({hang})
        for key in "abc":
            yield Item(key=key, version="1")

    def asset(batch: Batch) -> None: ...

    return sensor_asset(feed, name=f"asset_{{number:03}}")(asset)

settings = Settings.load()
defs = with_sources(dg.Definitions(assets=[followed(number) for number in range({sources})]), settings=settings)
"""


@dataclass(frozen=True)
class Variant:
    """Something that checks the sources: the location's code and the instance's storage."""

    name: str
    location: str
    storage: str


@dataclass(frozen=True)
class Round:
    """What checking cost in one round: checks, ticks, and milliseconds of processor time for each check."""

    variant: str
    checks: int
    ticks: int
    daemon: float
    postgres: float
    code_server: float

    @property
    def total(self) -> float:
        """Milliseconds of processor time of one check."""
        return self.daemon + self.postgres + self.code_server


@dataclass(frozen=True)
class Outage:
    """Scans of each source during an outage, and how many an interval kept to the second would give."""

    seconds: float
    expected: float
    healthy: Sequence[int]
    hanging: Sequence[int]


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, and write the figures to a file; 1 when a bar does not hold."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="file to write the figures to")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=60.0, help="length of a round")
    parser.add_argument("--sources", type=int, default=200)
    parser.add_argument("--every", type=int, default=10, help="seconds between two checks of a source")
    parser.add_argument("--hanging", type=int, default=50, help="sources that hang in the outage")
    parser.add_argument("--hang", type=float, default=20.0, help="seconds until such a source gives up by itself")
    parser.add_argument("--outage", type=float, default=180.0, help="seconds of the outage")
    options = parser.parse_args(arguments)

    rounds: list[Round] = []
    outage: Outage | None = None
    with server() as (postgres, home):
        bench = Bench(postgres, home, options)
        for number in range(options.rounds):
            for variant in variants():
                rounds.append(bench.cost(variant, number))
                print(line(variant.name, [rounds[-1]]), flush=True)
        if options.outage > 0:
            outage = bench.outage(variants()[-1])
    result = summary(rounds)
    return report(rounds, result, outage).deliver(options.json)


def report(rounds: Sequence[Round], result: Mapping[str, Any], outage: Outage | None) -> Report:
    """Return what was measured as tables, and what a check may cost."""
    names = [variant.name for variant in variants()]
    by_name = {name: [each for each in rounds if each.variant == name] for name in names}
    parts = ("daemon", "postgres", "code_server", "total")

    def median(name: str, attribute: str) -> float:
        return statistics.median(getattr(each, attribute) for each in by_name[name])

    cost = Table(
        title=f"Milliseconds of processor time for a check, medians of {len(by_name[names[0]])} rounds",
        columns=["variant", "daemon", "Postgres", "code server", "all", "checks", "ticks"],
        rows=[[name, *(median(name, part) for part in (*parts, "checks", "ticks"))] for name in names],
        note="Stock sensors cost " + ", ".join(f"{ratio:.0f}" for ratio in result["ratios"]) + " times as much.",
    )
    bars = [
        Bar(
            what="200 sources in one monitor: processor time of a check",
            measured=result["milliseconds"][names[-1]],
            unit="ms",
            most=MOST_CPU_MS,
        ),
        Bar(
            what="200 stock sensors against it: processor time",
            measured=statistics.median(result["ratios"]),
            unit="times",
            least=LEAST_RATIO,
        ),
    ]
    if outage is not None:
        bars.append(
            Bar(
                what=f"scans of a source in {outage.seconds:.0f} s while {len(outage.hanging)} others of "
                f"{len(outage.hanging) + len(outage.healthy)} hang, the least",
                measured=min(outage.healthy),
                least=math.floor(outage.expected),
            )
        )
    figures = {"rounds": [asdict(each) for each in rounds], **result, "outage": outage and asdict(outage)}
    return Report(tables=[cost, *([_outage(outage)] if outage else [])], bars=bars, figures=figures)


def _outage(outage: Outage) -> Table:
    groups = {"sources that answer": sorted(outage.healthy), "sources that hang": sorted(outage.hanging)}
    return Table(
        title=f"Scans of a source in an outage of {outage.seconds:.0f} s",
        columns=["sources", "number", "least", "median", "most", "the interval gives"],
        rows=[
            [name, len(own), own[0], statistics.median(own), own[-1], outage.expected] for name, own in groups.items()
        ],
    )


def variants() -> list[Variant]:
    """Return what is compared; the lean storage where it is installed."""
    lean = [Variant("one monitor, lean storage", MONITOR, "lean")] if find_spec("lean_postgres") else []
    return [Variant("stock sensors", SENSORS, "stock"), Variant("one monitor, stock storage", MONITOR, "stock"), *lean]


@contextmanager
def server() -> Generator[tuple[Postgres, Path]]:
    """Start a Postgres with its default durability."""
    home = Path(tempfile.mkdtemp(prefix="many-"))
    home.chmod(0o755)
    try:
        with Postgres(home / "data", home / "socket") as postgres:
            yield postgres, home
    finally:
        shutil.rmtree(home, ignore_errors=True)


@dataclass(frozen=True)
class Bench:
    """Where and how long is measured."""

    postgres: Postgres
    home: Path
    options: argparse.Namespace

    def cost(self, variant: Variant, number: int) -> Round:
        """Let a daemon check for some seconds; returns what a check cost."""
        with self.platform(variant, f"round_{number}_{variants().index(variant)}", hanging=0) as running:
            running.until(lambda: running.checks() >= 2 * self.options.sources)
            before = running.read()
            time.sleep(self.options.seconds)
            after = running.read()
        checks = after.checks - before.checks
        used = {role: 1000 * (after.processor[role] - before.processor[role]) / checks for role in after.processor}
        return Round(variant=variant.name, checks=checks, ticks=after.ticks - before.ticks, **used)

    def outage(self, variant: Variant) -> Outage:
        """Let some sources hang, and count the scans of all."""
        with self.platform(variant, "outage", hanging=self.options.hanging) as running:
            running.until(lambda: running.checks() >= self.options.sources)
            before, began = running.scans(), time.monotonic()
            time.sleep(self.options.outage)
            after, seconds = running.scans(), time.monotonic() - began
        scans = [after[name] - before[name] for name in sorted(after)]
        return Outage(
            seconds=seconds,
            expected=seconds / self.options.every,
            healthy=scans[self.options.hanging :],
            hanging=scans[: self.options.hanging],
        )

    @contextmanager
    def platform(self, variant: Variant, name: str, *, hanging: int) -> Generator["Platform"]:
        """Start a code server and a daemon on empty databases."""
        ledger = f"ledger_{name}"
        with psycopg.connect(self.postgres.url(), autocommit=True) as connection:
            for database in (name, ledger):
                connection.execute(f"create database {database}".encode())
        with psycopg.connect(self.postgres.url(ledger), autocommit=True) as connection:
            connection.execute("create schema bench")
        migrate(self.postgres.url(ledger), "bench")
        home = self.home / name
        home.mkdir()
        socket = home / "code.sock"
        text = variant.location.format(sources=self.options.sources, every=self.options.every, hang=self.options.hang)
        (home / "location.py").write_text(text)
        (home / "dagster.yaml").write_text(yaml.safe_dump(instance(variant.storage, self.postgres.url(name))))
        workspace = {"load_from": [{"grpc_server": {"socket": str(socket), "location_name": "bench"}}]}
        (home / "workspace.yaml").write_text(yaml.safe_dump(workspace))
        environment = {
            "DAGSTER_HOME": str(home),
            "ENVIRONMENT": "local",
            "TEAM": "bench",
            "LOCATION": "bench",
            "LEDGER_URL": self.postgres.url(ledger),
            "LEDGER_SCHEMA": "bench",
            "HANGING": str(hanging),
        }
        programs = {
            "code_server": ["dagster", "api", "grpc", "-s", str(socket), "-f", str(home / "location.py")],
            "daemon": ["dagster-daemon", "run", "--workspace", str(home / "workspace.yaml")],
        }
        with ExitStack() as stack:
            processes: dict[str, psutil.Process] = {"postgres": psutil.Process(self.postgres.pid)}
            for role, (program, *arguments) in programs.items():
                process = stack.enter_context(
                    subprocess.Popen(
                        [str(Path(sys.executable).with_name(program)), *arguments],
                        env={**os.environ, **environment},
                        stdout=stack.enter_context((home / f"{role}.log").open("wb")),
                        stderr=subprocess.STDOUT,
                    )
                )
                stack.callback(process.terminate)
                processes[role] = psutil.Process(process.pid)
                while role == "code_server" and not socket.exists():
                    time.sleep(0.1)
            counted = variant.location is SENSORS
            yield Platform(self.postgres.url(name), self.postgres.url(ledger), processes, ticks_are_checks=counted)


def instance(storage: str, url: str) -> dict[str, Any]:
    """Return the configuration of the Dagster instance."""
    lean = {"custom": {"module": "lean_postgres", "class": "LeanPostgresStorage", "config": {"postgres_url": url}}}
    return {
        "storage": lean if storage == "lean" else {"postgres": {"postgres_url": url}},
        "telemetry": {"enabled": False},
        "sensors": {"use_threads": True, "num_workers": 8},
    }


@dataclass(frozen=True)
class Reading:
    """Counters that only grow."""

    processor: Mapping[str, float]
    checks: int
    ticks: int


@dataclass(frozen=True)
class Platform:
    """A daemon at work."""

    dagster_url: str
    ledger_url: str
    processes: Mapping[str, psutil.Process]
    ticks_are_checks: bool

    def read(self) -> Reading:
        """Read every counter."""
        checks, ticks = self.checks(), self.ticks()
        return Reading({role: seconds(process) for role, process in self.processes.items()}, checks, ticks)

    def checks(self) -> int:
        """Return the number of checks until now."""
        return self.ticks() if self.ticks_are_checks else sum(self.scans().values())

    def ticks(self) -> int:
        """Return the number of ticks that ended."""
        with psycopg.connect(self.dagster_url) as connection:
            try:
                row = connection.execute("select count(*) from job_ticks where status <> 'STARTED'").fetchone()
            except psycopg.errors.UndefinedTable:
                return 0
        return int(row[0]) if row else 0

    def scans(self) -> dict[str, int]:
        """Return how often each source was scanned."""
        with psycopg.connect(self.ledger_url, options="-c search_path=bench") as connection:
            return dict(connection.execute("select name, scans from source").fetchall())

    def until(self, reached: Callable[[], bool]) -> None:
        """Wait until the daemon is in its stride.

        Raises:
            TimeoutError: It does not get there.
        """
        deadline = time.monotonic() + WARM_UP_SECONDS
        while not reached():
            if time.monotonic() > deadline:
                raise TimeoutError(f"{self.checks()} checks in {WARM_UP_SECONDS:.0f} s")
            time.sleep(1)


def seconds(process: psutil.Process) -> float:
    """Return what a process, its living children and those that it has waited for have used, in seconds."""
    while True:
        try:
            return sum(sum(member.cpu_times()[:4]) for member in [process, *process.children(recursive=True)])
        except psutil.NoSuchProcess:
            continue  # one ended meanwhile; its time is its parent's now


def summary(rounds: Sequence[Round]) -> dict[str, Any]:
    """Return the median of each variant, and the ratio of the last to the first in each round."""
    names = [variant.name for variant in variants()]
    by_name = {name: [each for each in rounds if each.variant == name] for name in names}
    pairs = zip(by_name[names[0]], by_name[names[-1]], strict=True)
    return {
        "milliseconds": {name: statistics.median(each.total for each in own) for name, own in by_name.items()},
        "ratios": [stock.total / ours.total for stock, ours in pairs],
    }


def line(name: str, rounds: Sequence[Round]) -> str:
    """Return one line of the table."""

    def median(attribute: str) -> float:
        return statistics.median(getattr(each, attribute) for each in rounds)

    return (
        f"{name:28}{median('daemon'):9.3f}{median('postgres'):10.3f}{median('code_server'):8.3f}{median('total'):9.3f}"
        f"{median('checks'):8.0f}{median('ticks'):7.0f}"
    )


if __name__ == "__main__":
    sys.exit(main())
