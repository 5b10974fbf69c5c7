"""Many sources: one monitor that checks them all against one plain sensor each, and what an outage does to the others.

Everything is real and in processes of its own: Postgres, a code server, `dagster-daemon run`. The sources are functions
that show three known items; the sensors return a `SkipReason` and so do less. A check is one scan of one source, or one
tick of one sensor. Processor time is that of the daemon, the code server and Postgres (Dagster's database and the
ledger) while they worked through so many checks, and includes what they do between the ticks: with a longer interval
that is spread over fewer checks. A source is due in every loop of the daemon; plain sensors are looked at as often as
the daemon gets to them.

    python -m bench.many_sources --json bench/results/many_sources.json
"""

import argparse
import math
import statistics
import sys
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psycopg
from sensor_assets.ledger import migrate

from bench.daemon import LEAN, PLAIN_SENSORS, STOCK, Daemon, Server, daemon, server
from bench.report import Bar, Report, Table

MOST_CPU_MS = 0.5
LEAST_RATIO = 200

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
    parser.add_argument("--every", type=int, default=5, help="seconds between two checks of a source")
    parser.add_argument("--hanging", type=int, default=50, help="sources that hang in the outage")
    parser.add_argument("--hang", type=float, default=20.0, help="seconds until such a source gives up by itself")
    parser.add_argument("--outage", type=float, default=180.0, help="seconds of the outage")
    parser.add_argument("--outage-every", type=int, default=10, help="seconds between two checks in the outage")
    options = parser.parse_args(arguments)

    rounds: list[Round] = []
    outage: Outage | None = None
    with server("many-") as postgres:
        bench = Bench(postgres, options)
        for number in range(options.rounds):
            for variant in VARIANTS:
                rounds.append(bench.cost(variant, number))
                print(line(variant.name, [rounds[-1]]), flush=True)
        if options.outage > 0:
            outage = bench.outage(VARIANTS[-1])
    return report(rounds, summary(rounds), outage).deliver(options.json)


VARIANTS = (
    Variant("stock sensors", PLAIN_SENSORS, STOCK),
    Variant("one monitor, stock storage", MONITOR, STOCK),
    Variant("one monitor, lean storage", MONITOR, LEAN),
)


def report(rounds: Sequence[Round], result: Mapping[str, Any], outage: Outage | None) -> Report:
    """Return what was measured as tables, and what a check may cost."""
    names = [variant.name for variant in VARIANTS]
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


@dataclass(frozen=True)
class Bench:
    """Where and how long is measured."""

    server: Server
    options: argparse.Namespace

    def cost(self, variant: Variant, number: int) -> Round:
        """Let a daemon check for some seconds; returns what a check cost."""
        name = f"round_{number}_{VARIANTS.index(variant)}"
        with self.platform(variant, name, every=self.options.every, hanging=0) as running:
            running.daemon.until(lambda: running.checks() >= 2 * self.options.sources)
            before = running.read()
            time.sleep(self.options.seconds)
            after = running.read()
        checks = after.checks - before.checks
        used = {role: 1000 * (after.processor[role] - before.processor[role]) / checks for role in after.processor}
        return Round(variant=variant.name, checks=checks, ticks=after.ticks - before.ticks, **used)

    def outage(self, variant: Variant) -> Outage:
        """Let some sources hang, and count the scans of all."""
        every, hanging = self.options.outage_every, self.options.hanging
        with self.platform(variant, "outage", every=every, hanging=hanging) as running:
            running.daemon.until(lambda: running.checks() >= self.options.sources)
            before, began = running.scans(), time.monotonic()
            time.sleep(self.options.outage)
            after, seconds = running.scans(), time.monotonic() - began
        scans = [after[name] - before[name] for name in sorted(after)]
        return Outage(
            seconds=seconds,
            expected=seconds / every,
            healthy=scans[hanging:],
            hanging=scans[:hanging],
        )

    @contextmanager
    def platform(self, variant: Variant, name: str, *, every: int, hanging: int) -> Generator["Platform"]:
        """Start a code server and a daemon, with an empty ledger."""
        options, ledger = self.options, f"ledger_{name}"
        text = variant.location.format(sources=options.sources, sensors=options.sources, every=every, hang=options.hang)
        self.server.execute(f"create database {ledger}")
        url = self.server.postgres.url(ledger)
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("create schema bench")
        migrate(url, "bench")
        environment = {
            "ENVIRONMENT": "local",
            "TEAM": "bench",
            "LOCATION": "bench",
            "LEDGER_URL": url,
            "LEDGER_SCHEMA": "bench",
            "HANGING": str(hanging),
        }
        with daemon(self.server, name, variant.storage, text, environment) as running:
            yield Platform(running, url, ticks_are_checks=variant.location is PLAIN_SENSORS)


@dataclass(frozen=True)
class Reading:
    """Counters that only grow."""

    processor: Mapping[str, float]
    checks: int
    ticks: int


@dataclass(frozen=True)
class Platform:
    """A daemon at work and the ledger of its sources."""

    daemon: Daemon
    ledger_url: str
    ticks_are_checks: bool

    def read(self) -> Reading:
        """Read every counter."""
        checks, ticks = self.checks(), self.daemon.ticks()
        return Reading(self.daemon.processor_seconds(), checks, ticks)

    def checks(self) -> int:
        """Return the number of checks until now."""
        return self.daemon.ticks() if self.ticks_are_checks else sum(self.scans().values())

    def scans(self) -> dict[str, int]:
        """Return how often each source was scanned."""
        with psycopg.connect(self.ledger_url, options="-c search_path=bench") as connection:
            return dict(connection.execute("select name, scans from source").fetchall())


def summary(rounds: Sequence[Round]) -> dict[str, Any]:
    """Return the median of each variant, and the ratio of the last to the first in each round."""
    names = [variant.name for variant in VARIANTS]
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
