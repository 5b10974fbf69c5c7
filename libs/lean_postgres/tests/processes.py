"""The processes of an instance: a code server, a daemon that is to be killed, a webserver.

- `execute_sensor_iteration`, `launch_scheduled_runs`: the bodies of the daemon's loops, which sleep between two rounds;
  their crash flags are the ones with which Dagster tests itself.
- `create_test_daemon_workspace_context`, `GrpcServerTarget`: what `dagster-daemon run -w workspace.yaml` builds around
  them.

Run as a program it is a daemon that kills itself: ``python processes.py SOCKET LOOP MOMENT CRASH_POINT``.
"""

import datetime
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dagster as dg
from dagster._core.test_utils import create_test_daemon_workspace_context, freeze_time
from dagster._core.workspace.context import IWorkspaceProcessContext
from dagster._core.workspace.load_target import GrpcServerTarget
from dagster._daemon.sensor import execute_sensor_iteration
from dagster._scheduler.scheduler import launch_scheduled_runs

HERE = Path(__file__).parent
LOCATION = "tested"
SENSOR, SCHEDULE = "follow", "hourly"

AT_ONCE = {"module": "dagster._core.run_coordinator", "class": "DefaultRunCoordinator", "config": {}}
"""The configuration of an instance that launches a run when it is asked for, without a queue."""

# In the order in which one tick passes them.
CRASH_POINTS = {
    SENSOR: ("TICK_CREATED", "TICK_HELD", "RUN_IDS_RESERVED", "RUN_CREATED", "RUN_LAUNCHED"),
    SCHEDULE: ("TICK_CREATED", "TICK_HELD", "RUN_CREATED", "RUN_LAUNCHED", "RUN_ADDED", "TICK_SUCCESS"),
}


class Daemon:
    """The loops of a daemon, which go round once when they are told, at a moment that they are told."""

    def __init__(self, workspace: IWorkspaceProcessContext[Any]) -> None:
        self._workspace = workspace

    def round(self, loop: str, now: datetime.datetime, crash_point: str = "") -> None:
        """Evaluate what is due, launch the runs that it asks for; die by SIGKILL at the crash point."""
        flags = {loop: {crash_point: signal.SIGKILL}} if crash_point else None
        log = logging.getLogger("daemon")
        with freeze_time(now):
            if loop == SENSOR:
                list(execute_sensor_iteration(self._workspace, log, None, None, None, flags))
            else:
                list(launch_scheduled_runs(self._workspace, log, now, {}, debug_crash_flags=flags))


@contextmanager
def running_daemon(instance: dg.DagsterInstance, socket: Path) -> Generator[Daemon]:
    """Connect a daemon to the code server behind a socket."""
    target = GrpcServerTarget(host="localhost", port=None, socket=str(socket), location_name=LOCATION)
    with create_test_daemon_workspace_context(target, instance) as workspace:
        yield Daemon(workspace)


def killed_daemon(home: Path, socket: Path, loop: str, now: datetime.datetime, crash_point: str) -> int:
    """Run a daemon in a process of its own that kills itself; returns its exit code."""
    environment = {**os.environ, "DAGSTER_HOME": str(home)}
    program = [sys.executable, __file__, str(socket), loop, now.isoformat(), crash_point]
    return subprocess.run(program, check=False, capture_output=True, timeout=60, env=environment).returncode


@contextmanager
def code_server(socket: Path, home: Path) -> Generator[None]:
    """Serve the location."""
    arguments = ["api", "grpc", "--socket", str(socket), "--python-file", str(HERE / "location.py")]
    with process("dagster", [*arguments, "--location-name", LOCATION], home) as log:
        until_written(log, "Started Dagster code server")
        yield


@contextmanager
def process(program: str, arguments: Sequence[str], home: Path) -> Generator[Path]:
    """Run one of Dagster's programs, in a process group of its own; yields its log."""
    log = home / f"{program}.log"
    command = [str(Path(sys.executable).with_name(program)), *arguments]
    environment = {**os.environ, "DAGSTER_HOME": str(home)}
    with log.open("wb") as output:
        running = subprocess.Popen(
            command, stdout=output, stderr=output, start_new_session=True, env=environment, cwd=home
        )
        try:
            yield log
        finally:
            os.killpg(running.pid, signal.SIGTERM)
            try:
                running.wait(15)
            except subprocess.TimeoutExpired:
                os.killpg(running.pid, signal.SIGKILL)
                running.wait()


def until_written(log: Path, words: str, seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while words not in log.read_text():
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.05)


def main() -> None:
    socket, loop, moment, crash_point = sys.argv[1:]
    with dg.DagsterInstance.get() as instance, running_daemon(instance, Path(socket)) as daemon:
        daemon.round(loop, datetime.datetime.fromisoformat(moment), crash_point)


if __name__ == "__main__":
    main()
