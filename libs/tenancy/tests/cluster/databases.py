"""A real Postgres that asks for passwords, as one on a cluster does, and what a test may find in it."""

import shutil
import tempfile
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from tenancy.cluster.environment import Login, Server
from tenancy.local.ports import any_free
from tenancy.local.postgres import Postgres

SUPERUSER = Login("postgres", "of-the-superuser")
"""The login that a database in the cluster, or a server of one's own, has."""
MASTER = Login("master", "of-the-master")
"""The login that a managed database has: no superuser, but it may make roles and databases."""

DAGSTER_PASSWORD = "of-the-control-plane"
OWNER = "prod/dagster/platform"
"""The control plane whose server it is."""
PASSWORDS = {"night_shift": "of-night_shift~2", "weather": "of-weather.1"}


@dataclass(frozen=True)
class Database:
    """A server and what one does to it from outside."""

    process: Postgres
    server: Server

    @property
    def environment(self) -> dict[str, str]:
        """Variables of every command; those of the login are the control plane's."""
        return {
            "DATABASE_HOST": self.server.host,
            "DATABASE_PORT": str(self.server.port),
            "DATABASE_SSLMODE": self.server.sslmode,
            "DATABASE_USERNAME": "dagster",
            "DATABASE_PASSWORD": DAGSTER_PASSWORD,
        }

    def connect(self, database: str = "postgres", login: Login = SUPERUSER) -> psycopg.Connection:
        """Open a session as somebody."""
        return psycopg.connect(self.server.url(database, login), autocommit=True)

    def execute(self, statement: str, database: str = "postgres", login: Login = SUPERUSER) -> list[Any]:
        """Execute one statement; returns its rows."""
        with self.connect(database, login) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    def reset(self) -> None:
        """Drop all databases and roles but the server's own, and make the login of a managed database."""
        for (name,) in self.execute("SELECT datname FROM pg_database WHERE datname !~ '^(postgres|template)'"):
            self.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
        for (name,) in self.execute("SELECT rolname FROM pg_roles WHERE rolname !~ '^(postgres|pg_)'"):
            self.execute(f'DROP OWNED BY "{name}"')
            self.execute(f'DROP ROLE "{name}"')
        self.execute(f"CREATE ROLE master LOGIN CREATEROLE CREATEDB PASSWORD '{MASTER.password}'")


@contextmanager
def running(settings: Mapping[str, str] | None = None) -> Generator[Database]:
    """Start a server on a port of this machine."""
    # Not pytest's own directory: it is too long for a socket, and closed to the user that runs Postgres for root.
    home = Path(tempfile.mkdtemp(prefix="cl-"))
    home.chmod(0o755)
    port = any_free(0)
    addressed = {"listen_addresses": "127.0.0.1", "port": str(port), **(settings or {})}
    try:
        with Postgres(home / "data", home / "socket", durable=False, settings=addressed) as process:
            with psycopg.connect(f"{process.url()}&port={port}", autocommit=True) as connection:
                connection.execute(f"ALTER ROLE postgres PASSWORD '{SUPERUSER.password}'".encode())
                access = home / "data" / "pg_hba.conf"
                access.write_text("local all all trust\nhost all all 127.0.0.1/32 scram-sha-256\n")
                connection.execute("SELECT pg_reload_conf()")
            database = Database(process, Server("127.0.0.1", port, "disable"))
            yield database
    finally:
        shutil.rmtree(home, ignore_errors=True)
