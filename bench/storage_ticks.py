"""Processor time of one sensor tick: the instance's storage as Dagster brings it against the lean one.

Everything is real and in processes of its own: Postgres, a code server with many sensors that find nothing, and
`dagster-daemon run`. Both storages take turns in one run, each time on a new database; a round counts what the three
used while the daemon worked through ticks, and what Postgres counted meanwhile.

    python -m bench.storage_ticks --json storage_ticks.json
"""

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil
import psycopg
import yaml
from tenancy.local.postgres import Postgres

from bench.report import Bar, Report, Table

STORAGES = ("stock", "lean")
WARM_UP_SECONDS = 180.0
LEAST_RATIO = 12
LOCATION = """
import dagster as dg


@dg.op
def nothing():
    pass


@dg.job
def job():
    nothing()


def sensor(number):
    @dg.sensor(
        name=f"sensor_{{number}}",
        job=job,
        minimum_interval_seconds=1,
        default_status=dg.DefaultSensorStatus.RUNNING,
    )
    def look(context):
        return dg.SkipReason("nothing new")

    return look


defs = dg.Definitions(jobs=[job], sensors=[sensor(number) for number in range({sensors})])
"""


@dataclass(frozen=True)
class Round:
    """What one storage cost in one round; milliseconds of processor time and counts, each per tick."""

    storage: str
    ticks: int
    daemon: float
    postgres: float
    code_server: float
    transactions: float
    connections: float

    @property
    def total(self) -> float:
        """Milliseconds of processor time of one tick."""
        return self.daemon + self.postgres + self.code_server


@dataclass(frozen=True)
class Reading:
    """Counters that only grow."""

    processor: Mapping[str, float]
    ticks: int
    transactions: int
    connections: int


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print a table, and write the rounds to a file; 1 when the bar does not hold."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="file to write the figures to")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=20.0, help="length of a round")
    parser.add_argument("--sensors", type=int, default=200)
    options = parser.parse_args(arguments)

    rounds: list[Round] = []
    with server() as (postgres, home):
        for number in range(options.rounds):
            for storage in STORAGES:
                rounds.append(measure(postgres, home, storage, number, options.sensors, options.seconds))
                print(line(storage, [rounds[-1]]), flush=True)
    result = summary(rounds)
    return report(rounds, result).deliver(options.json)


def report(rounds: Sequence[Round], result: Mapping[str, Any]) -> Report:
    """Return the medians as a table, and how many times less a tick is to cost."""
    parts = ("daemon", "postgres", "code_server", "total", "transactions", "connections", "ticks")
    by_storage = {name: [each for each in rounds if each.storage == name] for name in STORAGES}
    table = Table(
        title=f"Milliseconds of processor time for a tick, medians of {len(by_storage['stock'])} rounds",
        columns=["storage", "daemon", "Postgres", "code server", "all", "transactions", "connections", "ticks"],
        rows=[
            [name, *(statistics.median(getattr(each, part) for each in own) for part in parts)]
            for name, own in by_storage.items()
        ],
        note="Stock costs " + ", ".join(f"{ratio:.1f}" for ratio in result["ratios"]) + " times as much.",
    )
    bar = Bar(
        what="processor time of one tick, stock against lean", measured=result["ratio"], unit="times", least=LEAST_RATIO
    )
    return Report(tables=[table], bars=[bar], figures={"rounds": [asdict(each) for each in rounds], **result})


@contextmanager
def server() -> Generator[tuple[Postgres, Path]]:
    """Start a Postgres with its default durability."""
    home = Path(tempfile.mkdtemp(prefix="ticks-"))
    home.chmod(0o755)
    try:
        with Postgres(home / "data", home / "socket") as postgres:
            yield postgres, home
    finally:
        shutil.rmtree(home, ignore_errors=True)


def measure(postgres: Postgres, home: Path, storage: str, number: int, sensors: int, seconds: float) -> Round:
    """Let a daemon tick for some seconds over one storage."""
    name = f"{storage}_{number}"
    with psycopg.connect(postgres.url(), autocommit=True) as connection:
        connection.execute(f"create database {name}".encode())
    with platform(home / name, storage, postgres.url(name), sensors) as processes:
        watched = {**processes, "postgres": psutil.Process(postgres.pid)}
        with psycopg.connect(postgres.url(), autocommit=True) as connection:
            wait_for_ticks(postgres.url(name), sensors)
            before = read(connection, postgres.url(name), name, watched)
            time.sleep(seconds)
            after = read(connection, postgres.url(name), name, watched)
    ticks = after.ticks - before.ticks
    used = {role: 1000 * (after.processor[role] - before.processor[role]) / ticks for role in watched}
    return Round(
        storage=storage,
        ticks=ticks,
        daemon=used["daemon"],
        postgres=used["postgres"],
        code_server=used["code_server"],
        transactions=(after.transactions - before.transactions) / ticks,
        connections=(after.connections - before.connections) / ticks,
    )


