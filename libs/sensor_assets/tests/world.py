"""A small outside world with everything around it real: Postgres, a code server, the daemon, run processes.

The daemon works in the test's process, or in one of its own where it is to be killed.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import psycopg
from psycopg.rows import DictRow, dict_row
from sensor_assets._claims import BATCH_TAG
from sensor_assets.ledger import migrate
from tenancy.local.postgres import Postgres

from .dagster_internals import LOCATION, Daemon, running_daemon

HERE = Path(__file__).parent
SENSOR = "source_monitor"
SETTLE_SECONDS = 60.0
POLL_SECONDS = 0.2

INSTANCE = """
storage:
  postgres:
    postgres_url: {url}
run_coordinator:
  module: dagster._core.run_coordinator
  class: DefaultRunCoordinator
telemetry:
  enabled: false
"""


@dataclass
class World:
    """Outside (`landing`), effects (`sink`), ledger and Dagster instance of one code location."""

    directory: Path
    dagster_url: str
    ledger: psycopg.Connection[DictRow]
    instance: dg.DagsterInstance
    daemon: Daemon

    @property
    def landing(self) -> Path:
        return self.directory / "landing"

    @property
    def sink(self) -> Path:
        return self.directory / "sink"

    @property
    def socket(self) -> str:
        return str(self.directory / "code.sock")

    def drop(self, source: str, objects: Mapping[str, str]) -> None:
        """Let objects appear in the outside world, each one whole."""
        for key, body in objects.items():
            part = self.directory / "part"
            part.write_text(body)
            target = self.landing / source / key
            target.parent.mkdir(exist_ok=True)
            part.replace(target)

    def open_gate(self, name: str) -> None:
        (self.sink / name).touch()

    def waits_at(self, gate: str) -> int | None:
        """Return the process that stands before a gate, or None as long as none does."""
        file = self.sink / f"{gate}.pid"
        return int(file.read_text()) if file.exists() else None

    def kill_daemon(self, crash_point: str) -> int:
        """Run a daemon in a process of its own until it kills itself; returns its exit code."""
        program = [sys.executable, str(HERE / "dagster_internals.py"), self.socket, SENSOR, crash_point]
        return subprocess.run(program, check=False, capture_output=True, timeout=60).returncode

    def until(self, reached: Callable[[], Any], *, seconds: float = SETTLE_SECONDS) -> None:
        """Let the daemon do rounds until something is true."""
        deadline = time.monotonic() + seconds
        while not reached():
            if time.monotonic() > deadline:
                raise AssertionError(f"not reached in {seconds:.0f} s; {self.status()} {self.open_runs()}")
            self.daemon.round()
            time.sleep(POLL_SECONDS)

    def settle(self, arrivals: Mapping[str, int]) -> None:
        """Let the daemon work until that many arrivals are seen for each source and nothing is left to do."""
        self.until(lambda: self._settled(arrivals))
        # Once more, because a lost acknowledgement would show itself now.
        before = len(self.runs())
        self.rounds(2)
        assert len(self.runs()) == before

    def _settled(self, arrivals: Mapping[str, int]) -> bool:
        if any(self.seen(source) < number for source, number in arrivals.items()):
            return False
        busy = any(row["waiting"] or row["in_flight"] for row in self.status().values())
        return not busy and not self.open_runs()

    def rounds(self, number: int) -> None:
        """Let every sensor be evaluated that many times."""
        for _ in range(number):
            ticks = self.ticks()
            self.until(lambda ticks=ticks: self.ticks() > ticks)

    def ticks(self) -> int:
        """Return the number of evaluations that ended."""
        with psycopg.connect(self.dagster_url) as connection:
            row = connection.execute("select count(*) from job_ticks where status <> 'STARTED'").fetchone()
        return int(row[0]) if row else 0

    def status(self) -> dict[str, dict[str, Any]]:
        """Return the ledger's own count of each source."""
        return {row["source"]: row for row in self.ledger.execute("select * from source_status")}

    def seen(self, source: str) -> int:
        """Return how many versions the ledger has recorded of a source."""
        return int(self.status().get(source, {"seen": 0})["seen"])

    def batches(self) -> list[dict[str, Any]]:
        """Return the ledger's batches in the order in which they were cut."""
        return self.ledger.execute("select *, id::text as id from batch order by sequence").fetchall()

    def quarantine(self) -> list[str]:
        """Return the reasons of the quarantined items."""
        return [row["reason"] for row in self.ledger.execute("select reason from quarantine")]

    def backfill(self, asset: str, partitions: Sequence[str] | None = None) -> tuple[str, list[dg.DagsterRun]]:
        """Launch what the UI launches (all partitions without a choice) and wait; return how it ended, and its runs."""
        backfill = self.daemon.launch_backfill(asset, partitions)
        self.until(lambda: self.daemon.backfill_ended(backfill))
        runs = self.instance.get_runs(dg.RunsFilter(tags={"dagster/backfill": backfill}))
        return self.daemon.backfill_ended(backfill), list(reversed(runs))

    def partition(self, asset: str, partition: str) -> list[str] | None:
        """Return what an asset wrote for a partition."""
        file = self.sink / asset / f"{partition}.json"
        return sorted(json.loads(file.read_text())) if file.exists() else None

    def runs(self) -> list[dg.DagsterRun]:
        """Return the runs that the daemon launched, oldest first."""
        return [run for run in reversed(self.instance.get_runs()) if BATCH_TAG in run.tags]

    def open_runs(self) -> list[dg.DagsterRun]:
        return [run for run in self.runs() if not run.is_finished]

    def rows(self, asset: str) -> list[tuple[str, str]]:
        """Return what the batches of an asset wrote: key and body, one for each time that a batch holds it."""
        files = sorted((self.sink / asset).glob("*.json"))
        return sorted((key, body) for file in files for key, body in json.loads(file.read_text()))


