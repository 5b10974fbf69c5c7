"""Bring the database to what this image wants: roles, databases, rights, the instance's schema, each team's ledger.

Every step can be done again, so a migration that was interrupted is healed by the next one. One at a time: the session
of the first holds a lock, others wait for it.
"""

import logging
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager

import psycopg
from dagster_postgres.utils import DagsterPostgresException
from psycopg.errors import InsufficientPrivilege
from sensor_assets.errors import LedgerError
from sensor_assets.ledger import migrate as migrate_ledger
from sqlalchemy.exc import DBAPIError

from tenancy.cluster import instance_schema, ownership, revisions, roles, schema_state
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
    owner: str,
    teams: Sequence[str] | None = None,
    keep_newer: bool = False,
    seconds: float = CONNECT_SECONDS,
) -> None:
    """Do all that is to be done.

    Args:
        server: the Postgres server.
        admin: a login that may make roles and databases.
        passwords: of the teams' roles, as far as they are known.
        password: of role dagster, or None when it is not known yet: the role cannot log in then.
        owner: control plane whose server this must be, or becomes: environment/namespace/release.
        teams: roles of all teams that there are: no other team may log in any more. None to lock out nobody.
        keep_newer: leave a schema alone that is newer than this image, as after a rollback, instead of refusing it.
        seconds: how long to try again while the server does not accept connections.

    Raises:
        ControlPlaneError: it could not be done; what was done stays, and the next migration goes on from there.
    """
    ownership.check_name(owner)
    if password is not None:
        check_password("DATABASE_PASSWORD", password)
    wanted = revisions.of_dagster()
    with _explained(server, admin), _lock(server, admin, seconds) as session:
        roles.check_admin(session)
        ownership.refuse_another(ownership.read(session), owner, server)
        revision = _found(server, admin, session)
        newer = keep_newer and wanted.is_newer(revision)
        if not newer:
            instance_schema.refuse_newer(revision, wanted)
        roles.make_roles(session, passwords, password)
        roles.make_databases(session, passwords)
        ownership.claim(session, owner)
        if newer:
            logger.info("database %s has the newer revision %s, and keeps it", DAGSTER, revision)
        else:
            _migrate_instance(server, admin, revision, wanted)
        _migrate_ledgers(server, admin, passwords, keep_newer=keep_newer)
        if teams is not None:
            with connect(server, LEDGER, admin, key=ADMIN_KEY, application=APPLICATION) as connection:
                roles.disable_former(connection, teams)
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


def _found(server: Server, admin: Login, session: psycopg.Connection) -> str | None:
    """Return the revision of the instance's schema; None when there is none yet."""
    # A database that somebody else owns may not be open to us; making it ours will say so.
    owned = "SELECT 1 FROM pg_database WHERE datname = %s AND pg_has_role(datdba, 'MEMBER')"
    if session.execute(owned, [DAGSTER]).fetchone() is None:
        return None
    with connect(server, DAGSTER, admin, key=ADMIN_KEY, application=APPLICATION) as connection:
        return schema_state.look(connection, "public").revision


def _migrate_instance(server: Server, admin: Login, revision: str | None, wanted: revisions.Revisions) -> None:
    instance_schema.migrate(server, admin, revision, wanted)
    as_dagster = {"options": f"-c role={DAGSTER}"}
    with connect(server, DAGSTER, admin, key=ADMIN_KEY, application=APPLICATION, settings=as_dagster) as connection:
        roles.grant_rows(connection)
        schema_state.mark(connection, "public", wanted.newest)
    logger.info("database %s has revision %s", DAGSTER, wanted.newest)


def _migrate_ledgers(server: Server, admin: Login, passwords: Mapping[str, str], *, keep_newer: bool) -> None:
    failures: list[str] = []
    wanted = revisions.of_ledger()
    with connect(server, LEDGER, admin, key=ADMIN_KEY, application=APPLICATION) as connection:
        roles.make_schemas(connection, passwords)
        for team, password in passwords.items():
            if keep_newer and wanted.is_newer(revision := schema_state.look(connection, team).revision):
                logger.info("ledger %s has the newer revision %s, and keeps it", team, revision)
                continue
            try:
                migrate_ledger(server.url(LEDGER, Login(team, password)), team)
            except LedgerError as error:
                failures.append(one_line(error))  # the other teams' ledgers are not to wait for this one
            else:
                logger.info("ledger %s is at the newest revision", team)
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
