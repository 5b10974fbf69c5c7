"""Something that is done again and again beside Dagster's own work."""

import logging
from collections.abc import Callable, Generator
from contextlib import contextmanager
from threading import Event, Thread

STOP_SECONDS = 2.0

logger = logging.getLogger("tenancy.cluster")


@contextmanager
def repeating(action: Callable[[], object], seconds: float, *, failed: str) -> Generator[None]:
    """Call an action again and again in a thread; whatever goes wrong there is logged, and nothing else suffers.

    Args:
        action: what to call.
        seconds: between the end of a call and the next one, and before the first.
        failed: what is then not done, for the log.
    """
    over = Event()

    def again() -> None:
        while not over.wait(seconds):
            try:
                action()
            except Exception:
                if not over.is_set():  # what it works with may be closed by then
                    logger.exception("%s; trying again", failed)

    thread = Thread(target=again, name=failed, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(STOP_SECONDS)
