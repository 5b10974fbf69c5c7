"""Rows of a table, by a column that grows with every change and a horizon below which nothing can still appear."""

from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Unpack

from sensor_assets._batching import seconds
from sensor_assets._settings import Settings
from sensor_assets._sources.base import CommonOptions, Source
from sensor_assets._sources.database import Database
from sensor_assets._sources.table_position import Mode
from sensor_assets.errors import DefinitionError

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement

    from sensor_assets._sources.table_client import TableClient

# Seconds between two comparisons of all recorded keys with the table, with ``deletes=True``.
DELETES_EVERY = 3600.0


class TableSource(Source):
    """Follow the rows of a table or view; an item is one version of one row.

    Args:
        name: Name of the source, unique within the team.
        url: SQLAlchemy URL of the database; may hold ``{setting}``s. Other databases than Postgres need a driver that
            the location installs, and `lag` or `overlap`.
        table: Table, or ``schema.table``.
        key: Column, or columns, that identify a row. An item's key is the value, those of several joined by slashes.
        version: Column that changes with every change of the row. Without `lag` and `overlap`, on Postgres, a bigint
            that a trigger sets to ``pg_current_xact_id()::text::bigint``; else a time, or with `overlap` also a number
            that grows. An index on it and the key columns keeps scans cheap.
        lag: For a time: the longest that a transaction may take from setting it to its commit (seconds). Rows
            younger than this wait.
        overlap: The same for a database where rows need not wait: each scan reads again what lies this far (seconds, or
            for a number its difference) below the greatest version seen, and the ledger drops what it knows.
        deletes: Whether deleted rows are items as well, see `Item.deleted`: True for a look every hour, or seconds
            between two looks. A row that `where` no longer admits counts as deleted.
        partition: Column whose value is the item's partition: a date, a time, or any other partition key. A row should
            keep it for life: what has moved is processed where it went.
        where: Condition on the rows, as SQL or SQLAlchemy expression.
        columns: What `Batch.rows` returns, all unless told.
        common: See `Common`.

    With transaction ids rows are read up to the oldest transaction that is still open, so rows that commit late and out
    of order are neither skipped nor guessed about.

    Example:
        >>> TableSource(
        ...     "orders",
        ...     url="{shop_url}",
        ...     table="sales.orders",
        ...     key=("shop", "number"),
        ...     version="changed",
        ...     partition="day",
        ...     where="state <> 'draft'",
        ...     deletes=True,
        ... )
        TableSource('orders')
    """

    kind = "table"

    def __init__(
        self,
        name: str,
        *,
        url: str,
        table: str,
        key: str | Sequence[str],
        version: str,
        lag: timedelta | float | None = None,
        overlap: timedelta | float | None = None,
        deletes: bool | timedelta | float = False,
        partition: str | None = None,
        where: "str | ColumnElement[bool] | None" = None,
        columns: Sequence[str] | None = None,
        **common: Unpack[CommonOptions],
    ) -> None:
        super().__init__(name, **common)
        self.url = url
        self.table = table
        self.key = (key,) if isinstance(key, str) else tuple(key)
        self.version = version
        self.lag = None if lag is None else seconds(lag)
        self.overlap = None if overlap is None else seconds(overlap)
        self.deletes_every = _interval(deletes)
        self.partition = partition
        self.where = where
        self.columns = None if columns is None else tuple(columns)
        for argument, value in (("lag", self.lag), ("overlap", self.overlap), ("deletes", self.deletes_every)):
            if value is not None and value < 0:
                raise DefinitionError(f"source '{name}': {argument} must not be negative")
        if self.lag is not None and self.overlap is not None:
            raise DefinitionError(f"source '{name}': give lag= or overlap=, not both")
        if not self.key:
            raise DefinitionError(f"source '{name}': key must name a column")

    @property
    def mode(self) -> Mode:
        """How the source tells what is new."""
        return "overlap" if self.overlap is not None else "lag" if self.lag is not None else "transactions"

    @property
    def gives_partition(self) -> bool:
        return self.partition is not None

    def open(self, settings: Settings) -> "TableClient":
        from sensor_assets._sources.table_client import TableClient  # noqa: PLC0415 - it needs this module

        where = f"source '{self.name}'"
        database = Database(where, settings.fill(self.url, f"{where}, url"), settings.mask)
        if self.lag is None and self.overlap is None and database.kind != "postgresql":
            raise DefinitionError(
                f"{where}: only Postgres has transaction ids; give lag= or overlap= and a column that fits"
            )
        return TableClient(self, database)

    def describe(self, settings: Settings) -> dict[str, Any]:  # noqa: ARG002 - the URL may hold a password
        return {"table": self.table, "key column": ", ".join(self.key), "version column": self.version}


def _interval(deletes: bool | timedelta | float) -> float | None:  # noqa: FBT001 - as the public argument
    if isinstance(deletes, bool):
        return DELETES_EVERY if deletes else None
    return seconds(deletes)
