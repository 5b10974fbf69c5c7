"""Wait until the database is as this image wants it.

Imports little, because every pod of the control plane begins with it.
"""

import logging
import time
from collections.abc import Sequence

import psycopg

from tenancy.cluster import revisions, schema_state
from tenancy.cluster.connecting import LOGIN_KEY, connect
from tenancy.cluster.environment import Login, Server
from tenancy.cluster.errors import ControlPlaneError, one_line
from tenancy.cluster.revisions import Revisions
from tenancy.cluster.roles import DAGSTER, LEDGER
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


def missing_in_ledger(schema: str, found: SchemaState, wanted: Revisions) -> str | None:
    """Return what is missing in a ledger, None when nothing is; a newer one will do."""
    if wanted.is_newer(found.revision) or found.revision == wanted.newest:
        return None
    if found.revision is None:
        return f"the ledger {schema!r} is not there"
    return f"the ledger {schema!r} has revision {found.revision}, this image wants {wanted.newest}"


def wait(server: Server, login: Login, schemas: Sequence[str], *, seconds: float, migration: str) -> None:
    """Return as soon as nothing is missing.

    Args:
        server: the Postgres server.
        login: of the control plane, or of a team for its own ledger.
        schemas: ledgers that must be there.
        seconds: how long to wait.
        migration: what `kubectl logs` finds the migration by, for the message; may be empty.

    Raises:
        ControlPlaneError: something is still missing after that time.
    """
    deadline = time.monotonic() + seconds
    told = 0.0
    while missing := look(server, login, schemas):
        if time.monotonic() >= deadline:
            job = f": kubectl logs {migration}" if migration else ""
            raise ControlPlaneError(
                f"the database is not ready after {seconds:g} s: {'; '.join(missing)}. Look at the migration{job}"
            )
        if time.monotonic() - told > TELL_SECONDS:
            told = time.monotonic()
            logger.info("waiting: %s", "; ".join(missing))
        time.sleep(LOOK_SECONDS)


def look(server: Server, login: Login, schemas: Sequence[str]) -> list[str]:
    """Return what is missing now."""
    of_dagster, of_ledger = revisions.of_dagster(), revisions.of_ledger()
    missing: list[str | None] = []
    try:
        with connect(server, DAGSTER, login, key=LOGIN_KEY, application=APPLICATION) as connection:
            missing.append(missing_in_instance(schema_state.look(connection, "public"), of_dagster))
        if schemas:
            with connect(server, LEDGER, login, key=LOGIN_KEY, application=APPLICATION) as connection:
                states = {schema: schema_state.look(connection, schema) for schema in schemas}
                missing += [missing_in_ledger(schema, state, of_ledger) for schema, state in states.items()]
    except ControlPlaneError as error:
        return [str(error)]
    except psycopg.OperationalError as error:
        return [one_line(error)]
    return [what for what in missing if what]
