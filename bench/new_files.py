"""10,000 new files in 30 days, from their arrival until they are processed: runs, and what they cost the platform.

Everything is real and in processes of its own: Postgres with its default durability, a code server, the daemon with a
queue of runs, a process for each run. A day passes in 10 s, in which 333 files appear in its folder one after the
other; each day is a partition. The sensor asset lets arrivals wait for each other for a day (`max_wait`), and is done
when every file is. The sensor that it is compared with lists the folder after its cursor and requests one run for each
new file; it gets fewer files, all at once, and is done when all of their runs are.

Costs are processor time until then, for each file, beyond what the same processes use while there are no files: a
daemon whose sensors find nothing costs the same in both cases, and in 30 real days much more than the files. "Code
server, runs" has the processes of the runs, which execute in process.

    python -m bench.new_files --json bench/results/new_files.json
"""

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from pathlib import Path

from bench.daemon import LEAN, STOCK, Server, server
from bench.file_platform import ROLES, Cost, Platform, file_platform
from bench.report import Bar, Report, Table

LOCATIONS = Path(__file__).with_name("locations")
FIRST_DAY = date(2013, 1, 1)
PARTS_OF_A_DAY = 10
MOST_RUNS = 40
LEAST_RATIO = 100


@dataclass(frozen=True)
class Pair:
    """What both cost on one storage."""

    storage: str
    plain: Cost
    ours: Cost

    def ratio(self, *roles: str) -> float:
        """Return how many times as much processor time of some roles a run for each file takes, for each file."""
        return self.plain.milliseconds(*roles) / self.ours.milliseconds(*roles)

    def least_ratio(self, *roles: str) -> float:
        """Return the same with all that was used while the sensor asset worked, as it is without files as well."""
        return self.plain.milliseconds(*roles) / self.ours.with_idle(*roles)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, and write the figures to a file; 1 when a bar does not hold."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="file to write the figures to")
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--days", type=int, default=30)
    parser.add_argument("--day", type=float, default=10.0, help="seconds in which a day passes")
    parser.add_argument("--plain-files", type=int, default=200, help="files with a run for each")
    options = parser.parse_args(arguments)

    pairs: list[Pair] = []
    with server("files-") as postgres:
        for storage in (STOCK, LEAN):
            plain = run_for_each(postgres, storage, options.plain_files)
            print(plain, flush=True)
            ours = batches(postgres, storage, options.files, options.days, options.day)
            print(ours, flush=True)
            pairs.append(Pair(storage, plain, ours))
    return report(pairs, options.days).deliver(options.json)


def run_for_each(server: Server, storage: str, files: int) -> Cost:
    """Let a sensor request a run for each of some files that appear at once."""
    with file_platform(server, f"plain_{storage}", storage, LOCATIONS / "run_for_each_file.py", 0.0) as platform:
        return platform.cost(
            f"a run for each file, {storage} storage",
            files,
            appear=lambda: platform.appear(keys(files, days=1)),
            done=lambda: platform.runs("SUCCESS"),
        )


def batches(server: Server, storage: str, files: int, days: int, day_seconds: float) -> Cost:
    """Let a sensor asset process the files of some days as they appear."""
    with file_platform(server, f"ours_{storage}", storage, LOCATIONS / "batches_of_files.py", day_seconds) as platform:
        return platform.cost(
            f"sensor asset, {storage} storage",
            files,
            appear=lambda: pass_days(platform, keys(files, days), days, day_seconds),
            done=platform.done,
        )


def keys(files: int, days: int) -> list[str]:
    """Return the keys of files, spread evenly over days."""
    return [
        f"{(FIRST_DAY + timedelta(days=number * days // files)).isoformat()}/{number:06}.csv" for number in range(files)
    ]


def pass_days(platform: Platform, names: Sequence[str], days: int, day_seconds: float) -> None:
    """Let files appear little by little."""
    began, parts = time.monotonic(), days * PARTS_OF_A_DAY
    for part in range(parts):
        platform.appear(names[len(names) * part // parts : len(names) * (part + 1) // parts])
        time.sleep(max(0.0, began + (part + 1) * day_seconds / PARTS_OF_A_DAY - time.monotonic()))


def report(pairs: Sequence[Pair], days: int) -> Report:
    """Return the costs as tables, and how much less the sensor asset is to cost."""
    costs = [cost for pair in pairs for cost in (pair.plain, pair.ours)]
    return Report(
        tables=[
            Table(
                title="Milliseconds of processor time for each file",
                columns=["variant", "files", "runs", "ticks", "seconds", "daemon", "Postgres", "code server, runs"],
                rows=[
                    [own.variant, own.files, own.runs, own.ticks, own.seconds, *map(own.milliseconds, ROLES)]
                    for own in costs
                ],
            ),
            Table(
                title="A run for each file takes so many times as much, for each file",
                columns=["storage", "of the daemon", "of daemon and Postgres", "of all three"],
                rows=[
                    [pair.storage, pair.ratio("daemon"), pair.ratio("daemon", "postgres"), pair.ratio(*ROLES)]
                    for pair in pairs
                ],
                note="Of the daemon, with what it uses without files counted for the sensor asset alone: "
                + ", ".join(f"{pair.least_ratio('daemon'):.0f} times ({pair.storage})" for pair in pairs)
                + ".",
            ),
        ],
        bars=[
            Bar(
                what=f"{pairs[0].ours.files:,} new files in {days} days to done: runs",
                measured=max(pair.ours.runs for pair in pairs),
                most=MOST_RUNS,
            ),
            Bar(
                what="the same: processor time of the daemon, one run for each file against it",
                measured=min(pair.ratio("daemon") for pair in pairs),
                unit="times",
                least=LEAST_RATIO,
            ),
        ],
        figures={"costs": [asdict(cost) for cost in costs]},
    )


if __name__ == "__main__":
    sys.exit(main())
