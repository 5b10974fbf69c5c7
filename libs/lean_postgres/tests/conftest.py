"""A real Postgres for the whole session, new databases for a test, and no pool that outlives it."""

import itertools
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from lean_postgres import close_pools
from tenancy.local.postgres import Postgres

from .instances import STOCK, execute, opened

NewDatabase = Callable[..., str]


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    # Not pytest's own directory: it is too long for a socket, and closed to the user that runs Postgres for root.
    home = Path(tempfile.mkdtemp(prefix="lp-"))
    home.chmod(0o755)
    try:
        with Postgres(home / "data", home / "socket", durable=False) as server:
            yield server
    finally:
        shutil.rmtree(home, ignore_errors=True)


@pytest.fixture(scope="session")
def numbers() -> Iterator[int]:
    return itertools.count()


@pytest.fixture(scope="session")
def template(postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return the name of a database that stock's storage has created; copying it is much faster."""
    execute(postgres.url(), "create database template_of_tests")
    with opened(STOCK, postgres.url("template_of_tests"), tmp_path_factory.mktemp("template")):
        pass
    return "template_of_tests"


@pytest.fixture
def new_database(postgres: Postgres, template: str, numbers: Iterator[int]) -> Iterator[NewDatabase]:
    """Return a function that makes a database, in a time zone far from UTC, and returns its URL."""
    made: list[str] = []

    def make(*, empty: bool = False, timezone: str = "America/New_York") -> str:
        made.append(f"test_{next(numbers)}")
        execute(postgres.url(), f"create database {made[-1]} template {'template0' if empty else template}")
        execute(postgres.url(), f"alter database {made[-1]} set timezone to '{timezone}'")
        return postgres.url(made[-1])

    yield make
    close_pools()
    for name in made:
        execute(postgres.url(), f"drop database {name} with (force)")
