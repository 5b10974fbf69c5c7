"""What the charts cost with many teams: rendering them, with the closed schema's check, as every upgrade does.

    python -m bench.charts [ROUNDS] --json bench/results/charts.json

Rendered is in the process, by the library that the tests use, and by the program `helm` where there is one on the PATH
or HELM names one; a program starts, reads the values and prints the objects. Nothing talks to a cluster.
"""

import argparse
import os
import shutil
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from bench.report import Bar, Report, Table
from tests.helm import releases
from tests.helm.rendering import Rendered, Values, by_program, in_process

TEAMS, LOCATIONS = 100, 5
ROUNDS = 20
MOST_SECONDS = 1.0
SIZES = ((1, 1), (10, 5), (TEAMS, LOCATIONS))
Rendering = Callable[..., Rendered]


def seconds(render: Callable[[], Rendered], rounds: int) -> float:
    """Return the median time of a rendering; one before them all reads the chart."""
    render()
    times: list[float] = []
    for _ in range(rounds):
        began = time.perf_counter()
        render()
        times.append(time.perf_counter() - began)
    return statistics.median(times)


def row(engine: str, render: Rendering, teams: int, locations: int, rounds: int) -> list[str | int | float]:
    """Return what one size takes: seconds for the control plane and for one location, and the number of objects."""
    values = releases.many(teams, locations)
    team, name = releases.locations(values)[-1]
    of_one: Values = {**values, "location": f"{team}-{name}"}
    platform = render("platform", values, name="platform", namespace="dagster")
    return [
        engine,
        teams,
        teams * locations,
        seconds(lambda: render("platform", values, name="platform", namespace="dagster"), rounds),
        seconds(lambda: render("code-location", of_one, name=f"{team}-{name}", namespace=team), rounds),
        len(platform.objects),
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, and write the figures to a file; 1 when it takes too long."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="file to write the figures to")
    parser.add_argument("rounds", nargs="?", type=int, default=ROUNDS, help="number of rounds")
    options = parser.parse_args(arguments)
    return measure(options.rounds).deliver(options.json)


def measure(rounds: int) -> Report:
    """Return what was measured."""
    engines: dict[str, Rendering] = {"library": in_process}
    if program := os.environ.get("HELM") or shutil.which("helm"):
        engines["helm"] = lambda chart, values, **release: by_program(program, chart, values, **release)
    rows = [row(engine, render, *size, rounds) for engine, render in engines.items() for size in SIZES]
    table = Table(
        title=f"Rendering, medians of {rounds} rounds",
        columns=["by", "teams", "locations", "control plane s", "one location s", "objects of the control plane"],
        rows=rows,
        note="With what it takes Python to read the objects.",
    )
    largest = [each for each in rows if each[1] == TEAMS]
    bars = [
        Bar(
            what=f"{TEAMS} teams of {LOCATIONS} locations by {by}: {what}",
            measured=float(took),
            unit="s",
            most=MOST_SECONDS,
        )
        for by, _, _, plane, location, _ in largest
        for what, took in (("the control plane", plane), ("a location", location))
    ]
    return Report(tables=[table], bars=bars)


if __name__ == "__main__":
    raise SystemExit(main())
