"""Faults at a chosen message between a process and Postgres: the process dies, or the server restarts under it.

A fault is a file named after the process, which holds what is to happen and after how many messages. The process takes
the file away in the moment in which it happens; whoever takes it away earlier calls the fault off.
"""

import os
import signal
import time
from collections.abc import Generator
from pathlib import Path
from threading import Lock
from typing import Any

import psycopg
from sqlalchemy import event
from sqlalchemy.engine import Engine

RESTART = "restart"
"""The file that asks for a restart of the server; it is taken away when the server is up again."""


class Faults:
    """Counts this process's messages to any Postgres as long as a fault waits for it."""

    def __init__(self, directory: Path, process: str) -> None:
        self._file = directory / process
        self._restart = directory / RESTART
        self._left: int | None = None
        self._what = ""
        self._lock = Lock()

    def message(self, *_: Any) -> None:
        """Note a message, and let happen what is to happen with it."""
        with self._lock:
            try:
                if self._left is None:
                    self._what, number = self._file.read_text().split()
                    self._left = int(number)
                self._left -= 1
                if self._left > 0 and self._file.exists():
                    return
                self._left = None
                self._file.unlink()
            except FileNotFoundError:
                self._left = None
                return
        if self._what == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        self._restart.touch()
        while self._restart.exists():
            time.sleep(0.01)


def expose(directory: Path, process: str) -> None:
    """Let faults reach this process: the ledger's messages (psycopg) and those of Dagster's storage (SQLAlchemy)."""
    wait = psycopg.Connection.wait
    if hasattr(wait, "faults"):
        return
    faults = Faults(directory, process)

    def counting(self: Any, generator: Generator[Any, Any, Any], *arguments: Any, **named: Any) -> Any:
        result = wait(self, generator, *arguments, **named)
        faults.message()
        return result

    counting.faults = faults  # type: ignore[attr-defined]
    psycopg.Connection.wait = counting  # type: ignore[method-assign]
    event.listen(Engine, "after_cursor_execute", faults.message)
    event.listen(Engine, "commit", faults.message)
