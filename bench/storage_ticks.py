"""Processor time of one sensor tick: the instance's storage as Dagster brings it against the lean one.

Everything is real and in processes of its own: Postgres, a code server with sensors that find nothing, and
`dagster-daemon run`. Both storages take turns in one run, each time on a new database, and both get the same work: no
more sensors than the slower one can look at in every loop of the daemon. A round measures what the three used while the
daemon worked, all that it does besides included, and then counts from Postgres' log the statements and the new
connections of some further ticks.

    python -m bench.storage_ticks --json storage_ticks.json
"""

import argparse
import json
import statistics
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bench.daemon import LEAN, PLAIN_SENSORS, STOCK, Server, daemon, server

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


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print a table, and write the rounds to a file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="file to write the figures to")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=30.0, help="length of a round")
    parser.add_argument("--sensors", type=int, default=50, help="each is due in every loop of the daemon, every 5 s")
    options = parser.parse_args(arguments)

    rounds: list[Round] = []
    print(HEAD)
    with server("ticks-") as postgres:
        for number in range(options.rounds):
            for storage in STORAGES:
                rounds.append(measure(postgres, storage, number, options.sensors, options.seconds))
                print(line(storage, [rounds[-1]]), flush=True)
    result = summary(rounds)
    print(table(rounds, result))
    if options.json:
        figures = {"rounds": [{**asdict(each), "total": each.total} for each in rounds], **result}
        options.json.write_text(json.dumps(figures, indent=2) + "\n")


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


def summary(rounds: Sequence[Round]) -> dict[str, Any]:
    """Return the medians of both storages, and the ratio of each pair of rounds."""
    by_storage = {name: [each for each in rounds if each.storage == name] for name in STORAGES}
    ratios = [stock.total / lean.total for stock, lean in zip(by_storage[STOCK], by_storage[LEAN], strict=True)]
    medians = {name: statistics.median(each.total for each in own) for name, own in by_storage.items()}
    return {"milliseconds": medians, "ratios": ratios, "ratio": statistics.median(ratios)}


HEAD = (
    f"{'per tick':9}{'daemon':>9}{'Postgres':>10}{'code':>7}{'CPU ms':>9}{'statements':>12}{'connects':>10}{'ticks':>7}"
)


def table(rounds: Sequence[Round], result: dict[str, Any]) -> str:
    """Return the medians as text, and what they are to be."""
    rows = [line(name, [each for each in rounds if each.storage == name]) for name in STORAGES]
    ratios = ", ".join(f"{ratio:.1f}" for ratio in result["ratios"])
    lean = [each for each in rounds if each.storage == LEAN]
    bars = (
        f"stock costs {result['ratio']:.1f} times lean (bar {LEAST_RATIO}; rounds: {ratios}); lean sends at most "
        f"{max(each.statements for each in lean):.1f} statements (bar {MOST_STATEMENTS}) and opens "
        f"{max(each.connections for each in lean):.2f} connections (bar 0)"
    )
    return "\n".join(["", "medians", HEAD, *rows, bars])


def line(name: str, rounds: Sequence[Round]) -> str:
    """Return one line of the table."""

    def median(attribute: str) -> float:
        return statistics.median(getattr(each, attribute) for each in rounds)

    return (
        f"{name:9}{median('daemon'):9.2f}{median('postgres'):10.2f}{median('code_server'):7.2f}{median('total'):9.2f}"
        f"{median('statements'):12.1f}{median('connections'):10.2f}{median('ticks'):7.0f}"
    )


if __name__ == "__main__":
    main()
