"""Faults without end: the daemon, a code server and Postgres go down at seeded moments while files come and change.

    make soak ROUNDS=1000 SEED=1

Every round is one fault that has happened: the daemon killed at one of Dagster's own crash points or after the n-th
message to a database, the code server killed after the n-th, Postgres restarted without a checkpoint under the n-th
message of either, the monitor's cursor reset, a run deleted. Runs happen within the daemon's process, so that they die
with it at any statement as well. Now and then everything is left to settle, and what was done is compared with the
outside.
"""

import argparse
import json
import os
import random
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dagster as dg
import psycopg
from psycopg.rows import DictRow, dict_row
from tenancy.local.postgres import Postgres

from .dagster_internals import CRASH_POINTS, running_daemon, runs_in_this_process, set_cursor
from .soak_faults import RESTART, expose
from .world import SENSOR, code_server, prepared

FAULTS: dict[str, int] = {
    "daemon killed at a crash point": 4,
    "daemon killed at a message": 4,
    "code server killed at a message": 2,
    "Postgres restarted at a message of the daemon": 3,
    "Postgres restarted at a message of the code server": 3,
    "cursor reset": 1,
    "run deleted": 1,
}
"""How often each is chosen, as weights."""

DAEMON, CODE_SERVER, ORDER = "daemon", "code-server", "order"
MOST_MESSAGES = {DAEMON: 100, CODE_SERVER: 20}
DAYS = [f"2013-01-{day:02}" for day in range(1, 15)]
LOOSE_NAMES = 40
ROUNDS_BETWEEN_CHECKS = 20
FAULT_SECONDS = 4.0
"""A fault that does not happen in that time is called off: nothing sends so many messages."""

SETTLE_SECONDS = 120.0
POLL_SECONDS = 0.02

# What a run is that ended without a word; Dagster's run monitoring finds it where runs have processes of their own.
ABANDONED = [dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED]


def be_daemon(directory: Path, faults: Path) -> None:
    """Be a sensor daemon that also executes the runs, until a fault ends it."""
    expose(faults, DAEMON)
    with (
        dg.DagsterInstance.get() as instance,
        running_daemon(instance, str(directory / "code.sock")) as daemon,
        runs_in_this_process(instance),
    ):
        while True:
            # A run is over when its launch returns, so that none is at work between two rounds.
            for run in instance.get_runs(dg.RunsFilter(statuses=ABANDONED)):
                instance.report_run_failed(run, "its process is gone")
            daemon.round(sensor=SENSOR, crash_point=_obey(instance, faults / ORDER))
            time.sleep(0.1)


def _obey(instance: dg.DagsterInstance, order: Path) -> str:
    """Do what a person could do in the UI, or return the crash point at which this process is to be killed."""
    try:
        what = order.read_text()
    except FileNotFoundError:
        return ""
    if what in CRASH_POINTS:
        return what
    if what == "cursor reset":
        set_cursor(instance, SENSOR, None)
    elif runs := instance.get_runs(limit=5):
        instance.delete_run(runs[-1].run_id)
    order.unlink(missing_ok=True)
    return ""


@dataclass
class Outside:
    """The files that were dropped, each version of which has a body of its own."""

    landing: Path
    choose: random.Random
    newest: dict[str, dict[str, str]] = field(default_factory=lambda: {"days": {}, "loose": {}})
    written: int = 0

    def change(self) -> None:
        """Let up to four files come or be overwritten."""
        for _ in range(self.choose.randint(1, 4)):
            day, name = self.choose.choice(DAYS), f"{self.choose.randrange(LOOSE_NAMES):03}.csv"
            source, key = self.choose.choice([("days", f"{day}{self.choose.choice(['', '-b'])}.csv"), ("loose", name)])
            self.written += 1
            body = f"body {self.written}"
            part = self.landing.parent / "part"
            part.write_text(body)
            part.replace(self.landing / source / key)
            self.newest[source][key] = body


