"""Whose a Postgres server is: databases and roles have fixed names, so each control plane needs one for itself.

Two on one server would set each other's password of role dagster, and lock out each other's teams. So the server says
whose it is, by a mark in the comment of database dagster: people see it in psql, and a snapshot takes it along.
"""

import logging
import re

import psycopg
from psycopg import sql

from tenancy.cluster.environment import Server
from tenancy.cluster.errors import ControlPlaneError, one_line
from tenancy.cluster.roles import DAGSTER

OWNER = re.compile(r"[a-z0-9-]+(/[a-z0-9-]+)+")
"""environment/namespace/release: two clusters may give namespace and release the same names."""
MARK = re.compile(rf"(?<![\w-])tenancy: (?P<owner>{OWNER.pattern})")

logger = logging.getLogger("tenancy.cluster")


def check_name(owner: str) -> None:
    """Refuse a name that could not be found again in a comment.

    Raises:
        ControlPlaneError: it is not environment/namespace/release.
    """
    if not OWNER.fullmatch(owner):
        raise ControlPlaneError(f"--owner {owner!r} is not as in prod/dagster/platform: environment/namespace/release")


def marked(comment: str | None, owner: str) -> str:
    """Return a comment with an owner's mark in it, in place of another's.

    Words that somebody else wrote stay before it: to overwrite them would lose them, and to refuse a database for them
    would stop the upgrade of one that is ours, for a note.
    """
    mark = f"tenancy: {owner}"
    if not comment:
        return mark
    if MARK.search(comment):
        return MARK.sub(mark, comment, count=1)
    return f"{comment.rstrip()}; {mark}"


def refuse_another(comment: str | None, owner: str, server: Server) -> None:
    """Refuse a server that is another's; one without a mark is nobody's yet, and will be the owner's.

    Raises:
        ControlPlaneError: with whose it is, and what to do.
    """
    found = MARK.search(comment or "")
    if found is None or found["owner"] == owner:
        return
    text = one_line(marked(comment, owner)).replace("'", "''")
    raise ControlPlaneError(
        f"the databases on {server} belong to the control plane {found['owner']} (environment/namespace/release), not "
        f"to {owner}: nothing was changed. Each control plane needs a Postgres server of its own: set the values key "
        f"database.host. To hand this one over, once {found['owner']} no longer runs: COMMENT ON DATABASE {DAGSTER} IS "
        f"'{text}';"
    )


def read(connection: psycopg.Connection) -> str | None:
    """Return the comment of database dagster; None when there is none, or no such database."""
    statement = "SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = %s"
    row = connection.execute(statement, [DAGSTER]).fetchone()
    return row[0] if row else None


def claim(connection: psycopg.Connection, owner: str) -> None:
    """Mark database dagster as the owner's; refuse_another has looked before, under the same lock."""
    comment = read(connection)
    if comment != (wanted := marked(comment, owner)):
        statement = sql.SQL("COMMENT ON DATABASE {} IS {}")
        connection.execute(statement.format(sql.Identifier(DAGSTER), sql.Literal(wanted)))
        logger.info("the server is marked as that of %s", owner)
