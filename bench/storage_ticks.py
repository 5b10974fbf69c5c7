"""Processor time of one sensor tick: the instance's storage as Dagster brings it against the lean one.

Everything is real and in processes of its own: Postgres, a code server with sensors that find nothing, and
`dagster-daemon run`. Both storages take turns in one run, each time on a new database, and both get the same work: no
more sensors than the slower one can look at in every loop of the daemon. A round measures what the three used while the
daemon worked, all that it does besides included, and then counts from Postgres' log the statements and the new
connections of some further ticks.

    python -m bench.storage_ticks --json bench/results/storage_ticks.json
"""

import argparse
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from bench.daemon import LEAN, PLAIN_SENSORS, STOCK, Server, daemon, server
from bench.report import Bar, Report, Table

STORAGES = (STOCK, LEAN)
LEAST_RATIO = 12
MOST_STATEMENTS = 7
COUNTED_SECONDS = 10.0


@dataclass(frozen=True)
class Round:
    """What one storage cost in one round; milliseconds of processor time and counts, each per tick."""

    storage: str
    ticks: int
    daemon: float
    postgres: float
    code_server: float
    statements: float
    connections: float

    @property
    def total(self) -> float:
        """Milliseconds of processor time of one tick."""
        return self.daemon + self.postgres + self.code_server


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print a table, and write the rounds to a file; 1 when a bar does not hold."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="file to write the figures to")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=30.0, help="length of a round")
    parser.add_argument("--sensors", type=int, default=50, help="each is due in every loop of the daemon, every 5 s")
    options = parser.parse_args(arguments)

    rounds: list[Round] = []
    with server("ticks-") as postgres:
        for number in range(options.rounds):
            for storage in STORAGES:
                rounds.append(measure(postgres, storage, number, options.sensors, options.seconds))
                print(line(rounds[-1]), flush=True)
    return report(rounds).deliver(options.json)


def report(rounds: Sequence[Round]) -> Report:
    """Return the medians as a table, and what a tick may cost."""
    parts = ("daemon", "postgres", "code_server", "total", "statements", "connections", "ticks")
    by_storage = {name: [each for each in rounds if each.storage == name] for name in STORAGES}
    ratios = [stock.total / lean.total for stock, lean in zip(by_storage[STOCK], by_storage[LEAN], strict=True)]
    table = Table(
        title=f"Milliseconds of processor time for a tick, medians of {len(ratios)} rounds",
        columns=["storage", "daemon", "Postgres", "code server", "all", "statements", "connections", "ticks"],
        rows=[
            [name, *(statistics.median(getattr(each, part) for each in own) for part in parts)]
            for name, own in by_storage.items()
        ],
        note="Stock costs " + ", ".join(f"{ratio:.1f}" for ratio in ratios) + " times as much.",
    )
    bars = [
        Bar(
            what="processor time of one tick, stock against lean",
            measured=statistics.median(ratios),
            unit="times",
            least=LEAST_RATIO,
        ),
        Bar(
            what="statements of one tick on the lean storage, the daemon's other loops included, the most",
            measured=max(each.statements for each in by_storage[LEAN]),
            most=MOST_STATEMENTS,
        ),
        Bar(
            what="new connections of one tick on the lean storage, the most",
            measured=max(each.connections for each in by_storage[LEAN]),
            most=0,
        ),
    ]
    figures = {"rounds": [{**asdict(each), "total": each.total} for each in rounds], "ratios": ratios}
    return Report(tables=[table], bars=bars, figures=figures)


def measure(postgres: Server, storage: str, number: int, sensors: int, seconds: float) -> Round:
    """Let a daemon tick for some seconds over one storage."""
    name = f"{storage}_{number}"
    with daemon(postgres, name, storage, PLAIN_SENSORS.format(sensors=sensors, every=1)) as running:
        running.until(lambda: running.ticks() >= 2 * sensors)
        first, before = running.ticks(), running.processor_seconds()
        time.sleep(seconds)
        last, after = running.ticks(), running.processor_seconds()
        with postgres.logging(name) as logged:
            time.sleep(COUNTED_SECONDS)
            counted = running.ticks() - last
    ticks = last - first
    return Round(
        storage=storage,
        ticks=ticks,
        statements=logged.statements / counted,
        connections=logged.connections / counted,
        **{role: 1000 * (after[role] - before[role]) / ticks for role in after},
    )


def line(found: Round) -> str:
    """Return one line of progress."""
    return (
        f"{found.storage:6} {found.total:6.1f} ms a tick, {found.statements:.1f} statements, "
        f"{found.connections:.2f} connections, {found.ticks} ticks"
    )


if __name__ == "__main__":
    sys.exit(main())
