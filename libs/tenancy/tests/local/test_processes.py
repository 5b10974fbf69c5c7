"""Starting, restarting and clearing up processes, with real ones."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import psutil
import pytest
from tenancy.local.errors import LocalPlatformError
from tenancy.local.guardian import Guardian
from tenancy.local.lock import only_launcher
from tenancy.local.ports import HOST, any_free, is_free, require_free
from tenancy.local.processes import Service
from tenancy.local.supervisor import Condition, Supervisor

WITH_A_CHILD = "sleep 60 & echo $! > child; echo started; wait"
"""A shell whose child outlives it, as the process of a run outlives its code server."""


@pytest.fixture
def guardian() -> Iterator[Guardian]:
    with Guardian() as guardian:
        yield guardian


def service(directory: Path, script: str, *, essential: bool = True) -> Service:
    return Service(
        name="it",
        command=["sh", "-c", script],
        environment=dict(os.environ),
        directory=directory,
        log=directory / "it.log",
        is_ready=(directory / "child").exists,
        essential=essential,
    )


def wait(condition: Callable[[], bool], supervisor: Supervisor | None = None, seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        if supervisor is not None:
            supervisor.poll()
        time.sleep(0.02)


def gone(pid: int) -> bool:
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def test_a_killed_process_is_started_again_after_its_children_are_gone(tmp_path: Path, guardian: Guardian) -> None:
    said: list[str] = []
    supervisor = Supervisor(guardian, said.append)
    supervisor.start(service(tmp_path, WITH_A_CHILD))
    wait(lambda: supervisor.conditions()["it"] is Condition.READY, supervisor)
    first, child = supervisor.process("it").pid, int((tmp_path / "child").read_text())
    supervisor.process("it").kill()
    wait(lambda: supervisor.conditions()["it"] is Condition.RESTARTING, supervisor)
    assert gone(child)
    wait(lambda: supervisor.conditions()["it"] is Condition.READY, supervisor)
    assert supervisor.process("it").pid != first
    assert said == ["it was ended by signal 9; it is started again in 0.5 s.", "it is back"]
    supervisor.stop(["it"])


def test_stopping_ends_the_whole_group_even_one_that_ignores_the_request(tmp_path: Path, guardian: Guardian) -> None:
    supervisor = Supervisor(guardian, print)
    supervisor.start(service(tmp_path, f"trap '' TERM; {WITH_A_CHILD}; wait; sleep 60"))
    wait((tmp_path / "child").exists)
    pid, child = supervisor.process("it").pid, int((tmp_path / "child").read_text())
    supervisor.stop(["it"], patience=0.3)
    assert gone(pid)
    assert gone(child)


def test_an_essential_process_that_dies_again_and_again_is_one_message_with_its_log(
    tmp_path: Path, guardian: Guardian, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tenancy.local.restarts.FIRST_SECONDS", 0.01)
    said: list[str] = []
    supervisor = Supervisor(guardian, said.append)
    supervisor.start(service(tmp_path, "echo no such table; exit 3"))
    with pytest.raises(LocalPlatformError, match=r"ended with code 3, 5 times by now(.|\n)*no such table"):
        wait(lambda: False, supervisor)
    assert len(said) == 1


def test_an_optional_process_that_never_comes_up_does_not_hold_up_the_others(
    tmp_path: Path, guardian: Guardian
) -> None:
    said: list[str] = []
    supervisor = Supervisor(guardian, said.append)
    supervisor.start(service(tmp_path, "echo SettingsError: LANDING_URL is missing; exit 1", essential=False))
    wait(lambda: supervisor.is_settled(["it"]), supervisor)
    assert "LANDING_URL is missing" in said[0]
    supervisor.stop(["it"])


LAUNCHER = """
import os, sys, time
from pathlib import Path
from tenancy.local.guardian import Guardian
from tenancy.local.processes import Process, Service
directory = Path(sys.argv[1])
guardian = Guardian()
it = Service("it", ["sh", "-c", sys.argv[2]], dict(os.environ), directory, directory / "it.log", lambda: True)
Process(it, guardian)
print("up", flush=True)
time.sleep(60)
"""


def test_nothing_is_left_two_seconds_after_the_launcher_was_killed(tmp_path: Path) -> None:
    with _launch(tmp_path) as launcher:
        wait((tmp_path / "child").exists)
        child = psutil.Process(int((tmp_path / "child").read_text()))
        leader = child.parent()
        assert leader is not None
        launcher.send_signal(signal.SIGKILL)
        wait(lambda: gone(child.pid) and gone(leader.pid), seconds=2.0)


def test_a_child_that_the_launcher_could_not_announce_any_more_is_found_as_well(tmp_path: Path) -> None:
    for _ in range(5):
        before = set(psutil.pids())
        with _launch(tmp_path, wait_until_up=False) as launcher:
            time.sleep(0.25)
            launcher.send_signal(signal.SIGKILL)
        wait(lambda before=before: not _sleepers(before, tmp_path), seconds=3.0)


def _launch(directory: Path, *, wait_until_up: bool = True) -> subprocess.Popen[str]:
    launcher = subprocess.Popen(
        [sys.executable, "-c", LAUNCHER, str(directory), WITH_A_CHILD], stdout=subprocess.PIPE, text=True
    )
    if wait_until_up:
        assert launcher.stdout is not None
        assert launcher.stdout.readline() == "up\n"
    return launcher


def _sleepers(before: set[int], directory: Path) -> Sequence[int]:
    found: list[int] = []
    for process in psutil.process_iter(["cwd"]):
        cwd = process.info["cwd"]  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType, reportAttributeAccessIssue]
        if process.pid not in before and cwd == str(directory) and not gone(process.pid):
            found.append(process.pid)
    return found


def test_only_one_launcher_holds_the_lock_and_the_other_is_told_who(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tenancy.local.lock.PATIENCE_SECONDS", 0.1)
    with (
        only_launcher(tmp_path / "lock"),
        pytest.raises(LocalPlatformError, match=f"already running .process {os.getpid()}"),
        only_launcher(tmp_path / "lock"),
    ):
        pass
    with only_launcher(tmp_path / "lock"):
        pass


def test_a_port_in_use_is_named_with_the_way_to_change_it() -> None:
    with socket.socket() as taken:
        taken.bind((HOST, 0))
        taken.listen()
        port = int(taken.getsockname()[1])
        assert not is_free(port)
        assert any_free(port) != port
        with pytest.raises(LocalPlatformError, match=rf"Port {port}.*PORT=3100"):
            require_free(port, what="the web interface", change="make up PORT=3100")
    assert any_free(port) == port
