"""A daemon at work over one storage or the other, and what it uses.

Everything is real and in processes of its own: Postgres with its default durability, a code server, and
`dagster-daemon run` as it comes, which looks at its sensors every 5 s.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import psycopg
import yaml
from sensor_assets.ledger import migrate
from tenancy.local.postgres import Postgres

STOCK, LEAN = "stock", "lean"
WARM_UP_SECONDS = 240.0
STOP_SECONDS = 15.0
BENCH = "bench"
"""What the benchmark's own sessions call themselves, so that they are not counted."""

PLAIN_SENSORS = """
import dagster as dg

@dg.op
def nothing():
    pass

@dg.job
def job():
    nothing()

def sensor(number):
    @dg.sensor(name=f"sensor_{{number}}", job=job, minimum_interval_seconds={every},
               default_status=dg.DefaultSensorStatus.RUNNING)
    def look(context):
        return dg.SkipReason("nothing new")
    return look

defs = dg.Definitions(jobs=[job], sensors=[sensor(number) for number in range({sensors})])
"""
"""A location whose sensors find nothing; to be formatted."""


@dataclass(frozen=True)
class Server:
    """A Postgres whose log can be made to tell every statement and every new session."""

    postgres: Postgres
    home: Path
    _admin: psycopg.Connection[Any] = field(repr=False)

    def execute(self, *statements: str) -> None:
        """Execute statements as the server's owner."""
        for statement in statements:
            self._admin.execute(statement.encode())

    @contextmanager
    def logging(self, database: str) -> Generator["Logged"]:
        """Have everything logged meanwhile; it takes processor time, so not while that is measured."""
        begin, found = self.postgres.log.stat().st_size, Logged(database)
        self._log("all", "on")
        try:
            yield found
        finally:
            self._log("none", "off")
            with self.postgres.log.open(errors="replace") as log:
                log.seek(begin)
                found.lines = log.readlines()

    def _log(self, statements: str, connections: str) -> None:
        self.execute(
            f"alter system set log_statement = '{statements}'",
            f"alter system set log_connections = '{connections}'",
            "select pg_reload_conf()",
        )


@dataclass
class Logged:
    """What the clients of one database did, except for the benchmark."""

    database: str
    lines: Sequence[str] = ()

    @property
    def statements(self) -> int:
        """The number of statements that were sent, pings included."""
        return self._count(" statement: ", " execute ")

    @property
    def connections(self) -> int:
        """The number of sessions that were opened."""
        return self._count(" connection authorized: ")

    def _count(self, *words: str) -> int:
        own = [line for line in self.lines if line.startswith(f"{self.database}|") and f"|{BENCH}|" not in line]
        return sum(any(word in line and f"application_name={BENCH}" not in line for word in words) for line in own)


@contextmanager
def server(prefix: str) -> Generator[Server]:
    """Start a Postgres with its default durability."""
    home = Path(tempfile.mkdtemp(prefix=prefix))
    home.chmod(0o755)
    try:
        with (
            Postgres(home / "data", home / "socket", settings={"log_line_prefix": "%d|%a|"}) as postgres,
            psycopg.connect(postgres.url(), autocommit=True) as admin,
        ):
            yield Server(postgres, home, admin)
    finally:
        shutil.rmtree(home, ignore_errors=True)


def empty_ledger(server: Server, name: str) -> dict[str, str]:
    """Make a database with an empty ledger; returns the variables by which a location finds it."""
    server.execute(f"create database ledger_{name}")
    url = server.postgres.url(f"ledger_{name}")
    with psycopg.connect(url, autocommit=True, application_name=BENCH) as connection:
        connection.execute("create schema bench")
    migrate(url, "bench")
    return {
        "ENVIRONMENT": "local",
        "TEAM": "bench",
        "LOCATION": "bench",
        "LEDGER_URL": url,
        "LEDGER_SCHEMA": "bench",
    }


