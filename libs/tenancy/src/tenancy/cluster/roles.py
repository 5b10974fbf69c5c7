"""Databases, roles, schemas and rights, as statements that can be run again at any time.

| database | owner | who else connects |
|---|---|---|
| dagster | dagster | members of dagster_runs, which may read and write rows of its tables and nothing more |
| ledger | the login that makes it | each team, which owns its one schema and cannot see the others' |

The login that makes them need not be a superuser: on a managed database there is none. It has CREATEROLE and CREATEDB,
and grants itself each role that it makes, because only a member may hand something over to a role.
"""

import logging
from collections.abc import Iterable, Mapping

import psycopg
from psycopg import sql

from tenancy.cluster.errors import ControlPlaneError

DAGSTER, LEDGER = "dagster", "ledger"
RUNS = "dagster_runs"
"""The group of the teams' roles in the database of the instance."""

MEMBERSHIP_HAS_OPTIONS = 160_000
"""Postgres 16, whose memberships say whether the role's rights are inherited, and whether one may become the role."""

logger = logging.getLogger("tenancy.cluster")

RIGHTS_ON_TABLES = "SELECT, INSERT, UPDATE, DELETE"
RIGHTS_ON_SEQUENCES = "USAGE, SELECT"


def run(connection: psycopg.Connection, statement: str, *names: str) -> None:
    """Run a statement with identifiers in place of its braces."""
    connection.execute(sql.SQL(statement).format(*(sql.Identifier(name) for name in names)))  # pyright: ignore[reportArgumentType]


def check_admin(connection: psycopg.Connection) -> None:
    """Refuse a login that cannot make roles and databases, before anything is done.

    Raises:
        ControlPlaneError: with what it lacks.
    """
    row = connection.execute(
        "SELECT rolsuper, rolsuper OR rolcreaterole, rolsuper OR rolcreatedb, rolname FROM pg_roles "
        "WHERE rolname = current_user"
    ).fetchone()
    assert row is not None  # noqa: S101 - whoever is logged in is a role
    _, makes_roles, makes_databases, name = row
    missing = [right for right, held in (("CREATEROLE", makes_roles), ("CREATEDB", makes_databases)) if not held]
    if missing:
        raise ControlPlaneError(
            f"the login {name!r} may not make what the platform needs: it has no {' and no '.join(missing)}. Give it "
            f"that (ALTER ROLE {name} {' '.join(missing)}), or another login in the Secret of database.admin_secret"
        )
    if name == DAGSTER:
        raise ControlPlaneError(
            f"the migration's login is {DAGSTER!r}, which is the control plane's own: give database.admin_secret "
            "another login, that may make roles and databases"
        )


def make_roles(connection: psycopg.Connection, passwords: Mapping[str, str], password: str | None) -> None:
    """Make the roles, and set every password that is known.

    Args:
        connection: of the login that makes them, to any database.
        passwords: of the teams' roles.
        password: of role dagster, or None when it is not known yet.
    """
    existing = {name for (name,) in connection.execute("SELECT rolname FROM pg_roles")}
    for role in (DAGSTER, RUNS, *passwords):
        if role not in existing:
            run(connection, "CREATE ROLE {}", role)
            logger.info("role %s is made", role)
        _grant_to_me(connection, role)
    for role, secret in {**({DAGSTER: password} if password else {}), **passwords}.items():
        # Hashed here: a statement may end up in the server's log.
        hashed = connection.pgconn.encrypt_password(secret.encode(), role.encode(), b"scram-sha-256").decode()
        statement = sql.SQL("ALTER ROLE {} LOGIN PASSWORD {}")
        connection.execute(statement.format(sql.Identifier(role), sql.Literal(hashed)))
    for role in passwords:
        run(connection, "GRANT {} TO {}", RUNS, role)


