"""Bring a team's ledger to the newest schema."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from sqlalchemy import create_engine, text
from sqlalchemy.engine import Connection
from sqlalchemy.engine.url import make_url
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from sensor_assets.errors import LedgerError
from sensor_assets.ledger._failures import FAILURES, explain
from sensor_assets.ledger._revision import refuse_newer

# Two migrations of one schema at a time would race; the lock lasts as long as the connection.
_LOCK = "select pg_advisory_lock(hashtext('sensor_assets migrate ' || current_schema()))"


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.set_main_option("path_separator", "os")
    return config


def upgrade(url: str, schema: str) -> None:
    """See `sensor_assets.ledger.migrate`."""
    engine = create_engine(
        make_url(url).set(drivername="postgresql+psycopg"),
        poolclass=NullPool,
        connect_args={"options": f"-c search_path={schema}"},
    )
    try:
        with engine.connect() as connection:
            _upgrade(connection, schema)
    except DBAPIError as error:
        if isinstance(error.orig, FAILURES):
            raise LedgerError(explain(error.orig, url, schema)) from error
        raise


def _upgrade(connection: Connection, schema: str) -> None:
    if connection.execute(text("select current_schema()")).scalar() is None:
        raise LedgerError(f"schema '{schema}' does not exist: create it and let the team's role own it")
    connection.execute(text(_LOCK))
    connection.commit()
    refuse_newer(MigrationContext.configure(connection).get_current_revision(), schema)
    config = _config()
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
    connection.commit()
