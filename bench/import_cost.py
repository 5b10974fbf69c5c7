"""What `import sensor_assets` adds to `import dagster`: processor time and memory of fresh processes.

    python -m bench.import_cost [PAIRS] --json bench/results/import_cost.json

Each round starts one process for each variant, in an order that turns, so that whatever else the machine does meets all
of them. Time is processor time (user and system) as the kernel accounts it; memory is the peak of resident memory.

CPython's garbage collector walks through all objects whenever enough new ones have been made, and `import dagster` ends
just before such a walk: whatever is imported next, were it a few dozen modules of anybody's, sets it off and seems to
cost 0.05 s more. A process that goes on to load a location pays for that walk in any case. So the time is measured
with the collector as it comes and with it off, and what the library may add is held against the latter.
"""

import argparse
import os
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.report import Bar, Report, Table

BASE = "dagster"
VARIANTS: Mapping[str, str] = {
    BASE: "import dagster",
    "sensor_assets": "import dagster, sensor_assets",
    "dagster_aws.s3": "import dagster, dagster_aws.s3",
    "what a location with files imports": (
        "import dagster\n"
        "from sensor_assets import Batch, Batching, Lake, ObjectSource, Settings, sensor_asset, with_sources"
    ),
    "everything": "import dagster\nfrom sensor_assets import *",
}
NO_COLLECTOR = "import gc\ngc.disable()\n"
PAIRS = 20
MOST_ADDED = 10
"""Percent that the library may add; `libs/sensor_assets/tests/test_light.py` holds it by what can be counted."""


@dataclass(frozen=True)
class Cost:
    """Of a process: seconds of processor time, with the collector as it comes and without it; bytes of memory."""

    seconds: float
    seconds_uncollected: float
    bytes: int


def cost_of(program: str) -> Cost:
    """Run a program in two fresh interpreters, one without garbage collector, and return what it cost."""
    seconds, peak = _run(program)
    uncollected, _ = _run(NO_COLLECTOR + program)
    return Cost(seconds, uncollected, peak)


def _run(program: str) -> tuple[float, int]:
    """Run a program in a fresh interpreter; returns its processor time and its peak of resident memory."""
    process = subprocess.Popen([sys.executable, "-c", program])
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"exit code {process.returncode} of: {program}")
    unit = 1 if sys.platform == "darwin" else 1024  # getrusage(2): kilobytes, on macOS bytes
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss * unit


def measure(pairs: int = PAIRS) -> dict[str, dict[str, float]]:
    """Return for each variant its median cost, and what it adds to the base as a ratio (median of the rounds)."""
    names = list(VARIANTS)
    for program in VARIANTS.values():
        cost_of(program)  # bytecode and file cache
    rounds: list[Mapping[str, Cost]] = []
    for number in range(pairs):
        turn = number % len(names)
        order = [*names[turn:], *names[:turn]]
        rounds.append({name: cost_of(VARIANTS[name]) for name in order})
    return {name: _summary(name, rounds) for name in names}


def _summary(name: str, rounds: Sequence[Mapping[str, Cost]]) -> dict[str, float]:
    return {
        "seconds": statistics.median(each[name].seconds for each in rounds),
        "mebibytes": statistics.median(each[name].bytes for each in rounds) / 2**20,
        "seconds_uncollected": statistics.median(each[name].seconds_uncollected for each in rounds),
        "added_time": statistics.median(each[name].seconds / each[BASE].seconds - 1 for each in rounds),
        "added_time_uncollected": statistics.median(
            each[name].seconds_uncollected / each[BASE].seconds_uncollected - 1 for each in rounds
        ),
        "added_memory": statistics.median(each[name].bytes / each[BASE].bytes - 1 for each in rounds),
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, and write the figures to a file; 1 when the library adds more than it may."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="file to write the figures to")
    parser.add_argument("pairs", nargs="?", type=int, default=PAIRS, help="number of rounds")
    options = parser.parse_args(arguments)
    return report(measure(options.pairs), options.pairs).deliver(options.json)


def report(found: Mapping[str, Mapping[str, float]], pairs: int) -> Report:
    """Return what was measured as a table, and what the library may add."""
    table = Table(
        title=f"Import in a fresh process, medians of {pairs} rounds",
        columns=["import", "CPU s", "% added", "uncollected s", "% added ", "peak MiB", "% added  "],
        rows=[
            [
                name,
                own["seconds"],
                100 * own["added_time"],
                own["seconds_uncollected"],
                100 * own["added_time_uncollected"],
                own["mebibytes"],
                100 * own["added_memory"],
            ]
            for name, own in found.items()
        ],
    )
    ours = found["sensor_assets"]
    bars = [
        Bar(
            what=f"`import sensor_assets` adds to the {what} of `import dagster`",
            measured=100 * ours[added],
            unit="%",
            most=MOST_ADDED,
        )
        for what, added in (("time", "added_time_uncollected"), ("memory", "added_memory"))
    ]
    return Report(tables=[table], bars=bars, figures={"import_cost": found, "pairs": pairs})


if __name__ == "__main__":
    sys.exit(main())