def _grant_to_me(connection: psycopg.Connection, role: str) -> None:
    """Make the current login a member of a role, unless it is a superuser, which needs no membership."""
    with_all = " WITH INHERIT TRUE, SET TRUE" if connection.info.server_version >= MEMBERSHIP_HAS_OPTIONS else ""
    row = connection.execute("SELECT current_user, rolsuper FROM pg_roles WHERE rolname = current_user").fetchone()
    assert row is not None  # noqa: S101 - whoever is logged in is a role
    me, is_superuser = row
    if not is_superuser:
        run(connection, "GRANT {} TO {}" + with_all, role, me)


def make_databases(connection: psycopg.Connection, teams: Iterable[str]) -> None:
    """Make the databases, and say who may connect to them."""
    existing = dict(connection.execute("SELECT datname, pg_get_userbyid(datdba) FROM pg_database").fetchall())
    if DAGSTER not in existing:
        run(connection, "CREATE DATABASE {} OWNER {}", DAGSTER, DAGSTER)
        logger.info("database %s is made", DAGSTER)
    elif existing[DAGSTER] != DAGSTER:
        run(connection, "ALTER DATABASE {} OWNER TO {}", DAGSTER, DAGSTER)
    if LEDGER not in existing:
        run(connection, "CREATE DATABASE {}", LEDGER)
        logger.info("database %s is made", LEDGER)
    for database, role in ((DAGSTER, RUNS), (LEDGER, DAGSTER)):
        run(connection, "REVOKE ALL ON DATABASE {} FROM PUBLIC", database)
        run(connection, "GRANT CONNECT ON DATABASE {} TO {}", database, role)
    for team in teams:
        # TEMPORARY: new items are copied into a temporary table first.
        run(connection, "GRANT CONNECT, TEMPORARY ON DATABASE {} TO {}", LEDGER, team)
        run(connection, "ALTER ROLE {} IN DATABASE {} SET search_path = {}", team, LEDGER, team)


def make_schemas(connection: psycopg.Connection, teams: Iterable[str]) -> None:
    """Make each team's schema in the ledger, to which the connection is."""
    run(connection, "REVOKE ALL ON SCHEMA public FROM PUBLIC")
    for team in teams:
        run(connection, "CREATE SCHEMA IF NOT EXISTS {} AUTHORIZATION {}", team, team)
        run(connection, "REVOKE ALL ON SCHEMA {} FROM PUBLIC", team)


def grant_rows(connection: psycopg.Connection) -> None:
    """Let runs read and write the rows of the instance's tables, also of those that a later version makes.

    Args:
        connection: to database dagster, as role dagster.
    """
    run(connection, "GRANT USAGE ON SCHEMA public TO {}", RUNS)
    for rights, kind in ((RIGHTS_ON_TABLES, "TABLES"), (RIGHTS_ON_SEQUENCES, "SEQUENCES")):
        run(connection, f"GRANT {rights} ON ALL {kind} IN SCHEMA public TO {{}}", RUNS)
        run(connection, f"ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT {rights} ON {kind} TO {{}}", RUNS)


FORMER = """
SELECT r.rolname
FROM pg_namespace AS n JOIN pg_roles AS r ON r.oid = n.nspowner
WHERE n.nspname = r.rolname AND r.rolcanlogin AND NOT r.rolsuper AND NOT r.rolcreaterole
  AND pg_has_role(r.oid, %s, 'MEMBER') AND NOT r.rolname = ANY(%s)
"""


def disable_former(connection: psycopg.Connection, teams: Iterable[str]) -> None:
    """Let teams that are no longer there not log in; what is theirs stays, for the day they come back.

    Args:
        connection: to database ledger, in which a team's role owns a schema of its name.
        teams: those that are there.
    """
    for (role,) in connection.execute(FORMER, [RUNS, list(teams)]).fetchall():
        run(connection, "ALTER ROLE {} NOLOGIN", role)
        logger.info("role %s may log in no more: its team is not in the register. Its data stays", role)
