"""A file that changes while we run: mounted from a ConfigMap, rewritten by a deployment."""

import logging
import os
from collections.abc import Callable
from pathlib import Path
from threading import Lock
from typing import Generic, TypeVar

from tenancy.cluster.errors import ControlPlaneError, one_line

T = TypeVar("T")

logger = logging.getLogger("tenancy.cluster")


class LastGood(Generic[T]):
    """The newest content of a file that could be read; what cannot be read is told once and changes nothing.

    Args:
        path: the file.
        read: makes the value of the file's text; raises ValueError with what is wrong.

    Raises:
        ControlPlaneError: when it is made, the file is not there or cannot be read: there is no earlier content.
    """

    def __init__(self, path: Path, read: Callable[[str], T]) -> None:
        self._path = path
        self._read = read
        self._lock = Lock()
        self._told = ""
        try:
            self._seen = _identity(path)
            self._value = read(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ControlPlaneError(f"{path} cannot be used: {_said(error)}") from error

    def get(self) -> T:
        """Return the value, after a look at whether the file has changed: the same object while it has not."""
        with self._lock:
            try:
                now = _identity(self._path)
                if now != self._seen:
                    self._value = self._read(self._path.read_text(encoding="utf-8"))
                    logger.info("%s has changed and is in use", self._path)
                    self._told = ""
                    self._seen = now
            except (OSError, ValueError) as error:
                self._tell(_said(error))
            return self._value

    def _tell(self, trouble: str) -> None:
        if trouble != self._told:
            self._told = trouble
            logger.error("%s cannot be used, its last good content stays in use: %s", self._path, trouble)


def _said(error: OSError | ValueError) -> str:
    return one_line(error.strerror if isinstance(error, OSError) else error)


def _identity(path: Path) -> tuple[int, int, int]:
    """Return what differs after every write: a ConfigMap's update puts another inode behind the path."""
    status = os.stat(path)
    return status.st_ino, status.st_mtime_ns, status.st_size
