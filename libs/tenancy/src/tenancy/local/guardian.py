"""The launcher's side of `guard.py`."""

import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

GUARD = Path(__file__).with_name("guard.py")


class Guardian:
    """A process that ends every announced process group when this one is killed.

    Args:
        keep: file descriptors that the guardian holds open as long as it lives (the clone's lock).
    """

    def __init__(self, *, keep: tuple[int, ...] = ()) -> None:
        reading, self._writing = os.pipe()
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", str(GUARD), str(reading)],
                pass_fds=(reading, *keep),
                stdin=subprocess.DEVNULL,
                start_new_session=True,
                cwd="/",
            )
        finally:
            os.close(reading)

    @property
    def descriptor(self) -> int:
        """The pipe's writing end, for `child.py --announce`."""
        return self._writing

    def gone(self, pid: int) -> None:
        """Say that a process group has ended, before its number can be used again."""
        self._tell(f"gone {pid}")

    def close(self) -> None:
        """Have the guardian end what an interrupted start may have left, and wait for it."""
        self._tell("done")
        os.close(self._writing)
        self._process.wait()

    def _tell(self, line: str) -> None:
        with suppress(BrokenPipeError):  # somebody killed the guardian: nothing is left to be told
            os.write(self._writing, f"{line}\n".encode())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
