"""What a schema in the database says of itself: its revision, and whether its migration came to its end."""

from dataclasses import dataclass

import psycopg
from psycopg import errors, sql

MARK = "migrated to {} by tenancy.cluster"
"""Comment of the instance's table `alembic_version`, set when all is done. The revision alone does not say so: Dagster
makes its tables in three steps, and the first sets it."""


@dataclass(frozen=True)
class SchemaState:
    """Revision and comment; None for what is not there, or may not be seen."""

    revision: str | None
    mark: str | None = None


def look(connection: psycopg.Connection, schema: str) -> SchemaState:
    """Return the state of a schema that Alembic migrates."""
    table = sql.Identifier(schema, "alembic_version")
    statement = sql.SQL("SELECT version_num, obj_description({}::regclass, 'pg_class') FROM {}")
    try:
        row = connection.execute(statement.format(sql.Literal(table.as_string(connection)), table)).fetchone()
    except (errors.UndefinedTable, errors.InvalidSchemaName, errors.InsufficientPrivilege):
        return SchemaState(None)
    return SchemaState(*row) if row else SchemaState(None)


def mark(connection: psycopg.Connection, schema: str, revision: str) -> None:
    """Note that a migration to a revision came to its end; the connection is that of the tables' owner."""
    table = sql.Identifier(schema, "alembic_version")
    connection.execute(sql.SQL("COMMENT ON TABLE {} IS {}").format(table, sql.Literal(MARK.format(revision))))
