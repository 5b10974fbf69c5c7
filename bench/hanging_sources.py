"""Sources that hang: whether the others of the same monitor keep their interval.

Everything is real and in processes of its own: Postgres, a code server, `dagster-daemon run`. Of 200 sources in one
monitor, 50 begin to hang in every call; no call has a timeout of its own, so the library has to give up on each. Scans
are counted in the ledger, from the beginning of the outage, when all sources are in their stride.

    python -m bench.hanging_sources --json bench/results/hanging_sources.json
"""

import argparse
import math
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from bench.daemon import server
from bench.many_sources import VARIANTS, platform
from bench.report import Bar, Report, Table

IN_STRIDE = 3
"""Scans of a source until it is scanned at its own moment in each interval."""
EDGES = 1
"""Scans that the window's two edges may cut off: a source is due at its own moment within the interval."""


@dataclass(frozen=True)
class Outage:
    """Scans of each source meanwhile, and how many an interval kept to the second would give."""

    seconds: float
    expected: float
    healthy: Sequence[int]
    hanging: Sequence[int]


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, and write the figures to a file; 1 when a source was scanned too rarely."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="file to write the figures to")
    parser.add_argument("--sources", type=int, default=200)
    parser.add_argument("--hanging", type=int, default=50, help="how many of them hang")
    parser.add_argument("--hang", type=float, default=20.0, help="seconds until a call that hangs gives up by itself")
    parser.add_argument("--every", type=int, default=10, help="seconds between two scans of a source")
    parser.add_argument("--seconds", type=float, default=180.0)
    options = parser.parse_args(arguments)
    return report(measure(options)).deliver(options.json)


def measure(options: argparse.Namespace) -> Outage:
    """Let some sources hang, and count the scans of all."""
    with (
        server("hanging-") as postgres,
        platform(
            postgres,
            VARIANTS[-1],
            "hanging",
            sources=options.sources,
            every=options.every,
            hanging=options.hanging,
            hang=options.hang,
        ) as running,
    ):
        running.daemon.until(lambda: running.checks() >= IN_STRIDE * options.sources)
        running.outage.touch()
        before, began = running.scans(), time.monotonic()
        time.sleep(options.seconds)
        after, seconds = running.scans(), time.monotonic() - began
    scans = [after[name] - before[name] for name in sorted(after)]
    return Outage(
        seconds=seconds,
        expected=seconds / options.every,
        healthy=scans[options.hanging :],
        hanging=scans[: options.hanging],
    )


def report(outage: Outage) -> Report:
    """Return the scans as a table, and how many there have to be."""
    groups = {"sources that answer": sorted(outage.healthy), "sources that hang": sorted(outage.hanging)}
    table = Table(
        title=f"Scans of a source in {outage.seconds:.0f} s",
        columns=["sources", "number", "least", "median", "most", "the interval gives"],
        rows=[
            [name, len(own), own[0], statistics.median(own), own[-1], outage.expected] for name, own in groups.items()
        ],
    )
    bar = Bar(
        what=f"scans of a source in {outage.seconds:.0f} s while {len(outage.hanging)} others of "
        f"{len(outage.hanging) + len(outage.healthy)} hang, the least; the window may cut one off",
        measured=min(outage.healthy),
        least=math.floor(outage.expected) - EDGES,
    )
    return Report(tables=[table], bars=[bar], figures={"outage": asdict(outage)})


if __name__ == "__main__":
    sys.exit(main())