@contextmanager
def running_world(
    postgres: Postgres,
    directory: Path,
    name: str,
    *,
    location: str = "daemon_location",
    sources: Sequence[str] = ("days", "loose"),
    settings: str = "",
) -> Generator[World]:
    """Create databases, start a code server for a location beside this module, and connect a daemon to it.

    Args:
        postgres: The server.
        directory: Where the outside, the sink and Dagster's home are put.
        name: Ends the names of the databases.
        location: The module that holds the location.
        sources: Folders of the outside.
        settings: More of `dagster.yaml`.
    """
    environment = prepared(postgres, directory, name, sources=sources, settings=settings)
    before = dict(os.environ)
    os.environ.update(environment)
    try:
        socket = str(directory / "code.sock")
        with (
            psycopg.Connection[DictRow].connect(
                environment["LEDGER_URL"], options="-c search_path=tested", autocommit=True, row_factory=dict_row
            ) as ledger,
            code_server(socket, location, directory / "code.log"),
            dg.DagsterInstance.get() as instance,
            running_daemon(instance, socket) as daemon,
        ):
            yield World(directory, postgres.url(f"dagster_{name}"), ledger, instance, daemon)
    finally:
        # Runs in this process have loaded the location, and with it a ledger whose connections nobody else would close.
        if loaded := sys.modules.pop(location, None):
            loaded.ledger.close()
        os.environ.clear()
        os.environ.update(before)


def prepared(
    postgres: Postgres, directory: Path, name: str, *, sources: Sequence[str], settings: str = ""
) -> dict[str, str]:
    """Create the databases and folders of a world; returns the environment of its processes."""
    for part in (*(f"landing/{source}" for source in sources), "sink", "home"):
        (directory / part).mkdir(parents=True)
    with psycopg.connect(postgres.url(), autocommit=True) as connection:
        connection.execute(f"create database dagster_{name}".encode())
        connection.execute(f"create database ledger_{name}".encode())
    dagster_url, ledger_url = postgres.url(f"dagster_{name}"), postgres.url(f"ledger_{name}")
    with psycopg.connect(ledger_url, autocommit=True) as connection:
        connection.execute("create schema tested")
    migrate(ledger_url, "tested")
    (directory / "home" / "dagster.yaml").write_text(INSTANCE.format(url=dagster_url) + settings)
    return {
        "DAGSTER_HOME": str(directory / "home"),
        "ENVIRONMENT": "local",
        "TEAM": "tested",
        "LOCATION": LOCATION,
        "LEDGER_URL": ledger_url,
        "LEDGER_SCHEMA": "tested",
        "LANDING_URL": f"file://{directory}/landing",
        "SINK": str(directory / "sink"),
    }


@contextmanager
def code_server(socket: str, location: str, log: Path) -> Generator[subprocess.Popen[bytes]]:
    """Start the code server of a location beside this module."""
    program = [str(Path(sys.executable).with_name("dagster")), "api", "grpc", "--socket", socket]
    program += ["--python-file", str(HERE / f"{location}.py"), "--location-name", LOCATION]
    with log.open("wb") as output:
        process = subprocess.Popen(program, stdout=output, stderr=output, start_new_session=True)
        try:
            deadline = time.monotonic() + 60
            while "Started Dagster code server" not in log.read_text():
                if process.poll() is not None or time.monotonic() > deadline:
                    raise AssertionError(f"the code server did not start:\n{log.read_text()}")
                time.sleep(0.05)
            yield process
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGTERM)
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
