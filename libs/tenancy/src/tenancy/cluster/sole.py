"""Exactly one daemon: whoever holds a lock in the instance's database works, all others wait.

Two daemons of one instance launch runs twice and delete each other's schedules. A Deployment cannot rule that out: a
node that is cut off runs its pod on while another starts. The database is what both would write to, so it decides.

The session that holds the lock must be the daemon's own from end to end: a pooler in transaction mode will not do.
"""

import logging
import os
import select
from collections.abc import Callable, Generator
from contextlib import contextmanager
from threading import Event, Thread
from time import monotonic

import psycopg

from tenancy.cluster.connecting import connect
from tenancy.cluster.environment import Login, Server
from tenancy.cluster.errors import one_line

LOCK = 0x74656E616E6379  # "tenancy"
ASK_SECONDS = 2.0
TELL_SECONDS = 30.0
CONNECT_SECONDS = 300.0

# Postgres lets go of a session whose client is silent: a node that is cut off keeps the lock for 25 s. Its daemon has
# noticed by then, and ended: a question is answered within 15 s, or the session is over.
OF_THE_SERVER = "set tcp_keepalives_idle = 10; set tcp_keepalives_interval = 5; set tcp_keepalives_count = 3"
OF_THE_CLIENT = {"keepalives_idle": 5, "keepalives_interval": 5, "keepalives_count": 2, "tcp_user_timeout": 15_000}

logger = logging.getLogger("tenancy.cluster")


def _end_process() -> None:
    # Not sys.exit: threads of the daemon would go on until they end by themselves.
    os._exit(1)


@contextmanager
def sole(
    server: Server, database: str, login: Login, *, key: str, lost: Callable[[], None] = _end_process
) -> Generator[None]:
    """Wait for the lock and hold it.

    Args:
        server: the Postgres server.
        database: that of the instance.
        login: that of the daemon.
        key: key of the values that leads to the login, for messages.
        lost: called as soon as the session that holds the lock is gone; ends the process, unless a test says otherwise.

    Raises:
        ControlPlaneError: the database cannot be reached for five minutes.
    """
    over = Event()
    with connect(
        server,
        database,
        login,
        key=key,
        application="tenancy daemon",
        seconds=CONNECT_SECONDS,
        settings=OF_THE_CLIENT,
    ) as session:
        session.execute(OF_THE_SERVER)
        _wait_for_lock(session)
        thread = Thread(target=_watch, args=(session, over, lost), name="lock", daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join(ASK_SECONDS)


def _wait_for_lock(session: psycopg.Connection) -> None:
    told = -TELL_SECONDS
    while True:
        row = session.execute("select pg_try_advisory_lock(%s)", [LOCK]).fetchone()
        if row and row[0]:
            return
        if monotonic() - told > TELL_SECONDS:
            told = monotonic()
            logger.warning("another daemon works over this database; waiting until it ends")
        Event().wait(ASK_SECONDS)


def _watch(session: psycopg.Connection, over: Event, lost: Callable[[], None]) -> None:
    """Ask again and again; a session that the server ends has something to read at once."""
    while not over.is_set():
        try:
            select.select([session.pgconn.socket], [], [], ASK_SECONDS)
            session.execute("select 1")
        except (psycopg.Error, OSError, ValueError) as error:
            if not over.is_set():
                logger.critical("the daemon's lock is gone, another may begin: %s", one_line(error))
                lost()
            return
