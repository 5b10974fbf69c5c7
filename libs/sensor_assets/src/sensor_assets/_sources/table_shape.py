"""The columns that a table source names, as the database has them now."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import (
    ARRAY,
    Column,
    ColumnElement,
    MetaData,
    Select,
    String,
    Table,
    and_,
    any_,
    bindparam,
    literal_column,
    or_,
    select,
    tuple_,
    type_coerce,
)
from sqlalchemy.exc import NoSuchTableError

from sensor_assets._sources import texts
from sensor_assets._sources.database import Database, Session, unknown_types
from sensor_assets._sources.table import TableSource

_TIMES = (datetime, date)
_NUMBERS = (int, float, Decimal)

# Databases that answer (a, b) > (1, 2) from an index.
_ROW_VALUES = frozenset({"postgresql", "sqlite"})


@dataclass(frozen=True, kw_only=True, eq=False)
class Shape:
    """A table's columns.

    Args:
        table: The table.
        key: What identifies a row.
        version: What grows with changes.
        kinds: Python types of version and key, in this order.
        partition: The column with the partition, if there is one.
        where: Condition on the rows, if there is one.
        nullable: The columns of version and key that may be null.
        row_values: Whether rows are compared as such.
        arrays: Whether the database takes an array for a value.
        fingerprint: Differs when the table is another one, or a column has another type.
    """

    table: Table
    key: tuple[ColumnElement[Any], ...]
    version: ColumnElement[Any]
    kinds: tuple[type, ...]
    partition: ColumnElement[Any] | None
    where: ColumnElement[bool] | None
    nullable: tuple[ColumnElement[Any], ...]
    row_values: bool
    arrays: bool
    fingerprint: str

    @property
    def order(self) -> tuple[ColumnElement[Any], ...]:
        """The order of a scan; no two rows are equal in it."""
        return (self.version, *self.key)

    def rows(self, *conditions: ColumnElement[bool]) -> Select[Any]:
        """Return the query for version, key and partition of the rows that can be followed, in order."""
        followed = [column.is_not(None) for column in self.nullable]
        shown = [*self.order, *(() if self.partition is None else (self.partition,))]
        return select(*shown).where(*self.admitted(), *followed, *conditions).order_by(*self.order)

    def admitted(self) -> list[ColumnElement[bool]]:
        """Return the condition on the rows, if there is one."""
        return [] if self.where is None else [self.where]

    def beyond(self, row: Sequence[Any]) -> ColumnElement[bool]:
        """Return the condition that a row comes after another in the order of a scan."""
        if self.row_values:
            return tuple_(*self.order) > tuple_(*row)
        pairs = list(zip(self.order, row, strict=True))
        condition = pairs[-1][0] > pairs[-1][1]
        for column, value in reversed(pairs[:-1]):
            condition = or_(column > value, and_(column == value, condition))
        return and_(self.version >= row[0], condition)

    def among(self, keys: Sequence[tuple[Any, ...]]) -> ColumnElement[bool]:
        """Return the condition that a row has one of these keys."""
        if len(self.key) == 1:
            values = [key[0] for key in keys]
            if self.arrays:
                # One value instead of one for each key, whose placeholders cost more than the answer.
                return self.key[0] == any_(bindparam(None, values, ARRAY(self.key[0].type), unique=True))
            return self.key[0].in_(values)
        return tuple_(*self.key).in_(keys)

    def write_row(self, row: Sequence[Any]) -> list[str]:
        """Write version and key of a row as texts."""
        return [texts.write(value) for value in row[: len(self.order)]]

    def read_version(self, version: str) -> Any:
        """Read a version.

        Raises:
            ValueError: The column has another type by now.
        """
        return texts.read(version, self.kinds[0])

    def read_row(self, row: Sequence[str]) -> list[Any]:
        """Read version and key of a row.

        Raises:
            ValueError: The columns have other types by now.
        """
        return [texts.read(text, kind) for text, kind in zip(row, self.kinds, strict=True)]


def reflect(session: Session, database: Database, source: TableSource, fingerprint: str | None) -> Shape:
    """Ask the database for the table's columns.

    Raises:
        SourceError: There is no such table or column, or a column has a type that cannot be followed.
    """
    schema, _, name = source.table.rpartition(".")
    try:
        with unknown_types():
            table = Table(name, MetaData(), schema=schema or None, autoload_with=session.connection, resolve_fks=False)
    except NoSuchTableError as error:
        raise database.failed(f"there is no table '{source.table}'") from error
    key = tuple(column(table, database, source, name) for name in source.key)
    version: ColumnElement[Any] = column(table, database, source, source.version)
    kinds = tuple(_kind(database, each) for each in (version, *key))
    _check_version(database, source, version, kinds[0])
    nullable = tuple(each for each in (version, *key) if each.nullable and not each.primary_key)
    if database.kind == "sqlite" and kinds[0] in _TIMES:
        # SQLite stores times as texts in whatever form they were written; only as texts they keep their order.
        coerced = type_coerce(version, String)
        nullable = tuple(coerced if each is version else each for each in nullable)
        version, kinds = coerced, (str, *kinds[1:])
    where = source.where
    return Shape(
        table=table,
        key=key,
        version=version,
        kinds=kinds,
        partition=None if source.partition is None else column(table, database, source, source.partition),
        where=literal_column(f"({where})") if isinstance(where, str) else where,
        nullable=nullable,
        row_values=database.kind in _ROW_VALUES,
        arrays=database.kind == "postgresql",
        fingerprint=fingerprint if fingerprint is not None else " ".join(kind.__name__ for kind in kinds),
    )


def column(table: Table, database: Database, source: TableSource, name: str) -> Column[Any]:
    """Return a column by name.

    Raises:
        SourceError: The table has none of that name.
    """
    if name not in table.columns:
        known = ", ".join(table.columns.keys())
        raise database.failed(f"table '{source.table}' has no column '{name}', it has {known}")
    return table.columns[name]


def _kind(database: Database, column: Column[Any]) -> type:
    try:
        kind = column.type.python_type
    except NotImplementedError:
        kind = object
    if not texts.readable(kind):
        raise database.failed(
            f"column '{column.name}' has a type that cannot be followed ({column.type!r}): follow a view that casts it"
        )
    return kind


def _check_version(database: Database, source: TableSource, version: Column[Any], kind: type) -> None:
    shown = f"version column '{version.name}' is of type {version.type!r}"
    if source.lag is not None and kind not in _TIMES:
        raise database.failed(f"{shown}, but lag= is for a time")
    if source.lag is None and source.overlap is not None and kind not in (*_TIMES, *_NUMBERS):
        raise database.failed(f"{shown}, but overlap= is for a time or a number")
    if source.lag is None and source.overlap is None and kind is not int:
        raise database.failed(
            f"{shown}, which is no transaction id: give lag= or overlap=, or a bigint that a trigger sets to "
            "pg_current_xact_id()::text::bigint"
        )
