"""A real Postgres for the whole session, and a migrated ledger that is empty at the start of each test."""

import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import psycopg
import pytest
from sensor_assets.ledger import PostgresLedger, migrate
from tenancy.local.postgres import Postgres

from . import object_stores

# A script that starts the tests in the background leaves SIGINT ignored, and Dagster handles SIGTERM as it finds SIGINT
# handled. Its children inherit that, and those that copy a run's output are then waited for half a minute each.
for ending in (signal.SIGINT, signal.SIGTERM):
    if signal.getsignal(ending) is signal.SIG_IGN:
        signal.signal(ending, signal.default_int_handler)

SCHEMA = "team_a"

# In an order that foreign keys allow. Deleting is several times faster than truncating tables of a few rows.
TABLES = (
    "slice",
    "quarantine",
    "batch",
    "parked",
    "consumer_position",
    "consumer",
    "monitor",
    "listing_page",
    "gone",
    "item",
    "message",
    "source",
)


@dataclass(frozen=True)
class LedgerSchema:
    """Where a migrated ledger lives."""

    url: str
    schema: str

    def open(self) -> PostgresLedger:
        """Return a ledger with a connection pool of its own; the caller closes it."""
        return PostgresLedger(self.url, self.schema)

    def empty(self) -> None:
        """Delete everything in the ledger."""
        with psycopg.connect(self.url, options=f"-c search_path={self.schema}") as connection:
            for table in TABLES:
                connection.execute(f"delete from {table}")  # type: ignore[arg-type]


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    # Not pytest's own directory: it is too long for a socket, and closed to the user that runs Postgres for root.
    home = Path(tempfile.mkdtemp(prefix="sa-"))
    home.chmod(0o755)
    try:
        with Postgres(home / "data", home / "socket", durable=False) as server:
            yield server
    finally:
        shutil.rmtree(home, ignore_errors=True)


@pytest.fixture
def new_schema(postgres: Postgres) -> Iterator[Callable[[str], str]]:
    """Return a function that makes a role with an empty schema of the same name, and returns the role's URL."""
    made: list[str] = []

    def make(name: str) -> str:
        with psycopg.connect(postgres.url(), autocommit=True) as connection:
            connection.execute(f"create role {name} login")  # type: ignore[arg-type]
            connection.execute(f"create schema {name} authorization {name}")  # type: ignore[arg-type]
        made.append(name)
        return postgres.url(role=name)

    yield make
    with psycopg.connect(postgres.url(), autocommit=True) as connection:
        for name in made:
            connection.execute(f"drop schema if exists {name} cascade")  # type: ignore[arg-type]
            connection.execute(f"drop role {name}")  # type: ignore[arg-type]


@pytest.fixture(scope="session")
def migrated(postgres: Postgres) -> LedgerSchema:
    with psycopg.connect(postgres.url(), autocommit=True) as connection:
        connection.execute(f"create role {SCHEMA} login")  # type: ignore[arg-type]
        connection.execute(f"create schema {SCHEMA} authorization {SCHEMA}")  # type: ignore[arg-type]
    url = postgres.url(role=SCHEMA)
    migrate(url, SCHEMA)
    return LedgerSchema(url, SCHEMA)


@pytest.fixture
def ledger_schema(migrated: LedgerSchema) -> LedgerSchema:
    """Return the empty ledger's place, for tests that open it several times."""
    migrated.empty()
    return migrated


@pytest.fixture
def schema_url(ledger_schema: LedgerSchema) -> str:
    """Return the URL of the empty ledger; its schema is `team_a`."""
    return ledger_schema.url


@pytest.fixture
def ledger(ledger_schema: LedgerSchema) -> Iterator[PostgresLedger]:
    opened = ledger_schema.open()
    yield opened
    opened.close()


@pytest.fixture(scope="session")
def moto_url() -> Iterator[str]:
    """A server that speaks S3 and SQS, in a process of its own."""
    with object_stores.moto_server() as url:
        yield url


@pytest.fixture
def s3(moto_url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The environment of a location that reads S3, and an empty bucket; the URL of the server."""
    object_stores.s3_environment(monkeypatch, moto_url)
    httpx.post(f"{moto_url}/moto-api/reset").raise_for_status()
    httpx.put(f"{moto_url}/bucket").raise_for_status()
    return moto_url


@pytest.fixture(scope="session")
def versitygw_home() -> Iterator[Path]:
    """A folder that versitygw may serve: below `data`, a folder for each bucket."""
    home = Path(tempfile.mkdtemp(prefix="gw-"))
    yield home
    shutil.rmtree(home, ignore_errors=True)


@pytest.fixture(scope="session")
def versitygw_url(versitygw_home: Path) -> Iterator[str]:
    """A server that checks signatures and lists fast."""
    with object_stores.versitygw(versitygw_home) as url:
        yield url


@pytest.fixture
def versity(versitygw_url: str, versitygw_home: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The environment of a location that reads from versitygw, and an empty bucket; the URL of the server."""
    object_stores.s3_environment(monkeypatch, versitygw_url)
    for name in ("data", "versions"):
        shutil.rmtree(versitygw_home / name / "bucket", ignore_errors=True)
    object_stores.client("s3").create_bucket(Bucket="bucket")
    return versitygw_url
