"""A million objects in a bucket: an idle tick and a complete sweep, beside listing them as plain sensors do.

Everything is over the wire in S3's protocol and in processes of their own: a server that answers ListObjectsV2 in the
form of AWS (or versitygw over real files, with `--server versitygw`), Postgres with its default durability, and a
fresh process for each figure. The objects are dated, a thousand a day. Figures are processor time of the process that
lists; memory is the peak while it works, above the same process before.

    python -m bench.object_listing [--json object_listing.json]
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import psutil
import psycopg
from sensor_assets.ledger import migrate
from tenancy.local.postgres import Postgres

from bench.object_client import TICKS
from bench.object_server import served
from bench.report import Bar, Report, Table

# Ways of plain sensors.
PLAIN = ("paginator", "get_objects")
TITLES = {
    "sweep, S3": "complete sweep, S3's own protocol",
    "sweep, obstore": "complete sweep, as any store through obstore",
    "first sight, S3": "first sight, S3's own protocol",
    "first sight, obstore": "first sight, as any store through obstore",
    "paginator": "boto3's paginator, keys and ETags kept",
    "get_objects": "dagster-aws's get_objects",
}

# Microseconds that an unchanged object may take in a sweep, by way of listing; and memory in all cases.
SWEEP_BARS = {"S3": 1.0, "obstore": 4.0}
MEBIBYTES = 16.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, and write the figures to a file; 1 when a bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="file to write the figures to")
    parser.add_argument("--keys", type=int, default=1_000_000)
    parser.add_argument("--some", type=int, default=50_000, help="keys that plain sensors list; their figures scale")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--server", choices=("own", "versitygw"), default="own")
    options = parser.parse_args(arguments)

    with postgres() as database, served([options.keys, options.some], options.server) as environment:
        # Within, because to delete the files of a million objects takes minutes.
        return Bench(database, environment, options).run().deliver(options.json)


class Bench:
    """Starts processes that list, and reads what that took."""

    def __init__(self, database: Postgres, environment: dict[str, str], options: argparse.Namespace) -> None:
        self._url = database.url()
        self._server = psutil.Process(database.pid)
        self._environment = {**os.environ, **environment}
        self._options = options
        with psycopg.connect(self._url, autocommit=True) as connection:
            for schema in SWEEP_BARS:
                connection.execute(f"create schema {schema.lower()}".encode())
        for schema in SWEEP_BARS:
            migrate(self._url, schema.lower())

    def run(self) -> Report:
        """Return all figures."""
        keys, some, rounds = self._options.keys, self._options.some, range(self._options.rounds)
        found: dict[str, list[dict[str, Any]]] = {}
        for way in SWEEP_BARS:
            found[f"first sight, {way}"] = [self._do("first sight", way, keys)]
        for number in rounds:
            print(f"round {number + 1}", file=sys.stderr, flush=True)
            found.setdefault("idle", []).append(self._do("idle", "S3", keys))
            for way in SWEEP_BARS:
                found.setdefault(f"sweep, {way}", []).append(self._do("sweep", way, keys))
            for name in PLAIN:
                found.setdefault(name, []).append(self._do(name, "S3", some))
        return report(found, keys=keys, some=some)

    def _do(self, task: str, way: str, keys: int) -> dict[str, Any]:
        named = f"{task} through {way}"
        arguments = [named, f"objects-{keys}", self._url, way.lower()]
        before = self._postgres_seconds()
        done = subprocess.run(
            [sys.executable, "-c", "from bench.object_client import main; main()", *arguments],
            env=self._environment,
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        return {**json.loads(done.stdout), "postgres": self._postgres_seconds() - before}

    def _postgres_seconds(self) -> float:
        family = [self._server, *self._server.children(recursive=True)]
        return sum(sum(member.cpu_times()[:4]) for member in family if member.is_running())


def report(found: dict[str, list[dict[str, Any]]], *, keys: int, some: int) -> Report:
    """Return the median of each figure, by tick or by key, and what they should be at most."""

    def middle(name: str, figure: str, number: float = 1) -> float:
        return median(each[figure] for each in found[name]) / number

    def calls(name: str) -> int:
        return round(middle(name, "calls"))

    idle = [
        max(each["calls"] for each in found["idle"]),
        1e3 * middle("idle", "seconds"),
        1e3 * middle("idle", "first"),
        1e3 * middle("idle", "postgres", TICKS),
        middle("idle", "bytes", 2**20),
    ]
    tick = Table(
        title=f"Idle tick over {keys:,} objects",
        columns=["LIST calls", "milliseconds", "the first of a process", "Postgres", "memory, MiB"],
        rows=[idle],
        note="A window of the open dates and a slice of the sweep.",
    )
    rows: list[list[str | int | float]] = []
    for name, title in TITLES.items():
        number = some if name in PLAIN else keys
        client, server = (1e6 * middle(name, figure, number) for figure in ("seconds", "postgres"))
        rows.append(
            [title, number, calls(name), client, 0.0 if name in PLAIN else server, middle(name, "bytes", 2**20)]
        )
    listings = Table(
        title="Listing everything",
        columns=["way", "objects", "LIST calls", "microseconds an object", "Postgres", "memory, MiB"],
        rows=rows,
        note="Plain sensors list fewer objects here: their time for each stays as it is, their memory grows with them.",
    )
    first = middle("first sight, S3", "seconds") + middle("first sight, S3", "postgres")
    sweeps = [
        bar
        for way, most in SWEEP_BARS.items()
        for bar in (
            Bar(
                what=f"complete sweep through {way}, an object",
                measured=1e6 * middle(f"sweep, {way}", "seconds", keys),
                unit="us",
                most=most,
            ),
            Bar(
                what=f"complete sweep through {way}, memory",
                measured=middle(f"sweep, {way}", "bytes", 2**20),
                unit="MiB",
                most=MEBIBYTES,
            ),
        )
    ]
    bars = [
        Bar(what="idle tick, LIST calls", measured=idle[0], most=25),
        Bar(what="idle tick, processor time", measured=idle[1], unit="ms", most=50),
        Bar(what="idle tick, memory", measured=idle[4], unit="MiB", most=MEBIBYTES),
        *sweeps,
        Bar(what=f"first sight of {keys:,} objects, listing and Postgres included", measured=first, unit="s", most=10),
    ]
    return Report(tables=[tick, listings], bars=bars, figures={"rounds": found})


@contextmanager
def postgres() -> Generator[Postgres]:
    """Start a Postgres with its default durability."""
    home = Path(tempfile.mkdtemp(prefix="listing-"))
    home.chmod(0o755)
    try:
        with Postgres(home / "data", home / "socket", settings={"shared_buffers": "256MB"}) as server:
            yield server
    finally:
        shutil.rmtree(home, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
