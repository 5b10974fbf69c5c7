"""The schema of the instance's storage: created at the newest revision, or brought to it.

Dagster's own code does it, that of `dagster instance migrate`. It runs as the migration's login that has become role
dagster, so that dagster owns the tables and its password need not be known yet.
"""

import logging
import os
import tempfile
from pathlib import Path

import yaml
from dagster import DagsterInstance

from tenancy.cluster.environment import Login, Server
from tenancy.cluster.errors import ControlPlaneError
from tenancy.cluster.revisions import Revisions
from tenancy.cluster.roles import DAGSTER

logger = logging.getLogger("tenancy.cluster")


def refuse_newer(revision: str | None, revisions: Revisions) -> None:
    """Refuse a database that a later version has migrated.

    Raises:
        ControlPlaneError: with what to do.
    """
    if revisions.is_newer(revision):
        raise ControlPlaneError(
            f"the database {DAGSTER!r} has revision {revision}, made by a newer version of Dagster than this image "
            f"has, which knows {revisions.newest} and older: nothing was changed. Use the image of that version "
            "(images.platform), or restore the backup that was taken before its migration"
        )


def migrate(server: Server, admin: Login) -> None:
    """Create the tables or bring them to the newest revision, as role dagster.

    Args:
        server: with the database dagster.
        admin: a superuser, or a member of role dagster.
    """
    url = f"{server.url(DAGSTER, admin)}&options=-c%20role%3D{DAGSTER}"
    with tempfile.TemporaryDirectory() as home:
        storage = {"postgres": {"postgres_url": url, "should_autocreate_tables": True}}
        config = Path(home) / "dagster.yaml"
        descriptor = os.open(config, os.O_WRONLY | os.O_CREAT, 0o600)
        with os.fdopen(descriptor, "w") as file:
            yaml.safe_dump({"storage": storage, "telemetry": {"enabled": False}}, file)
        with DagsterInstance.from_config(home) as instance:
            instance.upgrade(_tell)
            if not instance.get_runs_count():
                # Not for an empty database, but for one whose creation was interrupted; costs nothing.
                instance.reindex(lambda _: None)


def _tell(text: str) -> None:
    if not text.startswith("Skipping"):  # a line for each data migration of the last years
        logger.info("dagster: %s", text)
