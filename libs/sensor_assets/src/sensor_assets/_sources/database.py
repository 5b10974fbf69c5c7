"""A database that a source reads: connecting, bounds on its patience, and what is said when it fails."""

import os
import socket
import warnings
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from threading import Event, Timer
from typing import Any

from sqlalchemy import Connection, Executable, Row, create_engine, event, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, SAWarning, SQLAlchemyError

from sensor_assets.errors import DefinitionError, SourceError

CONNECT_SECONDS = 5

# What a table that somebody holds locked may cost (milliseconds).
LOCK_TIMEOUT = 5000

# The least that a statement is given (seconds).
LEAST_SECONDS = 1.0

Remaining = Callable[[], float]


class Session:
    """A connection in one transaction; each statement answers within the time that remains, or fails."""

    def __init__(self, connection: Connection, remaining: Remaining) -> None:
        self.connection = connection
        self.remaining = remaining

    @property
    def known(self) -> dict[Any, Any]:
        """What is remembered as long as the connection lives."""
        return self.connection.connection.record_info or {}

    def all(self, statement: Executable) -> Sequence[Row[Any]]:
        """Execute a statement and return its rows."""
        with self._bounded():
            return self.connection.execute(statement).all()

    def pages(self, statement: Executable, size: int) -> Iterator[Sequence[Row[Any]]]:
        """Execute a statement and yield its rows by so many, of which the client holds no more."""
        with self._bounded():
            result = self.connection.execute(statement, execution_options={"stream_results": True})
        with result:
            while True:
                with self._bounded():
                    rows = result.fetchmany(size)
                if not rows:
                    return
                yield rows

    @contextmanager
    def _bounded(self) -> Generator[None]:
        with cut_after(max(self.remaining(), LEAST_SECONDS), self.connection):
            yield


class Database:
    """A database by URL, with at most two connections, which are opened on demand.

    Args:
        where: Begins every message, such as ``source 'orders'``.
        url: SQLAlchemy URL.
        mask: Takes secrets out of a message.

    Raises:
        DefinitionError: The URL is none, or its driver is not installed.
    """

    def __init__(self, where: str, url: str, mask: Callable[[str], str]) -> None:
        self._where = where
        self._mask = mask
        try:
            parsed = make_url(url)
            if parsed.drivername in {"postgresql", "postgres"}:
                parsed = parsed.set(drivername="postgresql+psycopg")
            self.kind = parsed.get_backend_name()
            self.shown = mask(parsed.render_as_string(hide_password=True))
            self.engine = create_engine(
                parsed, pool_size=1, max_overflow=1, connect_args=_bounds(self.kind, parsed.get_driver_name())
            )
        except (ArgumentError, NoSuchModuleError, ModuleNotFoundError, TypeError) as error:
            raise DefinitionError(mask(f"{where}: url cannot be used: {error}")) from None
        if self.kind == "sqlite":
            event.listen(self.engine, "connect", _leave_transactions_alone)
            event.listen(self.engine, "begin", lambda connection: connection.exec_driver_sql("begin"))

    def close(self) -> None:
        """Close the connections that nobody uses; the next use opens new ones."""
        self.engine.dispose()

    @contextmanager
    def session(self, remaining: Remaining) -> Generator[Session]:
        """Open a session in a transaction that sees one snapshot, where the database has such.

        Raises:
            SourceError: The database cannot be reached, does not answer in time, or refuses a statement.
        """
        try:
            with self._connected(remaining) as connection:
                yield Session(connection, remaining)
        except _CutError as error:
            raise self.failed(f"it did not answer within {error.seconds:.0f} s") from error
        except SQLAlchemyError as error:
            raise self.failed(str(getattr(error, "orig", None) or error).strip()) from error

    def failed(self, reason: str) -> SourceError:
        """Return the error for a reason, without secrets."""
        return SourceError(self._mask(f"{self._where} cannot read {self.shown}: {reason}"))

    def _connected(self, remaining: Remaining) -> Connection:
        """Return a connection that answers: one that broke while idle is replaced, not surfaced."""
        connection = self._transaction()
        info = connection.connection.record_info
        if info is not None and info.setdefault("sensor_assets/used", False):
            try:
                with cut_after(max(min(remaining() / 2, CONNECT_SECONDS), LEAST_SECONDS), connection):
                    connection.execute(text("select 1"))
            except (DBAPIError, _CutError):
                connection.invalidate()
                connection.close()
                connection = self._transaction()
                info = connection.connection.record_info
        if info is not None:
            info["sensor_assets/used"] = True
        return connection

    def _transaction(self) -> Connection:
        connection = self.engine.connect()
        # Elsewhere the default: MySQL's is the same, others have to be told to keep snapshots at all.
        return (
            connection.execution_options(isolation_level="REPEATABLE READ") if self.kind == "postgresql" else connection
        )


class _CutError(Exception):
    def __init__(self, seconds: float) -> None:
        super().__init__(seconds)
        self.seconds = seconds


@contextmanager
def cut_after(seconds: float, connection: Connection) -> Generator[None]:
    """Cut the connection when a block takes longer.

    Postgres' own limits need a server that still answers. A client that waits for one that is silent, behind a proxy
    that is not, waits for ever; when its socket is shut down it gets an error.
    """
    raw: Any = connection.connection.dbapi_connection
    if not hasattr(raw, "fileno"):
        yield
        return
    # A descriptor of its own: the number of the connection's could belong to another file by then.
    wire = socket.socket(fileno=os.dup(raw.fileno()))
    over = Event()

    def cut() -> None:
        over.set()
        with suppress(OSError):
            wire.shutdown(socket.SHUT_RDWR)

    timer = Timer(seconds, cut)
    timer.daemon = True
    timer.start()
    try:
        yield
    except DBAPIError as error:
        if over.is_set():
            raise _CutError(seconds) from error
        raise
    finally:
        timer.cancel()
        timer.join()
        wire.close()


@contextmanager
def unknown_types() -> Generator[None]:
    """Let reflection pass over columns whose type SQLAlchemy does not know; they matter only if they are named."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SAWarning)
        yield


def _bounds(kind: str, driver: str) -> dict[str, Any]:
    if kind == "postgresql":
        return {"connect_timeout": CONNECT_SECONDS, "options": f"-c lock_timeout={LOCK_TIMEOUT}"}
    if kind in {"mysql", "mariadb"} and driver in {"pymysql", "mysqldb"}:
        return {"connect_timeout": CONNECT_SECONDS, "read_timeout": 20, "write_timeout": 20}
    return {}


def _leave_transactions_alone(connection: Any, _: Any) -> None:
    # sqlite3 begins no transaction for a SELECT, so that each would see another state.
    # https://docs.sqlalchemy.org/en/20/dialects/sqlite.html#pysqlite-serializable
    connection.isolation_level = None
