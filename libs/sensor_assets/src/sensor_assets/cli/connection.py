"""Which ledger the commands work on: from the environment, or from the `.env` of a location's folder."""

import os
import re
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import click
import psycopg
from dotenv import dotenv_values
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy.engine.url import make_url
from sqlalchemy.exc import ArgumentError

from sensor_assets.errors import LedgerError
from sensor_assets.ledger import PostgresLedger
from sensor_assets.ledger._failures import explain
from sensor_assets.ledger._inspection import Inspection

# The same as Settings allows.
_SCHEMA = re.compile(r"[a-z_][a-z0-9_]{0,62}")


@dataclass(frozen=True)
class Connection:
    """Where the ledger is.

    Args:
        folder: Folder of a location, or None.
    """

    folder: Path | None

    @cached_property
    def variables(self) -> Mapping[str, str]:
        """The environment, with what the `.env` says: that of the folder wins, that of the current folder does not."""
        here = _dotenv(Path(".env"))
        if self.folder is None:
            return {**here, **os.environ}
        file = self.folder / ".env"
        if not file.is_file():
            raise click.UsageError(f"{file} does not exist; `make up` writes it for every location")
        return {**os.environ, **_dotenv(file)}

    @property
    def place(self) -> tuple[str, str]:
        """The ledger's URL and schema.

        Raises:
            click.UsageError: They are not given.
        """
        missing = [name for name in ("LEDGER_URL", "LEDGER_SCHEMA") if not self.variables.get(name)]
        if missing:
            raise click.UsageError(
                f"which ledger? {' and '.join(missing)} not set: set LEDGER_URL and LEDGER_SCHEMA, or name the folder "
                "of a location by --location"
            )
        schema = self.variables["LEDGER_SCHEMA"]
        if _SCHEMA.fullmatch(schema) is None:
            raise click.UsageError(f"LEDGER_SCHEMA '{schema}' is no name of a schema")
        url = self.variables["LEDGER_URL"]
        if not _is_url(url):
            # Without what it is: there may be a password in it.
            raise click.UsageError("LEDGER_URL is no URL of a database: write postgresql://role:password@host/database")
        return url, schema

    @contextmanager
    def ledger(self) -> Generator[PostgresLedger]:
        """Open the ledger for a command.

        Raises:
            LedgerError: The database cannot be reached, or the ledger cannot be used.
        """
        url, schema = self.place
        try:
            # Once without the pool, which would only say that it waited in vain.
            psycopg.connect(url, connect_timeout=10).close()
        except psycopg.OperationalError as error:
            raise LedgerError(explain(error, url, schema)) from error
        ledger = PostgresLedger(url, schema)
        try:
            yield ledger
        except psycopg.Error as error:
            raise LedgerError(f"the ledger refused: {str(error).splitlines()[0]}") from error
        finally:
            ledger.close()

    @contextmanager
    def inspection(self) -> Generator[Inspection]:
        """Open the ledger for a command that only looks."""
        with self.ledger() as ledger:
            yield Inspection(ledger)


def _is_url(text: str) -> bool:
    try:
        make_url(text)
        conninfo_to_dict(text)
    except (ArgumentError, ValueError, psycopg.ProgrammingError):
        return False
    return text.startswith(("postgresql://", "postgres://"))


def _dotenv(path: Path) -> Mapping[str, str]:
    values = dotenv_values(path, interpolate=False) if path.is_file() else {}
    return {name: value for name, value in values.items() if value is not None}


connected = click.make_pass_decorator(Connection)