@contextmanager
def platform(home: Path, storage: str, url: str, sensors: int) -> Generator[dict[str, psutil.Process]]:
    """Start a code server and a daemon on an empty database."""
    home.mkdir()
    config = {"postgres_url": url}
    stock = {"postgres": config}
    lean = {"custom": {"module": "lean_postgres", "class": "LeanPostgresStorage", "config": config}}
    instance = {
        "storage": stock if storage == "stock" else lean,
        "telemetry": {"enabled": False},
        "sensors": {"use_threads": True, "num_workers": 8},
    }
    (home / "dagster.yaml").write_text(yaml.safe_dump(instance))
    (home / "location.py").write_text(LOCATION.format(sensors=sensors))
    socket = home / "code.sock"
    workspace = {"load_from": [{"grpc_server": {"socket": str(socket), "location_name": "bench"}}]}
    (home / "workspace.yaml").write_text(yaml.safe_dump(workspace))
    programs = {
        "code_server": ["dagster", "api", "grpc", "--socket", str(socket), "--python-file", str(home / "location.py")],
        "daemon": ["dagster-daemon", "run", "--workspace", str(home / "workspace.yaml")],
    }
    with ExitStack() as stack:
        processes: dict[str, psutil.Process] = {}
        for role, (program, *arguments) in programs.items():
            process = stack.enter_context(
                subprocess.Popen(
                    [str(Path(sys.executable).with_name(program)), *arguments],
                    env={**os.environ, "DAGSTER_HOME": str(home), "DAGSTER_POSTGRES_POOL": "10"},
                    stdout=stack.enter_context((home / f"{role}.log").open("wb")),
                    stderr=subprocess.STDOUT,
                )
            )
            stack.callback(process.terminate)
            processes[role] = psutil.Process(process.pid)
            while role == "code_server" and not socket.exists():
                time.sleep(0.1)
        yield processes


def wait_for_ticks(url: str, wanted: int) -> None:
    """Wait until the daemon is in its stride.

    Raises:
        TimeoutError: it does not get there.
    """
    deadline = time.monotonic() + WARM_UP_SECONDS
    while time.monotonic() < deadline:
        time.sleep(1)
        if ticks(url) >= wanted:
            return
    raise TimeoutError(f"not {wanted} ticks within {WARM_UP_SECONDS:.0f} s")


def ticks(url: str) -> int:
    """Return the number of ticks that ended; 0 as long as there is no table."""
    with psycopg.connect(url) as connection:
        try:
            row = connection.execute("select count(*) from job_ticks where status <> 'STARTED'").fetchone()
        except psycopg.errors.UndefinedTable:
            return 0
    return int(row[0]) if row else 0


def read(
    connection: psycopg.Connection[Any], url: str, database: str, watched: Mapping[str, psutil.Process]
) -> Reading:
    """Read every counter."""
    number = ticks(url)
    row = connection.execute(
        "select xact_commit + xact_rollback, sessions from pg_stat_database where datname = %s", [database]
    ).fetchone()
    used = {role: processor_seconds(process) for role, process in watched.items()}
    return Reading(used, number, *(row or (0, 0)))


def processor_seconds(process: psutil.Process) -> float:
    """Return what a process, its living children and those that it has waited for have used, in seconds."""
    family = [process, *process.children(recursive=True)]
    return sum(sum(member.cpu_times()[:4]) for member in family if member.is_running())


def summary(rounds: Sequence[Round]) -> dict[str, Any]:
    """Return the medians of both storages, and the ratio of each pair of rounds."""
    by_storage = {name: [each for each in rounds if each.storage == name] for name in STORAGES}
    ratios = [stock.total / lean.total for stock, lean in zip(by_storage["stock"], by_storage["lean"], strict=True)]
    medians = {name: statistics.median(each.total for each in own) for name, own in by_storage.items()}
    return {"milliseconds": medians, "ratios": ratios, "ratio": statistics.median(ratios)}


def line(name: str, rounds: Sequence[Round]) -> str:
    """Return one line of the table."""

    def median(attribute: str) -> float:
        return statistics.median(getattr(each, attribute) for each in rounds)

    return (
        f"{name:8}{median('daemon'):10.2f}{median('postgres'):10.2f}{median('code_server'):8.2f}{median('total'):9.2f}"
        f"{median('transactions'):8.1f}{median('connections'):10.2f}{median('ticks'):8.0f}"
    )


if __name__ == "__main__":
    sys.exit(main())
