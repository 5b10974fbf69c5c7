"""One child process with its log, its process group and what it leaves behind."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tenancy.local.guardian import Guardian
from tenancy.local.orphans import reap_group

CHILD = Path(__file__).with_name("child.py")
GROUP_END_SECONDS = 2.0


@dataclass(frozen=True)
class Service:
    """A process that the platform keeps running.

    Args:
        name: for people, and of its log file.
        command: program and arguments.
        environment: all of its variables.
        directory: its working directory.
        log: file to which its output is appended.
        is_ready: whether it does its work; asked some times a second until it says yes, and must return at once.
        essential: whether the platform is of no use without it.
        socket: unix socket that it serves; removed before a start, since a killed one leaves it.
    """

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    directory: Path
    log: Path
    is_ready: Callable[[], bool]
    essential: bool = True
    socket: Path | None = None


class Process:
    """A running service: the leader of a session and process group of its own, which its own children stay in."""

    def __init__(self, service: Service, guardian: Guardian) -> None:
        self.service = service
        self.started = time.monotonic()
        self._guardian = guardian
        self._log_begin = service.log.stat().st_size if service.log.exists() else 0
        if service.socket is not None:
            service.socket.unlink(missing_ok=True)
        options = ["--parent", str(os.getpid()), "--announce", str(guardian.descriptor), service.name]
        with service.log.open("ab") as log:
            self._popen = subprocess.Popen(
                [sys.executable, "-I", "-S", str(CHILD), *options, "--", *service.command],
                cwd=service.directory,
                env=dict(service.environment),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                pass_fds=(guardian.descriptor,),
            )

    @property
    def pid(self) -> int:
        """The process id, which is also that of its group."""
        return self._popen.pid

    def poll(self) -> int | None:
        """Return its exit code once it has ended and nothing of its group is left, None while it runs."""
        code = self._popen.poll()
        if code is not None:
            self._end_group()
        return code

    def stop(self, patience: float) -> None:
        """Ask the whole group to end, wait some seconds, then kill what is left."""
        self.ask_to_stop()
        self.wait(patience)

    def ask_to_stop(self) -> None:
        """Send SIGTERM to the whole group."""
        self._signal(signal.SIGTERM)

    def wait(self, patience: float) -> None:
        """Wait some seconds for the end, then kill the whole group."""
        with suppress(subprocess.TimeoutExpired):
            self._popen.wait(max(0.0, patience))
        if self._popen.poll() is None:
            self._signal(signal.SIGKILL)
            self._popen.wait()
        self._end_group()

    def kill(self) -> None:
        """Send SIGKILL to the leader alone, as the kernel does when memory runs out."""
        self._popen.kill()

    def written(self) -> str:
        """Return what this process wrote to its log, of a long log the last 100 kB."""
        with self.service.log.open("rb") as log:
            log.seek(max(self._log_begin, self.service.log.stat().st_size - 100_000))
            return log.read().decode(errors="replace")

    def _end_group(self) -> None:
        """Kill what the leader left behind, the processes of runs first of all, and wait until it is gone.

        A code server that starts anew denies having the runs of the one before: that must be true by then.
        """
        deadline = time.monotonic() + GROUP_END_SECONDS
        while self._signal(signal.SIGKILL) and time.monotonic() < deadline:
            reap_group(self.pid)
            time.sleep(0.02)
        self._guardian.gone(self.pid)

    def _signal(self, number: int) -> bool:
        try:
            os.killpg(self.pid, number)
        except (ProcessLookupError, PermissionError):  # macOS: EPERM when only zombies are left
            return False
        return True
