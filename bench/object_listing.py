"""A million objects in a bucket: an idle tick and a complete sweep, beside listing them as plain sensors do.

Everything is over the wire in S3's protocol and in processes of their own: a server that answers ListObjectsV2 in the
form of AWS (or versitygw over real files, with `--server versitygw`), Postgres with its default durability, and a
fresh process for each figure. The objects are dated, a thousand a day. Figures are processor time of the process that
lists; memory is the peak while it works, above the same process before.

    uv run --with dagster-aws==0.29.27 python -m bench.object_listing [--json object_listing.json]
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

# Ways of plain sensors, and the packages that they need.
PLAIN = {"paginator": "boto3", "get_objects": "dagster_aws"}

KEY, SECRET = "bench", "bench-secret"
PORT = 7979

# What an idle tick may take: LIST calls, milliseconds, MiB; and a sweep, microseconds a key by way of listing, and MiB.
TICK_BARS = {"calls": 25, "milliseconds": 50.0, "mebibytes": 16.0}
SWEEP_BARS = {"S3": 1.0, "obstore": 4.0}
SWEEP_MEBIBYTES = 16.0


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
        result = Bench(database, environment, options).run()
        # Before the files of a million objects are deleted, which takes minutes.
        print(told(result), flush=True)
    if options.json:
        options.json.write_text(json.dumps(result, indent=2) + "\n")
    return 0 if result["within_bars"] else 1


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
    """Return the median of each figure, by key or by tick, and whether the bars hold."""

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
    sweeps = {way: listings[f"sweep, {way}"] for way in SWEEP_BARS}
    within = all(idle[name] <= bar for name, bar in TICK_BARS.items()) and all(
        sweep["microseconds"] <= SWEEP_BARS[way] and sweep["mebibytes"] <= SWEEP_MEBIBYTES
        for way, sweep in sweeps.items()
    )
    return {"keys": keys, "idle": idle, "listings": listings, "within_bars": within, "rounds": found}


def told(result: dict[str, Any]) -> str:
    """Return the figures as text."""
    idle = result["idle"]
    tick = (
        f"idle tick, {result['keys']:,} objects: {idle['calls']} LIST calls at most (bar {TICK_BARS['calls']}), "
        f"{idle['milliseconds']:.1f} ms of processor time (bar {TICK_BARS['milliseconds']:.0f}; the first of a process "
        f"{idle['first_milliseconds']:.0f}; Postgres {idle['postgres_milliseconds']:.1f}), memory "
        f"+{idle['mebibytes']:.1f} MiB (bar {TICK_BARS['mebibytes']:.0f})"
    )
    titles = {"listing of": -24, "keys": 12, "LIST calls": 12, "CPU us a key": 14, "for 1,000,000": 15}
    titles |= {"Postgres us": 13, "memory MiB": 12}
    head = "".join(f"{title:>{width}}" if width > 0 else f"{title:{-width}}" for title, width in titles.items())
    lines = [tick, "", head]
    for name, found in result["listings"].items():
        lines.append(
            f"{name:24}{found['keys']:>12,}{found['calls']:>12,.0f}{found['microseconds']:>14.2f}"
            f"{found['microseconds']:>13.1f} s{found['postgres_microseconds']:>13.2f}{found['mebibytes']:>12.1f}"
        )
    lines.append("plain sensors list fewer keys: time a key is the same for more of them, memory grows with them")
    lines.append(f"bars: {SWEEP_BARS} us a key for a sweep, {SWEEP_MEBIBYTES:.0f} MiB")
    if "get_objects" not in result["listings"]:
        lines.append("get_objects is left out: dagster-aws is not installed")
    return "\n".join(lines)


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
