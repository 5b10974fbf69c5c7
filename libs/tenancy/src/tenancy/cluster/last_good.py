"""A file that changes while we run: mounted from a ConfigMap, rewritten by a deployment."""

import logging
import os
from collections.abc import Callable
from pathlib import Path
from threading import Lock
from typing import Generic, TypeVar

T = TypeVar("T")

logger = logging.getLogger("tenancy.cluster")


class LastGood(Generic[T]):
    """The newest content of a file that could be read; what cannot be read is told once and changes nothing.

    Args:
        path: the file.
        read: makes the value of the file's text; raises ValueError with what is wrong.

    Raises:
        OSError: when it is made, the file is not there.
        ValueError: when it is made, the file cannot be read. There is no earlier content to keep to.
    """

    def __init__(self, path: Path, read: Callable[[str], T]) -> None:
        self._path = path
        self._read = read
        self._lock = Lock()
        self._seen = _identity(path)
        self._value = read(path.read_text(encoding="utf-8"))

    def get(self) -> T:
        """Return the value, after a look at whether the file has changed."""
        with self._lock:
            try:
                if (now := _identity(self._path)) != self._seen:
                    self._seen = now
                    self._value = self._read(self._path.read_text(encoding="utf-8"))
                    logger.info("%s has changed and is in use", self._path)
            except (OSError, ValueError) as error:
                logger.error("%s cannot be used, its last good content stays: %s", self._path, error)
            return self._value


def _identity(path: Path) -> tuple[int, int, int]:
    """Return what differs after every write: a ConfigMap's update puts another inode behind the path."""
    status = os.stat(path)
    return status.st_ino, status.st_mtime_ns, status.st_size
