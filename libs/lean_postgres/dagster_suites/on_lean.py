"""A pytest plugin: every instance that Dagster's tests make has the lean storage, and a database of its own.

Such a database is a copy of one that Dagster has created, which takes a tenth of the time.
"""

import itertools
import shutil
import tempfile
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dagster as dg
import psycopg
import pytest
from lean_postgres import LeanPostgresScheduleStorage, close_pools
from tenancy.local.postgres import Postgres

TEMPLATE = "template_of_tests"

_home = Path(tempfile.mkdtemp(prefix="lp-"))
_home.chmod(0o755)
_postgres = Postgres(_home / "data", _home / "socket", durable=False)
_numbers = itertools.count()
_instance_for_test = dg.instance_for_test


def pytest_sessionstart(session: pytest.Session) -> None:  # noqa: ARG001
    """Start Postgres, before Dagster's tests are imported."""
    _postgres.start()
    _create(TEMPLATE, of="template0")
    with _instance_for_test(overrides=_storage(TEMPLATE)):
        pass
    close_pools()


def pytest_sessionfinish(session: pytest.Session) -> None:  # noqa: ARG001
    """Stop Postgres."""
    close_pools()
    _postgres.stop()
    shutil.rmtree(_home, ignore_errors=True)


@contextmanager
def instance_for_test(overrides: Mapping[str, Any] | None = None, **options: Any) -> Generator[dg.DagsterInstance]:
    """Make an instance as Dagster's own function of this name does, with another storage."""
    name = f"test_{next(_numbers)}"
    _create(name, of=TEMPLATE)
    with _instance_for_test(overrides={**_storage(name), **(overrides or {})}, **options) as instance:
        if not isinstance(instance.schedule_storage, LeanPostgresScheduleStorage):
            raise TypeError(f"{type(instance.schedule_storage).__name__} is not what is to be tested")
        yield instance
    close_pools()


def _create(name: str, *, of: str) -> None:
    with psycopg.connect(_postgres.url(), autocommit=True) as connection:
        connection.execute(f"create database {name} template {of}".encode())


def _storage(database: str) -> dict[str, Any]:
    config = {"postgres_url": _postgres.url(database)}
    return {"storage": {"custom": {"module": "lean_postgres", "class": "LeanPostgresStorage", "config": config}}}


dg.instance_for_test = instance_for_test
