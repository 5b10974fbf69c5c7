"""Many sources: one monitor that checks them all against one plain sensor each.

Everything is real and in processes of its own: Postgres, a code server, `dagster-daemon run`. The sources are functions
that show three known items; the sensors return a `SkipReason` and so do less. A check is one scan of one source, or one
tick of one sensor. Processor time is that of the daemon, the code server and Postgres (Dagster's database and the
ledger) while they worked through so many checks. It includes what they do besides (poll the queue, load the workspace
anew each minute), which is spread over the fewer checks the longer the interval is; the net figure is less that: less
what the same processes used for the same definitions while nothing was due. A source is due in every loop of the
daemon; plain sensors are looked at as often as the daemon gets to them.

    python -m bench.many_sources --json bench/results/many_sources.json
"""

import argparse
import statistics
import sys
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psycopg

from bench.daemon import LEAN, PLAIN_SENSORS, STOCK, Daemon, Server, daemon, empty_ledger, server
from bench.report import Bar, Report, Table

NOT_DUE = 3600
"""An interval in seconds after which nothing falls due while it is measured."""
SETTLE_SECONDS = 20.0
"""What a daemon and a code server do only once, they have done by then."""
MOST_CPU_MS = 0.5
LEAST_RATIO = 200

# Items that are there at the beginning start no runs: this is about what it costs to find nothing.
MONITOR = """
import os, time
from pathlib import Path
import dagster as dg
from sensor_assets import Batch, Item, Settings, sensor_asset, source, with_sources

HANGING = int(os.environ["HANGING"])
OUTAGE = Path(os.environ["OUTAGE"])

def followed(number):
    @source(f"feed_{{number:03}}", every={every}, start_from="now")
    def feed(context):
        if number < HANGING and OUTAGE.exists():
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
    """What checking cost in one round: checks, ticks, and milliseconds of processor time for each check.

    `idle` is what the platform uses for the same definitions while nothing is due, spread over these checks.
    """

    variant: str
    checks: int
    ticks: int
    daemon: float
    postgres: float
    code_server: float
    idle: float

    @property
    def total(self) -> float:
        """Milliseconds of processor time of one check."""
        return self.daemon + self.postgres + self.code_server

    @property
    def net(self) -> float:
        """Milliseconds that one check adds to what the platform uses without it."""
        return self.total - self.idle


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, and write the figures to a file; 1 when a bar does not hold."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="file to write the figures to")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument(
        "--seconds", type=float, default=60.0, help="length of a measurement; the workspace is loaded anew every 60 s"
    )
    parser.add_argument("--sources", type=int, default=200)
    parser.add_argument("--every", type=int, default=5, help="seconds between two checks of a source")
    options = parser.parse_args(arguments)

    rounds: list[Round] = []
    with server("many-") as postgres:
        bench = Bench(postgres, options)
        for number in range(options.rounds):
            for variant in VARIANTS:
                rounds.append(bench.cost(variant, number))
                print(line(variant.name, [rounds[-1]]), flush=True)
    return report(rounds).deliver(options.json)


VARIANTS = (
    Variant("stock sensors", PLAIN_SENSORS, STOCK),
    Variant("one monitor, stock storage", MONITOR, STOCK),
    Variant("one monitor, lean storage", MONITOR, LEAN),
)


def report(rounds: Sequence[Round]) -> Report:
    """Return what was measured as a table, and what a check may cost."""
    result = summary(rounds)
    names = [variant.name for variant in VARIANTS]
    by_name = {name: [each for each in rounds if each.variant == name] for name in names}
    parts = ("daemon", "postgres", "code_server", "total", "net")

    def median(name: str, attribute: str) -> float:
        return statistics.median(getattr(each, attribute) for each in by_name[name])

    cost = Table(
        title=f"Milliseconds of processor time for a check, medians of {len(by_name[names[0]])} rounds",
        columns=["variant", "daemon", "Postgres", "code server", "all", "net", "checks", "ticks"],
        rows=[[name, *(median(name, part) for part in (*parts, "checks", "ticks"))] for name in names],
        note=f"Stock sensors cost {_times(result['ratios'])} times as much, net {_times(result['net_ratios'])} times.",
    )
    bars = [
        Bar(
            what="200 sources in one monitor: net processor time of a check",
            measured=result["net_milliseconds"][names[-1]],
            unit="ms",
            most=MOST_CPU_MS,
        ),
        Bar(
            what="200 stock sensors against it: net processor time",
            measured=statistics.median(result["net_ratios"]),
            unit="times",
            least=LEAST_RATIO,
        ),
    ]
    return Report(tables=[cost], bars=bars, figures={"rounds": [asdict(each) for each in rounds], **result})


def _times(ratios: Sequence[float]) -> str:
    return ", ".join(f"{ratio:.0f}" for ratio in ratios)


@dataclass(frozen=True)
class Reading:
    """Counters that only grow."""

    processor: Mapping[str, float]
    checks: int
    ticks: int

    def __sub__(self, before: "Reading") -> "Reading":
        processor = {role: seconds - before.processor[role] for role, seconds in self.processor.items()}
        return Reading(processor, self.checks - before.checks, self.ticks - before.ticks)


@dataclass(frozen=True)
class Platform:
    """A daemon at work and the ledger of its sources; a file `outage` lets some of them hang."""

    daemon: Daemon
    ledger_url: str
    outage: Path
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


@contextmanager
def platform(
    server: Server, variant: Variant, name: str, *, sources: int, every: int, hanging: int = 0, hang: float = 0.0
) -> Generator[Platform]:
    """Start a code server and a daemon, with an empty ledger.

    Args:
        server: the Postgres.
        variant: what checks the sources.
        name: of the databases.
        sources: number of sources.
        every: seconds between two checks of a source.
        hanging: how many of the sources hang once the outage has begun.
        hang: seconds until a source that hangs gives up by itself.
    """
    text = variant.location.format(sources=sources, sensors=sources, every=every, hang=hang)
    outage = server.home / f"{name}-outage"
    environment = {**empty_ledger(server, name), "HANGING": str(hanging), "OUTAGE": str(outage)}
    with daemon(server, name, variant.storage, text, environment) as running:
        yield Platform(running, environment["LEDGER_URL"], outage, ticks_are_checks=variant.location is PLAIN_SENSORS)


@dataclass(frozen=True)
class Bench:
    """Where and how long is measured."""

    server: Server
    options: argparse.Namespace

    def cost(self, variant: Variant, number: int) -> Round:
        """Let a daemon check for some seconds; returns what a check cost."""
        name = f"{number}_{VARIANTS.index(variant)}"
        idle = self._use(variant, f"idle_{name}", every=NOT_DUE, warm_up=self.options.sources)
        busy = self._use(variant, f"busy_{name}", every=self.options.every, warm_up=2 * self.options.sources)
        return Round(
            variant=variant.name,
            checks=busy.checks,
            ticks=busy.ticks,
            idle=1000 * sum(idle.processor.values()) / busy.checks,
            **{role: 1000 * used / busy.checks for role, used in busy.processor.items()},
        )

    def _use(self, variant: Variant, name: str, *, every: int, warm_up: int) -> Reading:
        """Let a daemon work for some seconds, after so many checks; returns what was added to its counters."""
        with platform(self.server, variant, name, sources=self.options.sources, every=every) as running:
            running.daemon.until(lambda: running.checks() >= warm_up)
            time.sleep(SETTLE_SECONDS)
            before = running.read()
            time.sleep(self.options.seconds)
            return running.read() - before


def summary(rounds: Sequence[Round]) -> dict[str, Any]:
    """Return the median of each variant, and the ratio of the last to the first in each round."""
    names = [variant.name for variant in VARIANTS]
    by_name = {name: [each for each in rounds if each.variant == name] for name in names}
    pairs = list(zip(by_name[names[0]], by_name[names[-1]], strict=True))
    return {
        "milliseconds": {name: statistics.median(each.total for each in own) for name, own in by_name.items()},
        "net_milliseconds": {name: statistics.median(each.net for each in own) for name, own in by_name.items()},
        "ratios": [stock.total / ours.total for stock, ours in pairs],
        "net_ratios": [stock.net / ours.net for stock, ours in pairs],
    }


def line(name: str, rounds: Sequence[Round]) -> str:
    """Return one line of the table."""

    def median(attribute: str) -> float:
        return statistics.median(getattr(each, attribute) for each in rounds)

    return (
        f"{name:28}{median('daemon'):9.3f}{median('postgres'):10.3f}{median('code_server'):8.3f}{median('total'):9.3f}"
        f"{median('net'):9.3f}{median('checks'):8.0f}{median('ticks'):7.0f}"
    )


if __name__ == "__main__":
    sys.exit(main())
