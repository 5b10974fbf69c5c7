"""Bring the teams' ledgers to the newest schema, in a process of its own.

So the launcher, which lives as long as the platform, need not load the library and its database tools. Which migrations
a schema has had is noted in its comment, so that a later start finds at once that there is nothing to do.
"""

import hashlib
import subprocess
import sys
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path

import psycopg
from psycopg import sql

from tenancy.local.errors import LocalPlatformError
from tenancy.local.postgres import Postgres
from tenancy.local.provision import LEDGER


class Migration:
    """A migration of the teams' ledgers that runs beside other work.

    Args:
        postgres: a running server with the teams' schemas.
        teams: the schemas.
        environment: variables of the process.
    """

    def __init__(self, postgres: Postgres, teams: Sequence[str], environment: Mapping[str, str]) -> None:
        self._url = postgres.url(LEDGER)
        self._digest = _digest()
        self._waiting = [team for team in teams if self._noted(team) != self._digest]
        self._process: subprocess.Popen[str] | None = None
        if self._waiting:
            arguments = [argument for team in self._waiting for argument in (postgres.url(LEDGER, team), team)]
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tenancy.local.ledgers", *arguments],
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                start_new_session=True,
            )

    def is_done(self) -> bool:
        """Say whether every ledger is at the newest schema.

        Raises:
            LocalPlatformError: the migration has failed; with what it printed.
        """
        if self._process is None:
            return True
        if self._process.poll() is None:
            return False
        printed, _ = self._process.communicate()
        if self._process.returncode:
            raise LocalPlatformError(f"the ledgers could not be migrated:\n{printed.strip()}")
        self._process = None
        for team in self._waiting:
            self._note(team)
        return True

    def kill(self) -> None:
        """End it; a migration is one transaction, so nothing is left half done."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def _noted(self, team: str) -> str | None:
        with psycopg.connect(self._url, autocommit=True) as connection:
            row = connection.execute(
                "SELECT obj_description(oid, 'pg_namespace') FROM pg_namespace WHERE nspname = %s", [team]
            ).fetchone()
        return row[0] if row else None

    def _note(self, team: str) -> None:
        with psycopg.connect(self._url, autocommit=True) as connection:
            statement = sql.SQL("COMMENT ON SCHEMA {} IS {}")
            connection.execute(statement.format(sql.Identifier(team), sql.Literal(self._digest)))


def _digest() -> str:
    """Return what stands for the library's migrations, without importing the library."""
    spec = find_spec("sensor_assets")
    if spec is None or spec.origin is None:
        raise LocalPlatformError("the package sensor-assets is not installed: run `make setup`")
    versions = Path(spec.origin).parent / "ledger" / "migrations" / "versions"
    digest = hashlib.sha256()
    for path in sorted(versions.glob("*.py")):
        digest.update(path.read_bytes())
    return f"migrations {digest.hexdigest()[:16]}"


def main(arguments: Sequence[str]) -> None:
    """Migrate each ledger: `python -m tenancy.local.ledgers URL SCHEMA URL SCHEMA ...`."""
    from sensor_assets.ledger import migrate  # noqa: PLC0415 - only this process pays for loading it

    for url, schema in zip(arguments[::2], arguments[1::2], strict=True):
        migrate(url, schema)


if __name__ == "__main__":
    main(sys.argv[1:])
