"""The whole local platform, as a person starts it: real processes, killed in every way."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import psutil
import pytest
from tenancy.local.ports import any_free

if TYPE_CHECKING:
    from conftest import MakeClone

TENANCY = (sys.executable, str(Path(sys.executable).with_name("tenancy")))
UP_SECONDS = 90.0
RUN_SECONDS = 10.0
RUNS = "{runsOrError{...on Runs{results{status repositoryOrigin{repositoryLocationName}}}}}"


class Launcher:
    """`tenancy up` in a clone, its output and every process below it."""

    def __init__(self, root: Path, port: int, *arguments: str) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.output = root / "output"
        command = [*TENANCY, "--root", str(root), "up", "--days", "0", "--port", str(port)]
        with self.output.open("w") as output:
            self.process = subprocess.Popen([*command, *arguments], stdout=output, stderr=output)

    def wait_until_up(self) -> None:
        wait_for(lambda: "Dagster: " in self.said() or self.process.poll() is not None, UP_SECONDS)
        assert self.process.poll() is None, self.said()

    def said(self) -> str:
        return self.output.read_text()

    def descendants(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)

    def find(self, words: str) -> psutil.Process:
        (found,) = [process for process in self.descendants() if words in command(process)]
        return found

    def runs(self) -> dict[str, str]:
        """Return the status of the latest run of each location."""
        answer: dict[str, Any] = httpx.post(f"{self.url}/graphql", json={"query": RUNS}, timeout=30).json()
        runs = reversed(answer["data"]["runsOrError"]["results"])
        return {run["repositoryOrigin"]["repositoryLocationName"]: run["status"] for run in runs}

    def close(self) -> None:
        """End it if a test has not."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            self.process.wait(30)

    def end(self, how: signal.Signals, patience: float) -> None:
        """Send a signal and assert that nothing is left some seconds later."""
        processes = self.descendants()
        self.process.send_signal(how)
        self.process.wait(30)
        wait_for(lambda: not [process for process in processes if lives(process)], patience)


def command(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:  # ended, or dead and not reaped
        return ""


def lives(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def wait_for(condition: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.1)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory, make_clone: "MakeClone") -> Path:
    root = tmp_path_factory.mktemp("up") / "r"
    make_clone(root, 3, work_seconds=RUN_SECONDS)
    broken = root / "code_locations/gamma/dummy/gamma_dummy/definitions.py"
    broken.write_text("raise KeyError('LANDING_URL is not set')\n")
    return root


@pytest.fixture(scope="module")
def port() -> int:
    return any_free(0)


@pytest.fixture(scope="module")
def launcher(root: Path, port: int) -> Iterator[Launcher]:
    with closing(Launcher(root, port)) as launcher:
        launcher.wait_until_up()
        yield launcher


def test_a_location_that_does_not_load_is_named_with_its_reason_and_the_others_come_up(launcher: Launcher) -> None:
    said = launcher.said()
    assert "gamma-dummy ended with code 1" in said
    assert "LANDING_URL is not set" in said
    for name in ("postgres", "alpha-dummy", "beta-dummy", "webserver", "daemon"):
        assert f"{name}: ready" in said


def test_a_run_whose_code_server_was_killed_fails_and_others_go_on(launcher: Launcher, root: Path) -> None:
    begun = [root / f"begun-{name}-dummy" for name in ("alpha", "beta")]
    wait_for(lambda: all(path.exists() and path.read_text() for path in begun), 60)
    run = psutil.Process(int(begun[0].read_text()))
    launcher.find("--location-name alpha-dummy").kill()
    wait_for(lambda: launcher.runs().get("alpha-dummy") == "FAILURE", 40)
    assert not lives(run)
    wait_for(lambda: "alpha-dummy is back" in launcher.said(), 30)
    wait_for(lambda: launcher.runs()["beta-dummy"] == "SUCCESS", 40)


def test_postgres_and_the_daemon_come_back_after_they_were_killed(launcher: Launcher) -> None:
    launcher.find("bin/postgres -D").kill()
    launcher.find("dagster-daemon run").kill()
    wait_for(lambda: "postgres ended by signal SIGKILL" in launcher.said(), 10)
    wait_for(lambda: "daemon is back" in launcher.said(), 60)
    assert launcher.runs()["beta-dummy"] == "SUCCESS"


def test_a_second_launcher_of_the_clone_is_refused(launcher: Launcher, root: Path) -> None:
    second = subprocess.run(
        [*TENANCY, "--root", str(root), "up", "--port", str(any_free(0))],
        capture_output=True,
        text=True,
        check=False,
    )
    assert second.returncode == 1
    assert f"already running (process {launcher.process.pid}" in second.stderr
    assert "Traceback" not in second.stderr


def test_the_port_of_the_web_interface_in_use_is_one_message(
    launcher: Launcher, tmp_path: Path, port: int, make_clone: "MakeClone"
) -> None:
    assert launcher.process.poll() is None
    make_clone(tmp_path / "other", 1)
    with closing(Launcher(tmp_path / "other", port)) as other:
        assert other.process.wait(30) == 1
        assert f"Port {port} of 127.0.0.1 is in use" in other.said()
        assert "Traceback" not in other.said()


def test_dg_dev_finds_its_variables_in_the_locations_folder(launcher: Launcher, root: Path) -> None:
    assert launcher.process.poll() is None
    written = (root / "code_locations/alpha/dummy/.env").read_text()
    assert "LEDGER_SCHEMA='alpha'" in written
    assert f"DAGSTER_HOME='{root}/.local/dagster-dev'" in written


def test_nothing_is_left_two_seconds_after_sigkill_and_the_next_start_continues(
    launcher: Launcher, root: Path, port: int
) -> None:
    launcher.end(signal.SIGKILL, patience=2.0)
    with closing(Launcher(root, port, "--only", "beta-dummy")) as again:
        again.wait_until_up()
        assert again.runs()["alpha-dummy"] == "FAILURE"
        assert not [process for process in again.descendants() if "alpha-dummy" in command(process)]
        again.end(signal.SIGTERM, patience=0.5)
        assert again.process.returncode == 0
        assert "nothing of it is left running" in again.said()


@pytest.mark.parametrize("seconds", [0.7, 1.5, 3.0])
def test_ctrl_c_while_it_comes_up_leaves_nothing(root: Path, port: int, seconds: float) -> None:
    with closing(Launcher(root, port)) as launcher:
        time.sleep(seconds)
        launcher.end(signal.SIGINT, patience=0.5)
        assert launcher.process.returncode in {0, -signal.SIGINT}, launcher.said()
