"""Rows of a table, by a column that grows with every change and a horizon below which nothing can still appear."""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any, Unpack

from sqlalchemy import Column, Connection, MetaData, Table, and_, create_engine, func, or_, select, text
from sqlalchemy.engine import Engine, make_url
from sqlalchemy.exc import NoSuchTableError, SQLAlchemyError

from sensor_assets._batching import seconds
from sensor_assets._items import Item
from sensor_assets._settings import Settings
from sensor_assets._sources.base import CommonOptions, Page, ScanContext, Source, SourceClient
from sensor_assets.errors import DefinitionError, SourceError

PAGE_ROWS = 1000

# Every transaction below xmin has ended: its rows are visible or never will be.
# https://www.postgresql.org/docs/current/functions-info.html#FUNCTIONS-INFO-SNAPSHOT
_XMIN = text("select pg_snapshot_xmin(pg_current_snapshot())::text::bigint")


class TableSource(Source):
    """Follow the rows of a table; an item is one version of one row.

    Args:
        name: Name of the source, unique within the team.
        url: SQLAlchemy URL of the database, Postgres or with `lag` another that has REPEATABLE READ; may hold
            ``{setting}``s.
        table: Table, or ``schema.table``.
        key: Column that identifies a row.
        version: Column that changes with every change of the row: with `lag` a time; else, on Postgres, a bigint that
            a trigger sets to ``pg_current_xact_id()::text::bigint``.
        lag: For a time column: the longest that a transaction may take from setting the time to its commit. Rows
            younger than this wait.
        common: See `Common`.

    With transaction ids rows are read up to the oldest transaction that is still open, so rows that commit late and out
    of order are neither skipped nor guessed about. Deleted rows are not seen.
    """

    kind = "table"

    def __init__(
        self,
        name: str,
        *,
        url: str,
        table: str,
        key: str,
        version: str,
        lag: timedelta | float | None = None,
        **common: Unpack[CommonOptions],
    ) -> None:
        super().__init__(name, **common)
        self.url = url
        self.table = table
        self.key = key
        self.version = version
        self.lag = None if lag is None else timedelta(seconds=seconds(lag))

    @property
    def gives_partition(self) -> bool:
        return False

    def open(self, settings: Settings) -> "TableClient":
        return TableClient(self, settings.fill(self.url, f"source '{self.name}', url"))

    def describe(self, settings: Settings) -> dict[str, Any]:  # noqa: ARG002 - the URL may hold a password
        return {"table": self.table, "key column": self.key, "version column": self.version}


class TableClient(SourceClient):
    """Reads by keyset, within one snapshot a scan; position is the horizon up to which everything is recorded."""

    def __init__(self, source: TableSource, url: str) -> None:
        self._source = source
        parsed = make_url(url)
        if parsed.drivername in {"postgresql", "postgres"}:
            parsed = parsed.set(drivername="postgresql+psycopg")
        postgres = parsed.get_backend_name() == "postgresql"
        if source.lag is None and not postgres:
            raise DefinitionError(
                f"source '{source.name}': only Postgres has transaction ids; give lag= and a time column"
            )
        self._shown = parsed.render_as_string(hide_password=True)
        # A table that somebody holds locked, or a silent server, must not take the time of the other sources.
        bounds = {"connect_timeout": 5, "options": "-c lock_timeout=5000 -c statement_timeout=20000"}
        self._engine: Engine = create_engine(
            parsed, pool_size=1, max_overflow=1, pool_pre_ping=True, connect_args=bounds if postgres else {}
        )

    def close(self) -> None:
        self._engine.dispose()

    @cached_property
    def _table(self) -> Table:
        schema, _, name = self._source.table.rpartition(".")
        try:
            return Table(name, MetaData(), schema=schema or None, autoload_with=self._engine)
        except NoSuchTableError as error:
            raise self._failed(f"there is no table '{self._source.table}'") from error

    def _failed(self, reason: str) -> SourceError:
        return SourceError(f"source '{self._source.name}' cannot read {self._shown}: {reason}")

    def _column(self, name: str) -> Column[Any]:
        if name not in self._table.columns:
            known = ", ".join(column.name for column in self._table.columns)
            raise self._failed(f"table '{self._source.table}' has no column '{name}', it has {known}")
        return self._table.columns[name]

    def scan(self, context: ScanContext) -> Iterator[Page]:
        try:
            with self._engine.connect().execution_options(isolation_level="REPEATABLE READ") as connection:
                yield from self._scan(connection, (context.position or {}).get("horizon"))
        except SQLAlchemyError as error:
            raise self._failed(str(getattr(error, "orig", None) or error).strip()) from error

    def _scan(self, connection: Connection, start: Any) -> Iterator[Page]:
        key, version = self._column(self._source.key), self._column(self._source.version)
        horizon = self._horizon(connection)
        last: tuple[Any, Any] | None = None
        while True:
            query = select(key, version).where(version < horizon).order_by(version, key).limit(PAGE_ROWS)
            if last is not None:
                query = query.where(or_(version > last[0], and_(version == last[0], key > last[1])))
            elif start is not None:
                query = query.where(version >= self._resume(start))
            rows = connection.execute(query).all()
            items = [Item(key=str(row[0]), version=_text(row[1]), source=self._source.name) for row in rows]
            if len(rows) < PAGE_ROWS:
                # With a time column the horizon itself lags behind, so what commits late lies above it.
                yield Page(items=items, position={"horizon": _text(horizon)})
                return
            # Below the horizon nothing can appear any more, so a scan that stops here goes on from the last version.
            last = (rows[-1][1], rows[-1][0])
            yield Page(items=items, position={"horizon": _text(last[0])})

    def _horizon(self, connection: Connection) -> Any:
        if self._source.lag is None:
            return connection.execute(_XMIN).scalar_one()
        return connection.execute(select(func.now())).scalar_one() - self._source.lag

    def _resume(self, start: str) -> Any:
        return int(start) if self._source.lag is None else datetime.fromisoformat(start)

    def rows(self, items: Sequence[Item]) -> list[dict[str, Any]]:
        recorded = {item.key: item.version for item in items}
        try:
            key, version = self._column(self._source.key), self._column(self._source.version)
            convert = key.type.python_type
            keys = list(recorded)
            with self._engine.connect() as connection:
                return [
                    {str(name): value for name, value in row.items()}
                    for first in range(0, len(keys), PAGE_ROWS)
                    for row in connection.execute(
                        select(self._table).where(key.in_([convert(text) for text in keys[first : first + PAGE_ROWS]]))
                    ).mappings()
                    if _text(row[version]) == recorded[str(row[key])]
                ]
        except SQLAlchemyError as error:
            raise self._failed(str(getattr(error, "orig", None) or error).strip()) from error


def _text(value: Any) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)
