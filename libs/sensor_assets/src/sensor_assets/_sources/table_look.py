"""A look at a database before a scan: is it the one that was read before, and how far may be read."""

from datetime import date, datetime, timedelta
from decimal import Decimal
from math import ceil
from typing import Any

from sqlalchemy import func, select, text
from sqlalchemy.exc import DBAPIError

from sensor_assets._sources import texts
from sensor_assets._sources.database import Database, Session
from sensor_assets._sources.table import TableSource
from sensor_assets._sources.table_position import Look
from sensor_assets._sources.table_shape import Shape, reflect

# The most that one statement may take (seconds), unless less remains.
MOST_STATEMENT_SECONDS = 60.0

# Every transaction below xmin has ended: its rows are visible or never will be.
# https://www.postgresql.org/docs/current/functions-info.html#FUNCTIONS-INFO-SNAPSHOT
# It is of the snapshot in which the rows are read, so of the same server, be it a replica.
_POSTGRES = text("""
select set_config('statement_timeout', :timeout, true), pg_snapshot_xmin(pg_current_snapshot())::text as xmin,
       to_regclass(:table)::oid::text || coalesce((
           select string_agg(' ' || a.attname || ':' || a.atttypid, '' order by a.attname) from pg_attribute a
           where a.attrelid = to_regclass(:table) and a.attname::text = any(:columns) and not a.attisdropped), '')
           as fingerprint
""")

# The timeline changes with every restore to a point in time and every failover.
_POSTGRES_SERVER = text("""
select (select system_identifier from pg_control_system())::text || '/' ||
       (select timeline_id from pg_control_checkpoint())::text
""")


class Looker:
    """Looks at a source's table; knows its columns as long as they stay the same."""

    def __init__(self, source: TableSource, database: Database) -> None:
        self._source = source
        self._database = database
        self._shape: Shape | None = None

    def forget(self) -> None:
        """Ask for the columns again at the next look."""
        self._shape = None

    def look(self, session: Session) -> tuple[Shape, Look]:
        """Return the table's columns, and what the database shows.

        Raises:
            SourceError: The table cannot be followed.
        """
        shape, xmin = self.shape(session)
        server = self._server(session)
        if self._source.mode == "transactions":
            return shape, Look(server=server, table=shape.fingerprint, until=xmin)
        newest = None
        if self._source.mode == "overlap" or server is None:
            newest = self._one(session, select(func.max(shape.version)))
        until = newest if self._source.mode == "overlap" else self._before(session, shape, self._source.lag or 0.0)
        return shape, Look(server=server, table=shape.fingerprint, until=_text(until), newest=_text(newest))

    def shape(self, session: Session) -> tuple[Shape, str | None]:
        """Return the table's columns; and of Postgres the oldest transaction that is still open."""
        fingerprint: str | None = None
        xmin: str | None = None
        if self._database.kind == "postgresql":
            seconds = max(min(session.remaining() - 0.5, MOST_STATEMENT_SECONDS), 1.0)
            used = [
                *self._source.key,
                self._source.version,
                *([self._source.partition] if self._source.partition else []),
            ]
            asked = {"timeout": f"{seconds * 1000:.0f}", "table": self._quoted(), "columns": used}
            _, xmin, fingerprint = session.all(_POSTGRES.bindparams(**asked))[0]
            if fingerprint is None:
                raise self._database.failed(f"there is no table '{self._source.table}'")
        if self._shape is None or (fingerprint is not None and self._shape.fingerprint != fingerprint):
            self._shape = reflect(session, self._database, self._source, fingerprint)
        return self._shape, xmin

    def _quoted(self) -> str:
        quote = self._database.engine.dialect.identifier_preparer.quote
        schema, _, name = self._source.table.rpartition(".")
        return f"{quote(schema)}.{quote(name)}" if schema else quote(name)

    def _server(self, session: Session) -> str | None:
        """Return the history that the server's data belong to, where it tells; it is that of the connection."""
        if self._database.kind != "postgresql":
            return None
        if "sensor_assets/server" not in session.known:
            try:
                with session.connection.begin_nested():
                    session.known["sensor_assets/server"] = self._one(session, _POSTGRES_SERVER)
            except DBAPIError:
                session.known["sensor_assets/server"] = None  # some managed databases forbid it
        return session.known["sensor_assets/server"]

    def _before(self, session: Session, shape: Shape, seconds: float) -> Any:
        """Return the time so many seconds ago, by the database's clock and as its column has it."""
        lag = timedelta(seconds=seconds)
        if self._database.kind == "sqlite":
            now = datetime.fromisoformat(self._one(session, text("select datetime('now')")))
            return str(now - lag) if shape.kinds[0] is str else now - lag
        naive = self._database.kind == "postgresql" and not getattr(shape.version.type, "timezone", False)
        now = self._one(session, select(func.localtimestamp() if naive else func.now()))
        return (now - lag).date() if shape.kinds[0] is date else now - lag

    @staticmethod
    def _one(session: Session, statement: Any) -> Any:
        return session.all(statement)[0][0]


def below(version: Any, difference: float) -> Any:
    """Return the version that lies so far below another one: seconds below a time, a number below a number."""
    match version:
        case datetime():
            return version - timedelta(seconds=difference)
        case date():
            return version - timedelta(days=ceil(difference / 86400))
        case str():  # a time, as SQLite stores it; without a fraction it comes first in its second
            moment = datetime.fromisoformat(version) - timedelta(seconds=difference)
            return moment.isoformat(sep=version[10:11] or " ", timespec="seconds")[: max(len(version), 10)]
        case Decimal():
            return version - Decimal(str(difference))
        case int():
            return version - ceil(difference)
        case _:
            return version - difference


def _text(value: Any) -> str | None:
    return None if value is None else texts.write(value)
