"""A pooled SQLAlchemy engine whose connections are known to live when they are handed out.

Looking whether a connection lives costs one system call: a server that went down, or that ended the session, has closed
the socket or left a message in it, while an idle connection has nothing to read. What leaves no trace on this side
(a host that vanished, a firewall that forgot the connection) is found by a real ping, sent only after some idle
seconds; `tcp_user_timeout` ends that ping when nobody answers.
"""

import select
import time
from typing import Any

import sqlalchemy
from sqlalchemy import event
from sqlalchemy.engine import Engine
from sqlalchemy.exc import InvalidatePoolError

from lean_postgres._dagster import PgTokenProvider, create_pg_engine, set_pg_statement_timeout

PING_AFTER_SECONDS = 5.0
"""How long a connection may have been idle before it is asked, and not only looked at."""

RECYCLE_SECONDS = 3600
"""Age at which a connection is replaced; the same as the webserver's default."""

UNLIMITED = -1
"""Beyond the pool a connection is opened for one use, as stock does for every use. A limit would make a thread that
holds one connection and wants a second wait for ever, and Dagster has such threads."""

TCP_DEFAULTS = {"keepalives_idle": 30, "tcp_user_timeout": 10_000}
"""libpq's settings of a TCP connection that waits at most 10 s for an acknowledgement (milliseconds for the second)."""

_IDLE_SINCE = "idle_since"


def pooled_engine(
    url: str,
    token_provider: PgTokenProvider | None,
    *,
    size: int,
    max_overflow: int = UNLIMITED,
    recycle: int = RECYCLE_SECONDS,
    statement_timeout: int | None = None,
) -> Engine:
    """Return an engine in autocommit mode, as stock's, that keeps connections.

    Args:
        url: of the database; parameters of libpq in it win over those set here.
        token_provider: gives the password of each new connection, instead of the URL.
        size: connections to keep.
        max_overflow: connections to open beyond that for one use each, -1 for as many as are asked for.
        recycle: seconds after which a connection is replaced when it is next handed out.
        statement_timeout: milliseconds after which the server cancels a statement.
    """
    given = sqlalchemy.make_url(url).query
    engine = create_pg_engine(
        url,
        token_provider,
        isolation_level="AUTOCOMMIT",
        pool_size=size,
        max_overflow=max_overflow,
        pool_recycle=recycle,
        pool_use_lifo=True,  # what a burst opened falls idle instead of being kept warm in turn
        connect_args={name: value for name, value in TCP_DEFAULTS.items() if name not in given},
    )
    event.listen(engine, "checkin", _note_time)
    event.listen(engine, "checkout", lambda connection, record, _: _require_life(engine, connection, record))
    if statement_timeout is not None:
        event.listen(engine, "connect", lambda connection, _: set_pg_statement_timeout(connection, statement_timeout))
    return engine


def _note_time(_connection: Any, record: Any) -> None:
    record.info[_IDLE_SINCE] = time.monotonic()


def _require_life(engine: Engine, connection: Any, record: Any) -> None:
    """Let the pool replace a dead connection, and all older ones with it.

    Raises:
        InvalidatePoolError: the connection is dead; the pool takes it as the request for a new one.
    """
    idle_since = record.info.get(_IDLE_SINCE)
    if idle_since is None:
        return
    if _has_something_to_read(connection) or time.monotonic() - idle_since > PING_AFTER_SECONDS:
        try:
            engine.dialect.do_ping(connection)
        except engine.dialect.loaded_dbapi.Error as error:
            raise InvalidatePoolError("the server has closed the connection") from error


def _has_something_to_read(connection: Any) -> bool:
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    return bool(poll.poll(0))
