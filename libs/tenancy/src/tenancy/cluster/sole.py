"""Exactly one daemon: whoever holds a lock in the instance's database works, all others wait.

Two daemons of one instance launch runs twice and delete each other's schedules. A Deployment cannot rule that out: a
node that is cut off runs its pod on while another starts. The database is what both would write to, so it decides.
"""

import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event, Thread
from time import monotonic

import psycopg

LOCK = 0x74656E616E6379  # "tenancy"
ASK_SECONDS = 2.0
TELL_SECONDS = 30.0

logger = logging.getLogger("tenancy.cluster")


def _lost() -> None:
    # Not sys.exit: threads of the daemon would go on until they end by themselves.
    os._exit(1)


@contextmanager
def sole(url: str, *, lost: Callable[[], None] = _lost) -> Iterator[None]:
    """Wait for the lock and hold it; `lost` is called at once when the session that holds it is gone.

    Args:
        url: the instance's database.
        lost: ends the process, unless a test says otherwise.

    Raises:
        psycopg.Error: the database cannot be reached at the beginning.
    """
    over = Event()
    # Postgres lets go of a session whose client is silent: a node that is cut off keeps the lock for half a minute.
    options = {"keepalives_idle": 5, "keepalives_interval": 5, "keepalives_count": 3, "tcp_user_timeout": 20_000}
    with psycopg.connect(url, autocommit=True, application_name="tenancy daemon lock", **options) as session:
        session.execute("set tcp_keepalives_idle = 10; set tcp_keepalives_interval = 5; set tcp_keepalives_count = 3")
        _wait_for_lock(session)

        def watch() -> None:
            while not over.wait(ASK_SECONDS):
                try:
                    session.execute("select 1")
                except psycopg.Error as error:
                    if not over.is_set():
                        logger.critical("the daemon's lock is gone, another may begin: %s", error)
                        lost()
                    return

        thread = Thread(target=watch, name="lock", daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()


def _wait_for_lock(session: psycopg.Connection) -> None:
    told = 0.0
    while True:
        row = session.execute("select pg_try_advisory_lock(%s)", [LOCK]).fetchone()
        if row and row[0]:
            return
        if monotonic() - told > TELL_SECONDS:
            told = monotonic()
            logger.warning("another daemon works over this database; waiting until it ends")
        Event().wait(ASK_SECONDS)