@dataclass
class Soak:
    """Two processes and a server that go down again and again."""

    directory: Path
    postgres: Postgres
    environment: dict[str, str]
    choose: random.Random
    outside: Outside
    happened: Counter[str] = field(default_factory=Counter[str])
    daemon: int | None = None
    _servers: ExitStack = field(default_factory=ExitStack)
    _server: Any = None

    @property
    def faults(self) -> Path:
        return self.directory / "faults"

    def round(self) -> None:
        """Change the outside, and let one fault happen."""
        self.outside.change()
        what = self.choose.choices(list(FAULTS), list(FAULTS.values()))[0]
        process = CODE_SERVER if what.endswith("code server") or what.startswith("code server") else DAEMON
        match what:
            case "daemon killed at a crash point":
                happened = self._let_happen(ORDER, self.choose.choice(CRASH_POINTS))
            case "cursor reset" | "run deleted":
                happened = self._let_happen(ORDER, what)
            case _:
                fault = "kill" if "killed" in what else "restart"
                happened = self._let_happen(process, f"{fault} {self.choose.randint(1, MOST_MESSAGES[process])}")
        if happened:
            self.happened[what] += 1

    def _let_happen(self, file: str, content: str) -> bool:
        """Arm a fault and wait until it has happened; one that does not come is called off."""
        armed = self.faults / file
        part = self.faults / "part"
        part.write_text(content)
        part.replace(armed)
        deadline = time.monotonic() + FAULT_SECONDS
        while armed.exists():
            if self.revive():
                armed.unlink(missing_ok=True)  # the order that the daemon died of
                return True
            if time.monotonic() > deadline:
                with suppress(FileNotFoundError):
                    armed.unlink()
                    return False
            time.sleep(POLL_SECONDS)
        self.revive()
        return True

    def revive(self) -> bool:
        """Bring back what is down; tell whether the daemon was."""
        if (self.faults / RESTART).exists():
            self.postgres.restart(immediate=True)
            (self.faults / RESTART).unlink()
        if self._server is None or self._server.poll() is not None:
            self._servers.close()
            socket, log = str(self.directory / "code.sock"), self.directory / "code.log"
            Path(socket).unlink(missing_ok=True)
            self._server = self._servers.enter_context(code_server(socket, "soak_location", log))
        was_down = self.daemon is not None and os.waitpid(self.daemon, os.WNOHANG)[0] == self.daemon
        if self.daemon is None or was_down:
            self.daemon = self._fork()
        return was_down

    def _fork(self) -> int:
        """Start a daemon in a fork of this process, which has everything loaded: milliseconds instead of seconds."""
        child = os.fork()
        if child == 0:
            with (self.directory / "daemon.log").open("ab") as log:
                os.dup2(log.fileno(), 1)
                os.dup2(log.fileno(), 2)
            try:
                be_daemon(self.directory, self.faults)
            except BaseException:  # noqa: BLE001 - a forked child must never return
                traceback.print_exc()
            os._exit(1)
        return child

    def settle(self) -> None:
        """Leave everything in peace until nothing is left to do.

        Raises:
            AssertionError: It never ends.
        """
        deadline = time.monotonic() + SETTLE_SECONDS
        dropped = time.time()
        while not self._is_settled(dropped):
            if time.monotonic() > deadline:
                runs = self._ask("DAGSTER", "select run_id, status from runs order by id desc limit 5")
                raise AssertionError(f"not settled in {SETTLE_SECONDS:.0f} s: {self._status()} {runs}")
            self.revive()
            time.sleep(0.2)

    def _is_settled(self, dropped: float) -> bool:
        with suppress(psycopg.OperationalError):
            busy = self._ask("DAGSTER", "select 1 from runs where status in ('NOT_STARTED', 'STARTING', 'STARTED')")
            sources = self._ask("LEDGER", "select extract(epoch from scanned_at) as at, error from tested.source")
            looked = sources and all(row["at"] and row["at"] > dropped and not row["error"] for row in sources)
            return bool(looked) and not busy and not any(row["waiting"] or row["in_flight"] for row in self._status())
        return False

    def _status(self) -> list[dict[str, Any]]:
        return self._ask("LEDGER", "select * from tested.source_status")

    def _ask(self, database: str, query: str) -> list[dict[str, Any]]:
        url = self.environment["LEDGER_URL"] if database == "LEDGER" else self.postgres.url("dagster_soak")
        with psycopg.Connection[DictRow].connect(url, row_factory=dict_row, autocommit=True) as connection:
            return connection.execute(query).fetchall()  # type: ignore[arg-type]

    def compare(self) -> tuple[int, int]:
        """Return how many versions are lost, and how many effects are there twice."""
        sink = self.directory / "sink"
        rows = Counter(
            (key, body) for file in (sink / "loose").glob("*.json") for key, body in json.loads(file.read_text())
        )
        lost = sum(1 for version in self.outside.newest["loose"].items() if version not in rows)
        doubled = sum(count - 1 for count in rows.values())
        days = self.outside.newest["days"]
        for day in DAYS:
            wanted = sorted([key, body] for key, body in days.items() if key.startswith(day))
            file = sink / "partitions" / f"{day}.json"
            found = sorted(json.loads(file.read_text())) if file.exists() else []
            lost += sum(1 for row in wanted if row not in found)
            doubled += max(len(found) - len(wanted), 0)
        lost += sum(int(row["quarantined"]) for row in self._status())
        return lost, doubled

    def close(self) -> None:
        """End the processes."""
        if self.daemon is not None:
            os.kill(self.daemon, signal.SIGKILL)
            os.waitpid(self.daemon, 0)
        self._servers.close()


