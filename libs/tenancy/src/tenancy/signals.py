"""Ctrl-C, SIGTERM and a closed terminal all mean the same: clear up and end."""

import signal
from collections.abc import Generator
from contextlib import contextmanager
from types import FrameType

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def ending_signals_interrupt() -> Generator[None]:
    """Raise KeyboardInterrupt on the first ending signal, and let nothing disturb the clearing up after it."""

    def interrupt(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
        for other in ENDING:
            signal.signal(other, signal.SIG_IGN)
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in ENDING}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
