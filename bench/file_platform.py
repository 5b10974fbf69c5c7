"""A daemon at work on files that appear in a directory: how many are processed, and what that cost."""

import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg

from bench.daemon import BENCH, Daemon, Server, daemon, empty_ledger

PATIENCE_SECONDS = 1800.0
IDLE_SECONDS = 60.0
WARM_UP_TICKS = 3

QUEUE = {
    "run_coordinator": {
        "module": "dagster",
        "class": "QueuedRunCoordinator",
        "config": {"max_concurrent_runs": 4, "dequeue_interval_seconds": 1},
    }
}


ROLES = ("daemon", "postgres", "code_server")


@dataclass(frozen=True)
class Cost:
    """What it took.

    Args:
        variant: Name of what processed the files.
        files: How many.
        runs: How many runs that took.
        ticks: How many ticks there were meanwhile.
        seconds: How long it lasted.
        used: Processor time by role, in seconds; that of the runs is the code server's.
        idle: What each role uses in a second in which there are no files, in seconds.
    """

    variant: str
    files: int
    runs: int
    ticks: int
    seconds: float
    used: Mapping[str, float]
    idle: Mapping[str, float]

    def milliseconds(self, *roles: str) -> float:
        """Return what some roles used for each file beyond what they use without files."""
        return 1000 * sum(self.used[role] - self.idle[role] * self.seconds for role in roles) / self.files

    def with_idle(self, *roles: str) -> float:
        """Return all that some roles used, for each file, in milliseconds."""
        return 1000 * sum(self.used[role] for role in roles) / self.files


@dataclass(frozen=True)
class Platform:
    """A daemon, its ledger, the directory in which files appear, and that in which the runs leave what they read."""

    daemon: Daemon
    ledger_url: str
    landing: Path
    sink: Path

    def appear(self, names: Sequence[str]) -> None:
        """Let files appear, each one whole."""
        part = self.landing / "part"
        for name in names:
            file = self.landing / name
            file.parent.mkdir(exist_ok=True)
            part.write_text(f"{name}\n")
            part.replace(file)

    def runs(self, *statuses: str) -> int:
        """Return the number of runs, all or those of some statuses."""
        with psycopg.connect(self.daemon.url, application_name=BENCH) as connection:
            row = connection.execute(
                "select count(*) from runs where %(all)s or status = any(%(statuses)s)",
                {"all": not statuses, "statuses": list(statuses)},
            ).fetchone()
        return int(row[0]) if row else 0

    def done(self) -> int:
        """Return the number of files that the ledger knows to be done, 0 while runs are left."""
        with psycopg.connect(self.ledger_url, options="-c search_path=bench", application_name=BENCH) as connection:
            row = connection.execute("select coalesce(sum(done), 0) from source_status").fetchone()
        ended = self.runs() == self.runs("SUCCESS", "FAILURE", "CANCELED")
        return int(row[0]) if row and ended else 0

    def idle(self, seconds: float) -> dict[str, float]:
        """Return what each role uses in a second in which there are no files, in seconds, measured for some seconds."""
        self._until(lambda: self.daemon.ticks() >= WARM_UP_TICKS)
        before, began = self.daemon.processor_seconds(), time.monotonic()
        time.sleep(seconds)
        after, lasted = self.daemon.processor_seconds(), time.monotonic() - began
        return {role: (after[role] - before[role]) / lasted for role in after}

    def cost(self, variant: str, files: int, *, appear: Callable[[], None], done: Callable[[], int]) -> Cost:
        """Let files appear and wait until they are processed; returns what that cost.

        Args:
            variant: Name of what processes them.
            files: How many there are.
            appear: Lets them appear.
            done: Returns how many are processed.

        Raises:
            RuntimeError: Files are missing in the sink, or there more than once.
        """
        idle = self.idle(IDLE_SECONDS)
        ticks, before, began = self.daemon.ticks(), self.daemon.processor_seconds(), time.monotonic()
        appear()
        self._until(lambda: done() >= files)
        lasted, after = time.monotonic() - began, self.daemon.processor_seconds()
        found = [line for file in self.sink.iterdir() for line in file.read_text().splitlines()]
        if not len(found) == len(set(found)) == files:
            raise RuntimeError(f"of {files} files {len(set(found))} are in the sink, in {len(found)} lines")
        return Cost(
            variant=variant,
            files=files,
            runs=self.runs(),
            ticks=self.daemon.ticks() - ticks,
            seconds=lasted,
            used={role: after[role] - before[role] for role in ROLES},
            idle=idle,
        )

    def _until(self, reached: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not reached():
            if time.monotonic() > deadline:
                raise TimeoutError(f"{self.runs()} runs, of which {self.runs('SUCCESS')} succeeded")
            time.sleep(1)


@contextmanager
def file_platform(server: Server, name: str, storage: str, location: Path, day_seconds: float) -> Generator[Platform]:
    """Start a code server and a daemon with a queue of runs, an empty ledger and empty directories.

    Args:
        server: The Postgres.
        name: Of the databases and directories, which are made.
        storage: As for `bench.daemon.daemon`.
        location: The Python file that the code server serves.
        day_seconds: How long a day is.
    """
    landing, sink = (server.home / f"{name}_{place}" for place in ("landing", "sink"))
    landing.mkdir()
    sink.mkdir()
    environment = {
        **empty_ledger(server, name),
        "LANDING": str(landing),
        "SINK": str(sink),
        "DAY_SECONDS": str(day_seconds),
    }
    with daemon(server, name, storage, location.read_text(), environment, QUEUE) as running:
        yield Platform(running, environment["LEDGER_URL"], landing, sink)