@dataclass(frozen=True)
class Daemon:
    """A daemon and its code server at work over an empty database."""

    url: str
    processes: Mapping[str, psutil.Process]

    def processor_seconds(self) -> dict[str, float]:
        """Return what daemon, code server and Postgres have used until now, each with all that it started."""
        return {role: seconds(process) for role, process in self.processes.items()}

    def ticks(self) -> int:
        """Return the number of ticks that ended; 0 as long as there is no table."""
        with psycopg.connect(self.url, application_name=BENCH) as connection:
            try:
                row = connection.execute("select count(*) from job_ticks where status <> 'STARTED'").fetchone()
            except psycopg.errors.UndefinedTable:
                return 0
        return int(row[0]) if row else 0

    def until(self, reached: Callable[[], bool]) -> None:
        """Wait until the daemon is in its stride.

        Raises:
            TimeoutError: It does not get there.
        """
        deadline = time.monotonic() + WARM_UP_SECONDS
        while not reached():
            if time.monotonic() > deadline:
                raise TimeoutError(f"{self.ticks()} ticks in {WARM_UP_SECONDS:.0f} s")
            time.sleep(1)


@contextmanager
def daemon(
    server: Server,
    name: str,
    storage: str,
    location: str,
    environment: Mapping[str, str] | None = None,
    settings: Mapping[str, Any] | None = None,
) -> Generator[Daemon]:
    """Start a code server and a daemon.

    Args:
        server: the Postgres.
        name: of the database, which is made, and of the directory.
        storage: `STOCK` or `LEAN`.
        location: the text of the Python file that the code server serves.
        environment: further variables of both processes.
        settings: further settings of the instance, as in `dagster.yaml`.
    """
    server.execute(f"create database {name}")
    url, home = server.postgres.url(name), server.home / name
    home.mkdir()
    socket = home / "code.sock"
    grpc = {"grpc_server": {"socket": str(socket), "location_name": "bench"}}
    (home / "location.py").write_text(location)
    (home / "dagster.yaml").write_text(yaml.safe_dump({**_instance(storage, url), **(settings or {})}))
    (home / "workspace.yaml").write_text(yaml.safe_dump({"load_from": [grpc]}))
    variables = {"DAGSTER_HOME": str(home), **(environment or {})}
    programs = {
        "code_server": ["dagster", "api", "grpc", "--socket", str(socket), "--python-file", str(home / "location.py")],
        "daemon": ["dagster-daemon", "run", "--workspace", str(home / "workspace.yaml")],
    }
    with ExitStack() as stack:
        processes = {"postgres": psutil.Process(server.postgres.pid)}
        for role, command in programs.items():
            process = stack.enter_context(_process(command, home / f"{role}.log", variables))
            processes[role] = psutil.Process(process.pid)
            while role == "code_server" and not socket.exists():
                if process.poll() is not None:
                    raise RuntimeError((home / f"{role}.log").read_text())
                time.sleep(0.1)
            variables = {**variables, "DAGSTER_POSTGRES_POOL": "10"}
        yield Daemon(url, processes)


def seconds(process: psutil.Process) -> float:
    """Return what a process, its living children and those that it has waited for have used, in seconds."""
    while True:
        try:
            return sum(sum(member.cpu_times()[:4]) for member in [process, *process.children(recursive=True)])
        except psutil.NoSuchProcess:
            continue  # one ended meanwhile; its time is its parent's now


def _instance(storage: str, url: str) -> dict[str, Any]:
    config = {"postgres_url": url}
    lean = {"custom": {"module": "lean_postgres", "class": "LeanPostgresStorage", "config": config}}
    return {
        "storage": lean if storage == LEAN else {"postgres": config},
        "telemetry": {"enabled": False},
        "sensors": {"use_threads": True, "num_workers": 8},
    }


@contextmanager
def _process(command: Sequence[str], log: Path, variables: Mapping[str, str]) -> Generator[subprocess.Popen[bytes]]:
    program, *arguments = command
    with (
        log.open("wb") as output,
        subprocess.Popen(
            [str(Path(sys.executable).with_name(program)), *arguments],
            env={**os.environ, **variables},
            stdout=output,
            stderr=subprocess.STDOUT,
        ) as process,
    ):
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
