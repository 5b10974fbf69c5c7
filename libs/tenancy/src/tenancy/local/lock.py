"""One launcher per clone."""

import fcntl
import os
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from tenancy.local.errors import LocalPlatformError

PATIENCE_SECONDS = 3.0
"""How long the guardian of a launcher that was killed may still be clearing up."""


@contextmanager
def only_launcher(path: Path) -> Generator[int]:
    """Hold the clone's lock and yield its file descriptor.

    A child that inherits the descriptor keeps the lock beyond this process: the guardian does, so that the next
    launcher waits until the last one's processes are gone.

    Raises:
        LocalPlatformError: another launcher runs; names its process.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not _take(descriptor):
            if time.monotonic() > deadline:
                holder = os.pread(descriptor, 100, 0).decode().strip()
                raise LocalPlatformError(
                    f"The local platform of this clone is already running (process {holder}, lock {path}): "
                    "stop it first with Ctrl-C in its terminal."
                )
            time.sleep(0.1)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        yield descriptor
    finally:
        os.close(descriptor)


def _take(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