@contextmanager
def soaking(seed: int) -> Generator[Soak]:
    """Start everything anew."""
    choose = random.Random(seed)
    with tempfile.TemporaryDirectory(prefix="soak-") as name:
        directory = Path(name)
        directory.chmod(0o755)
        with Postgres(directory / "data", directory / "socket", durable=False) as postgres:
            environment = prepared(postgres, directory / "world", "soak", sources=("days", "loose"))
            faults = directory / "world" / "faults"
            faults.mkdir()
            # Sound files are not to blame, however often the process dies that works on them.
            environment |= {"FAULTS": str(faults), "MAX_FAILURES": "1000000", "PYTHONPATH": os.getcwd()}
            os.environ.update(environment)
            outside = Outside(directory / "world" / "landing", choose)
            soak = Soak(directory / "world", postgres, environment, choose, outside)
            try:
                yield soak
            finally:
                soak.close()


def run(rounds: int, seed: int, say: Callable[[str], None]) -> bool:
    """Let that many faults happen; tell whether nothing was lost or doubled."""
    began = time.monotonic()
    lost = doubled = 0
    with soaking(seed) as soak:
        soak.revive()
        checked = 0
        while (done := soak.happened.total()) < rounds and not lost + doubled:
            soak.round()
            if soak.happened.total() - checked >= ROUNDS_BETWEEN_CHECKS or soak.happened.total() == rounds:
                checked = soak.happened.total()
                soak.settle()
                lost, doubled = soak.compare()
                say(f"{done + 1} faults, {soak.outside.written} versions, {time.monotonic() - began:.0f} s")
        for what, number in sorted(soak.happened.items()):
            say(f"{number:6} {what}")
        say(
            f"seed={seed} rounds={soak.happened.total()} versions={soak.outside.written} lost={lost} doubled={doubled} "
            f"seconds={time.monotonic() - began:.0f}"
        )
    return not lost + doubled


def main() -> None:
    parser = argparse.ArgumentParser(description="Let faults happen without end.")
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    arguments = parser.parse_args()
    print(f"seed {arguments.seed}", flush=True)
    sound = run(arguments.rounds, arguments.seed, lambda line: print(line, flush=True))
    sys.exit(not sound)


if __name__ == "__main__":
    main()
