"""Bring the database to what this image wants: roles, databases, rights, the instance's schema, each team's ledger.

Every step can be done again, so a migration that was interrupted is healed by the next one. One at a time: the session
of the first holds a lock, others wait for it.
"""

import logging
from collections.abc import Generator, Mapping
from contextlib import contextmanager

import psycopg
from dagster_postgres.utils import DagsterPostgresException
from psycopg.errors import InsufficientPrivilege
from sensor_assets.errors import LedgerError
from sensor_assets.ledger import migrate as migrate_ledger
from sqlalchemy.exc import DBAPIError

from tenancy.cluster import instance_schema, revisions, roles, schema_state
from tenancy.cluster.connecting import ADMIN_KEY, connect, explain_refusal
from tenancy.cluster.environment import Login, Server
from tenancy.cluster.errors import ControlPlaneError, one_line
from tenancy.cluster.passwords import check_password
from tenancy.cluster.roles import DAGSTER, LEDGER

MAINTENANCE = "postgres"
"""The database that every server has: where to connect to before there is another, and where the lock is."""

LOCK = 0x6D696772617465  # "migrate"
CONNECT_SECONDS = 60.0
APPLICATION = "tenancy migration"

logger = logging.getLogger("tenancy.cluster")


def migrate(
    server: Server,
    admin: Login,
    passwords: Mapping[str, str],
    password: str | None,
    *,
    seconds: float = CONNECT_SECONDS,
) -> None:
    """Do all that is to be done.

    Args:
        server: the Postgres server.
        admin: a login that may make roles and databases.
        passwords: of the teams' roles. None at all means that they are not known yet, not that there is no team.
        password: of role dagster, or None when it is not known yet: the role cannot log in then.
        seconds: how long to try again while the server does not accept connections.

    Raises:
        ControlPlaneError: it could not be done; what was done stays, and the next migration goes on from there.
    """
    if password is not None:
        check_password("DATABASE_PASSWORD", password)
    wanted = revisions.of_dagster()
    with _explained(server, admin), _lock(server, admin, seconds) as session:
        roles.check_admin(session)
        _refuse_newer(server, admin, session, wanted)
        roles.make_roles(session, passwords, password)
        roles.make_databases(session, passwords)
        _migrate_instance(server, admin, wanted)
        _migrate_ledgers(server, admin, passwords)
    if password is None:
        logger.warning("role %s has no new password: DATABASE_PASSWORD is not set", DAGSTER)


@contextmanager
def _lock(server: Server, admin: Login, seconds: float) -> Generator[psycopg.Connection]:
    with connect(server, MAINTENANCE, admin, key=ADMIN_KEY, application=APPLICATION, seconds=seconds) as session:
        row = session.execute("SELECT pg_try_advisory_lock(%s)", [LOCK]).fetchone()
        if not (row and row[0]):
            logger.info("another migration is at work; waiting until it ends")
            session.execute("SELECT pg_advisory_lock(%s)", [LOCK])
        yield session


def _refuse_newer(server: Server, admin: Login, session: psycopg.Connection, wanted: revisions.Revisions) -> None:
    exists = session.execute("SELECT FROM pg_database WHERE datname = %s", [DAGSTER]).fetchone()
    may_look = session.execute("SELECT pg_has_role(datdba, 'MEMBER') FROM pg_database WHERE datname = %s", [DAGSTER])
    if exists is None or not (row := may_look.fetchone()) or not row[0]:
        return
    with connect(server, DAGSTER, admin, key=ADMIN_KEY, application=APPLICATION) as connection:
        instance_schema.refuse_newer(schema_state.look(connection, "public").revision, wanted)


def _migrate_instance(server: Server, admin: Login, wanted: revisions.Revisions) -> None:
    instance_schema.migrate(server, admin)
    as_dagster = {"options": f"-c role={DAGSTER}"}
    with connect(server, DAGSTER, admin, key=ADMIN_KEY, application=APPLICATION, settings=as_dagster) as connection:
        roles.grant_rows(connection)
        schema_state.mark(connection, "public", wanted.newest)
    logger.info("database %s has revision %s", DAGSTER, wanted.newest)


def _migrate_ledgers(server: Server, admin: Login, passwords: Mapping[str, str]) -> None:
    failures: list[str] = []
    with connect(server, LEDGER, admin, key=ADMIN_KEY, application=APPLICATION) as connection:
        roles.make_schemas(connection, passwords)
        for team, password in passwords.items():
            try:
                migrate_ledger(server.url(LEDGER, Login(team, password)), team)
            except LedgerError as error:
                failures.append(one_line(error))  # the other teams' ledgers are not to wait for this one
            else:
                roles.show_revision(connection, team)
                logger.info("ledger %s is at the newest revision", team)
        if passwords:
            roles.disable_former(connection, passwords)
    if failures:
        raise ControlPlaneError("; ".join(failures))


@contextmanager
def _explained(server: Server, admin: Login) -> Generator[None]:
    try:
        yield
    except (psycopg.OperationalError, InsufficientPrivilege) as error:
        raise ControlPlaneError(explain_refusal(error, server, admin)) from error
    except (DBAPIError, DagsterPostgresException) as error:
        said = one_line(getattr(error, "orig", None) or error)
        raise ControlPlaneError(
            f"Dagster's schema could not be migrated on {server}: {said}. Tables that another role owns, as "
            f"of an earlier installation, must be handed over first (REASSIGN OWNED BY role TO {DAGSTER})"
        ) from error
