"""The schema of the instance's storage: created at the newest revision, or brought to it.

Dagster's own code does it, that of `dagster instance migrate`, but for the creation, which is one transaction here. It
runs as the migration's login that has become role dagster: so dagster owns the tables, and its password need not be
known yet.
"""

import logging
import tempfile
from pathlib import Path

import dagster_postgres.run_storage
import yaml
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from dagster import DagsterInstance
from dagster_postgres.utils import pg_alembic_config
from sqlalchemy import create_engine
from sqlalchemy.pool import NullPool

from tenancy.cluster._dagster import STORAGE_TABLES
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


def migrate(server: Server, admin: Login, revision: str | None, revisions: Revisions) -> None:
    """Create the tables or bring them to the newest revision, as role dagster.

    Args:
        server: with the database dagster.
        admin: a superuser, or a member of role dagster.
        revision: that the database has now.
        revisions: that this image knows.
    """
    url = f"{server.url(DAGSTER, admin)}&options=-c%20role%3D{DAGSTER}"
    if revision in (None, revisions.newest):
        _create(url)
    with tempfile.TemporaryDirectory() as home:
        config = Path(home) / "dagster.yaml"
        config.touch(0o600)
        config.write_text(
            yaml.safe_dump({"storage": {"postgres": {"postgres_url": url}}, "telemetry": {"enabled": False}})
        )
        with DagsterInstance.from_config(home) as instance:
            instance.upgrade(_tell)
            if not instance.get_runs_count():
                # Notes that there is nothing to be rebuilt; with runs it could take hours, and is left to the operator.
                instance.reindex(_tell)


def _create(url: str) -> None:
    """Create what is missing, all of it or nothing, at the newest revision."""
    engine = create_engine(url, poolclass=NullPool)
    with engine.begin() as connection:
        for tables in STORAGE_TABLES:
            tables.create_all(connection)
        scripts = ScriptDirectory.from_config(pg_alembic_config(dagster_postgres.run_storage.__file__))
        MigrationContext.configure(connection).stamp(scripts, "head")


def _tell(text: str) -> None:
    if not text.startswith("Skipping"):  # a line for each data migration of the last years
        logger.info("dagster: %s", text)
