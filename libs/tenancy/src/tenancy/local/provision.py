"""What the private Postgres holds: databases, a role and a schema for each team, who may read what.

| database | owner | who else connects |
|---|---|---|
| dagster | dagster | |
| ledger | postgres | each team, which owns its one schema and cannot see the others' |
| outside | feeds, which plays the outside world | fleet_reader, which may read |

Everything is written so that it can run at every start.
"""

from collections.abc import Iterable

import psycopg
from psycopg import sql

from tenancy.local.postgres import Postgres

DAGSTER, LEDGER, OUTSIDE = "dagster", "ledger", "outside"
FEEDS, READER = "feeds", "fleet_reader"


def provision(postgres: Postgres, teams: Iterable[str]) -> None:
    """Create databases, roles and schemas that are missing.

    Args:
        postgres: a running server.
        teams: names of the teams' schemas, which are their roles' names too.
    """
    teams = list(teams)
    with psycopg.connect(postgres.url(), autocommit=True) as connection:
        _create_roles(connection, [DAGSTER, FEEDS, READER, *teams])
        _create_database(connection, DAGSTER, owner=DAGSTER)
        _create_database(connection, LEDGER, owner="postgres")
        _create_database(connection, OUTSIDE, owner=FEEDS)
        for team in teams:
            # TEMPORARY: new items are copied into a temporary table first.
            _run(connection, "GRANT CONNECT, TEMPORARY ON DATABASE {} TO {}", LEDGER, team)
            _run(connection, "ALTER ROLE {} IN DATABASE {} SET search_path = {}", team, LEDGER, team)
        _run(connection, "GRANT CONNECT ON DATABASE {} TO {}", OUTSIDE, READER)
    with psycopg.connect(postgres.url(LEDGER), autocommit=True) as connection:
        _run(connection, "REVOKE ALL ON SCHEMA public FROM PUBLIC")
        for team in teams:
            _run(connection, "CREATE SCHEMA IF NOT EXISTS {} AUTHORIZATION {}", team, team)
            _run(connection, "REVOKE ALL ON SCHEMA {} FROM PUBLIC", team)
    with psycopg.connect(postgres.url(OUTSIDE), autocommit=True) as connection:
        _run(connection, "GRANT USAGE ON SCHEMA public TO {}", READER)
        _run(
            connection,
            "ALTER DEFAULT PRIVILEGES FOR ROLE {} IN SCHEMA public GRANT SELECT ON TABLES TO {}",
            FEEDS,
            READER,
        )


def _create_roles(connection: psycopg.Connection, roles: Iterable[str]) -> None:
    existing = {name for (name,) in connection.execute("SELECT rolname FROM pg_roles")}
    for role in roles:
        if role not in existing:
            _run(connection, "CREATE ROLE {} LOGIN", role)


def _create_database(connection: psycopg.Connection, name: str, *, owner: str) -> None:
    if connection.execute("SELECT FROM pg_database WHERE datname = %s", [name]).fetchone() is None:
        _run(connection, "CREATE DATABASE {} OWNER {}", name, owner)
    _run(connection, "REVOKE ALL ON DATABASE {} FROM PUBLIC", name)


def _run(connection: psycopg.Connection, statement: str, *names: str) -> None:
    connection.execute(sql.SQL(statement).format(*(sql.Identifier(name) for name in names)))  # pyright: ignore[reportArgumentType]
