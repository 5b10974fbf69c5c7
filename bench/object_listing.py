"""A million objects in a bucket: an idle tick and a complete sweep, beside listing them as plain sensors do.

Everything is over the wire in S3's protocol and in processes of their own: a server that answers ListObjectsV2 in the
form of AWS (or versitygw over real files, with `--server versitygw`), Postgres with its default durability, and a
fresh process for each figure. The objects are dated, a thousand a day. Figures are processor time of the process that
lists; memory is the peak while it works, above the same process before.

    python -m bench.object_listing --json bench/results/object_listing.json
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any

import httpx
import psutil
import psycopg
from sensor_assets.ledger import migrate
from tenancy.local.postgres import Postgres

from bench.object_client import TICKS
from bench.object_server import etag, keys_of
from bench.report import Bar, Report, Table

# Ways of plain sensors, and the packages that they need.
PLAIN = {"paginator": "boto3", "get_objects": "dagster_aws"}

KEY, SECRET = "bench", "bench-secret"
PORT = 7979

# What an idle tick may take: LIST calls, milliseconds, MiB; and a sweep, microseconds a key by way of listing, and MiB.
TICK_BARS = {"calls": 25, "milliseconds": 50.0, "mebibytes": 16.0}
SWEEP_BARS = {"S3": 1.0, "obstore": 4.0}
SWEEP_MEBIBYTES = 16.0
TICK_PARTS = ("", "first_", "postgres_")


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, and write the figures to a file; 1 when a bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="file to write the figures to")
    parser.add_argument("--keys", type=int, default=1_000_000)
    parser.add_argument("--some", type=int, default=50_000, help="keys that plain sensors list; their figures scale")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--server", choices=("own", "versitygw"), default="own")
    options = parser.parse_args(arguments)

    with postgres() as database, server(options) as environment:
        bench = Bench(database, environment, options)
        result = bench.run()
    return report(result).deliver(options.json)


def report(result: dict[str, Any]) -> Report:
    """Return the figures as tables, and what a tick and a sweep may take."""
    idle, listings, number = result["idle"], result["listings"], f"{result['keys']:,} objects"
    tick = Table(
        title=f"Idle tick, {number}",
        columns=["LIST calls at most", "CPU ms", "of the first in a process", "Postgres ms", "memory MiB"],
        rows=[[idle[name] for name in ("calls", *(f"{part}milliseconds" for part in TICK_PARTS), "mebibytes")]],
    )
    listing = Table(
        title="Listing everything",
        columns=["listing of", "keys", "LIST calls", "CPU us a key", "Postgres us a key", "memory MiB"],
        rows=[
            [name, *(found[part] for part in ("keys", "calls", "microseconds", "postgres_microseconds", "mebibytes"))]
            for name, found in listings.items()
        ],
        note="Plain sensors list fewer keys: time a key is the same for more of them, memory grows with them.",
    )
    units = {"calls": "LIST calls", "milliseconds": "ms of processor time", "mebibytes": "MiB"}
    bars = [
        Bar(what=f"idle tick, {number}", measured=idle[name], unit=units[name], most=bar)
        for name, bar in TICK_BARS.items()
    ]
    for way, most in SWEEP_BARS.items():
        what, sweep = f"complete sweep of {number}, {way}", listings[f"sweep, {way}"]
        bars += [
            Bar(what=what, measured=sweep["microseconds"], unit="us a key", most=most),
            Bar(what=what, measured=sweep["mebibytes"], unit="MiB", most=SWEEP_MEBIBYTES),
        ]
    return Report(tables=[tick, listing], bars=bars, figures=result)


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

    def run(self) -> dict[str, Any]:
        """Return all figures."""
        keys, some, rounds = self._options.keys, self._options.some, range(self._options.rounds)
        plain = [name for name, package in PLAIN.items() if find_spec(package)]
        found: dict[str, list[dict[str, Any]]] = {}
        for way in SWEEP_BARS:
            found[f"first sight, {way}"] = [self._do("first sight", way, keys)]
        for number in rounds:
            print(f"round {number + 1}", file=sys.stderr, flush=True)
            found.setdefault("idle", []).append(self._do("idle", "S3", keys))
            for way in SWEEP_BARS:
                found.setdefault(f"sweep, {way}", []).append(self._do("sweep", way, keys))
            for name in plain:
                found.setdefault(name, []).append(self._do(name, "S3", some))
        return summary(found, keys=keys, some=some)

    def _do(self, task: str, way: str, keys: int) -> dict[str, Any]:
        named = f"{task} through {way}"
        arguments = [named, f"objects-{keys}", self._url, way.lower()]
        before = self._postgres_seconds()
        done = subprocess.run(
            [sys.executable, "-m", "bench.object_client", *arguments],
            env=self._environment,
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        return {**json.loads(done.stdout), "postgres": self._postgres_seconds() - before}

    def _postgres_seconds(self) -> float:
        family = [self._server, *self._server.children(recursive=True)]
        return sum(sum(member.cpu_times()[:4]) for member in family if member.is_running())


def summary(found: dict[str, list[dict[str, Any]]], *, keys: int, some: int) -> dict[str, Any]:
    """Return the median of each figure, by key or by tick."""

    def middle(name: str, figure: str) -> float:
        return median(each[figure] for each in found[name])

    idle = {
        "calls": max(each["calls"] for each in found["idle"]),
        "milliseconds": 1e3 * middle("idle", "seconds"),
        "first_milliseconds": 1e3 * middle("idle", "first"),
        "postgres_milliseconds": 1e3 * middle("idle", "postgres") / TICKS,
        "mebibytes": middle("idle", "bytes") / 2**20,
    }
    numbers = {name: some if name in PLAIN else keys for name in found if name != "idle"}
    listings = {
        name: {
            "keys": number,
            "calls": middle(name, "calls"),
            "microseconds": 1e6 * middle(name, "seconds") / number,
            "postgres_microseconds": 1e6 * middle(name, "postgres") / number,
            "mebibytes": middle(name, "bytes") / 2**20,
        }
        for name, number in numbers.items()
    }
    return {"keys": keys, "idle": idle, "listings": listings, "rounds": found}


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


@contextmanager
def server(options: argparse.Namespace) -> Generator[dict[str, str]]:
    """Start the server, and yield the environment in which it is found."""
    newest = datetime.now(UTC).date()
    if options.server == "versitygw":
        with versitygw([options.keys, options.some], newest) as url:
            yield environment(url)
        return
    command = [sys.executable, "-m", "bench.object_server", newest.isoformat()]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield environment(process.stdout.readline().strip() if process.stdout else "")
        finally:
            process.terminate()


@contextmanager
def versitygw(numbers: Sequence[int], newest: date) -> Generator[str]:
    """Write buckets of real files and serve them with versitygw, which checks signatures."""
    home = Path(tempfile.mkdtemp(prefix="buckets-"))
    try:
        for number in numbers:
            for key in keys_of(number, newest):
                file = home / f"objects-{number}" / key
                if not file.parent.exists():
                    file.parent.mkdir(parents=True)
                file.write_bytes(b"1")
                os.setxattr(file, "user.etag", etag(key).encode())
        url = f"http://127.0.0.1:{PORT}"
        keys = {"ROOT_ACCESS_KEY": KEY, "ROOT_SECRET_KEY": SECRET}
        command = ["versitygw", "--port", f"127.0.0.1:{PORT}", "--keep-alive", "-q", "posix", str(home)]
        with subprocess.Popen(command, env={**os.environ, **keys}, stdout=subprocess.DEVNULL) as process:
            try:
                until_it_answers(url)
                yield url
            finally:
                process.terminate()
    finally:
        shutil.rmtree(home, ignore_errors=True)


def until_it_answers(url: str) -> None:
    """Wait for a server."""
    for _ in range(300):
        try:
            httpx.get(url)
        except httpx.TransportError:
            time.sleep(0.1)
        else:
            return
    raise TimeoutError(url)


def environment(url: str) -> dict[str, str]:
    """Return the variables that name the server and the keys to it."""
    return {
        "AWS_ENDPOINT_URL": url,
        "AWS_ALLOW_HTTP": "true",
        "AWS_ACCESS_KEY_ID": KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
    }


if __name__ == "__main__":
    sys.exit(main())
