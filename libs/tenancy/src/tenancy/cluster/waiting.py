"""Wait until the database is as this image wants it.

Imports little, because every pod of the control plane begins with it.
"""

import logging
import time

import psycopg

from tenancy.cluster import revisions, schema_state
from tenancy.cluster.connecting import LOGIN_KEY, connect
from tenancy.cluster.environment import Login, Server
from tenancy.cluster.errors import ControlPlaneError, one_line
from tenancy.cluster.revisions import Revisions
from tenancy.cluster.roles import DAGSTER
from tenancy.cluster.schema_state import MARK, SchemaState

LOOK_SECONDS = 2.0
TELL_SECONDS = 30.0
APPLICATION = "tenancy wait"

logger = logging.getLogger("tenancy.cluster")


def missing_in_instance(found: SchemaState, wanted: Revisions) -> str | None:
    """Return what is missing in the instance's schema, None when nothing is.

    A newer schema will do: Dagster's migrations add, and the control plane must come up again after a rollback.
    """
    if wanted.is_newer(found.revision):
        return None
    if found.revision is None:
        return f"the database {DAGSTER!r} has no tables yet"
    if found.revision != wanted.newest:
        return f"the database {DAGSTER!r} has revision {found.revision}, this image wants {wanted.newest}"
    if found.mark != MARK.format(wanted.newest):
        return f"the migration of database {DAGSTER!r} to {wanted.newest} has not come to its end"
    return None


def wait(server: Server, login: Login, *, seconds: float, migration: str) -> None:
    """Return as soon as nothing is missing.

    Args:
        server: the Postgres server.
        login: of the control plane.
        seconds: how long to wait.
        migration: what `kubectl logs` finds the migration by, for the message; may be empty.

    Raises:
        ControlPlaneError: something is still missing after that time.
    """
    deadline = time.monotonic() + seconds
    told = 0.0
    while missing := look(server, login):
        if time.monotonic() >= deadline:
            job = f": kubectl logs {migration}" if migration else ""
            raise ControlPlaneError(
                f"the database is not ready after {seconds:g} s: {missing}. Look at the migration{job}"
            )
        if time.monotonic() - told > TELL_SECONDS:
            told = time.monotonic()
            logger.info("waiting: %s", missing)
        time.sleep(LOOK_SECONDS)


def look(server: Server, login: Login) -> str | None:
    """Return what is missing now, None when nothing is."""
    try:
        with connect(server, DAGSTER, login, key=LOGIN_KEY, application=APPLICATION) as connection:
            return missing_in_instance(schema_state.look(connection, "public"), revisions.of_dagster())
    except ControlPlaneError as error:
        return str(error)
    except psycopg.OperationalError as error:
        return one_line(error)
