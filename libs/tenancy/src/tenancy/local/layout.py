"""Where the local platform keeps what it writes."""

import hashlib
import os
import stat
from dataclasses import dataclass
from pathlib import Path

from tenancy.local.errors import LocalPlatformError
from tenancy.local.postgres import SOCKET_NAME, SOCKET_PATH_BYTES

LONGEST_SOCKET_NAME = 50
"""Bytes that a file name in the sockets directory may have: a location's name and ".sock"."""


@dataclass(frozen=True)
class Layout:
    """Paths of one clone and one state directory (`.local`, or `.local/demo`), all absolute."""

    root: Path
    state: Path

    @property
    def lock(self) -> Path:
        """Held by the one launcher of this clone, whatever state directory it uses."""
        return self.root / ".local" / "lock"

    @property
    def postgres_data(self) -> Path:
        """Data directory of Postgres."""
        return self.state / "postgres"

    @property
    def postgres_socket(self) -> Path:
        """Directory of Postgres' socket."""
        return _socket_directory(self.state, "postgres-socket", len(SOCKET_NAME))

    @property
    def sockets(self) -> Path:
        """Directory of the code servers' sockets."""
        return _socket_directory(self.state, "sockets", LONGEST_SOCKET_NAME)

    def socket(self, location: str) -> Path:
        """Socket of a location's code server."""
        return self.sockets / f"{location}.sock"

    @property
    def logs(self) -> Path:
        """Log files, one for each process."""
        return self.state / "logs"

    @property
    def dagster_home(self) -> Path:
        """DAGSTER_HOME of the platform's own processes."""
        return self.state / "dagster"

    @property
    def development_home(self) -> Path:
        """DAGSTER_HOME of `dg dev` in a location's folder: the same storage, without what only one daemon may do."""
        return self.state / "dagster-dev"

    @property
    def store(self) -> Path:
        """What stands for the object store: `landing` is filled by outside systems, `lake` by assets."""
        return self.state / "store"

    @property
    def workspace(self) -> Path:
        """Workspace of the running webserver and daemon: the locations that were started."""
        return self.state / "workspace.yaml"

    def log(self, process: str) -> Path:
        """Log file of a process."""
        return self.logs / f"{process}.log"

    def make(self) -> None:
        """Make the directories that the processes expect."""
        for directory in (self.logs, self.dagster_home, self.development_home, self.store / "lake"):
            directory.mkdir(parents=True, exist_ok=True)
        (self.store / "landing").mkdir(exist_ok=True)
        self.sockets.mkdir(mode=0o700, exist_ok=True)


def _socket_directory(state: Path, name: str, longest: int) -> Path:
    """Return `state/name`, or a short stand-in when the paths of sockets in it would not fit into their limit."""
    inside = state / name
    if len(os.fsencode(inside)) + 1 + longest <= SOCKET_PATH_BYTES:
        return inside
    digest = hashlib.sha256(os.fsencode(state)).hexdigest()[:12]
    private = Path("/tmp") / f"tenancy-{os.geteuid()}-{digest}"  # noqa: S108 - checked by _make_private
    _make_private(private)
    return private / name


def _make_private(directory: Path) -> None:
    """Make a directory of this user's alone, and refuse one that somebody else put in its place."""
    directory.mkdir(mode=0o700, exist_ok=True)
    status = directory.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid() or status.st_mode & 0o077:
        raise LocalPlatformError(f"{directory} must be a directory of yours with mode 0700: remove it and start again.")
