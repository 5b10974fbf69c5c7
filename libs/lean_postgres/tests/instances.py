"""Instances over one storage or the other, what they ask of the database, and what they leave in it."""

import datetime
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dagster as dg
import psycopg
import yaml
from psycopg.rows import DictRow, dict_row
from sqlalchemy import event
from sqlalchemy.engine import Engine
from sqlalchemy.pool import Pool

STOCK, LEAN = "stock", "lean"


def storage(kind: str, url: str, **config: Any) -> dict[str, Any]:
    """Return the part of dagster.yaml that chooses a storage."""
    config = {"postgres_url": url, **config}
    if kind == STOCK:
        return {"storage": {"postgres": config}}
    return {"storage": {"custom": {"module": "lean_postgres", "class": "LeanPostgresStorage", "config": config}}}


def write_home(home: Path, kind: str, url: str, **settings: Any) -> Path:
    """Write a dagster.yaml; returns its directory."""
    home.mkdir(exist_ok=True)
    content = {**storage(kind, url), "telemetry": {"enabled": False}, **settings}
    (home / "dagster.yaml").write_text(yaml.safe_dump(content))
    return home


@contextmanager
def opened(kind: str, url: str, home: Path, **settings: Any) -> Generator[dg.DagsterInstance]:
    """Open an instance as every process does that finds a dagster.yaml."""
    with dg.DagsterInstance.from_config(str(write_home(home, kind, url, **settings))) as instance:
        yield instance


def execute(url: str, statement: str) -> list[Any]:
    """Execute one statement by another way than either storage; returns its rows."""
    with psycopg.connect(url, autocommit=True) as connection:
        cursor = connection.execute(statement.encode())
        return cursor.fetchall() if cursor.description else []


class Counted:
    """The statements and the new connections of a while, as SQLAlchemy reports them."""

    def __init__(self) -> None:
        self.statements: list[str] = []
        self.connections = 0

    def on_statement(self, _connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        self.statements.append(statement)

    def on_connection(self, _connection: Any, _record: Any) -> None:
        self.connections += 1

    @property
    def of_catalog(self) -> list[str]:
        """The statements that ask for tables, columns, the schema's revision or completed migrations."""
        words = ("pg_catalog", "information_schema", "alembic_version", "secondary_indexes")
        return [statement for statement in self.statements if any(word in statement for word in words)]


@contextmanager
def counted() -> Generator[Counted]:
    """Count what every engine of this process does meanwhile."""
    counts = Counted()
    event.listen(Engine, "before_cursor_execute", counts.on_statement)
    event.listen(Pool, "connect", counts.on_connection)
    try:
        yield counts
    finally:
        event.remove(Engine, "before_cursor_execute", counts.on_statement)
        event.remove(Pool, "connect", counts.on_connection)


# Columns that hold something else each time: the clock of the server, a clock that cannot be stopped, a random number.
VARYING = {"create_timestamp", "migration_completed", "run_storage_id"}


def rows(url: str, now: datetime.datetime | None = None) -> dict[str, list[dict[str, Any]]]:
    """Return every row of every table in a form that two databases can share.

    Args:
        url: of the database.
        now: the moment at which the clock of the test stood; what the server's own clock gave counts as "later".
    """
    with psycopg.Connection[DictRow].connect(url, row_factory=dict_row) as connection:
        names = [row["relname"] for row in connection.execute(TABLES)]
        content: dict[str, list[dict[str, Any]]] = {}
        for name in names:
            found = connection.execute(f"select * from {name} order by 1".encode()).fetchall()
            content[name] = [_comparable(name, row, now) for row in found]
    return content


TABLES = "select relname from pg_class where relkind = 'r' and relnamespace = 'public'::regnamespace order by 1"


def _comparable(table: str, row: Mapping[str, Any], now: datetime.datetime | None) -> dict[str, Any]:
    result = {name: ("set" if value is not None else None) if name in VARYING else value for name, value in row.items()}
    updated = result.get("update_timestamp")
    if now is not None and isinstance(updated, datetime.datetime) and abs((updated - now).total_seconds()) > 86_400:
        result["update_timestamp"] = "later"
    if table == "instigators":
        # Stock's upsert takes a number from the sequence at each update, so its numbers have gaps. Nothing reads them.
        del result["id"]
    return result
