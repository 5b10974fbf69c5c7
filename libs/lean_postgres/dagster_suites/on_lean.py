"""A pytest plugin: every instance that Dagster's tests make has the lean storage, and an empty database of its own."""

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
from lean_postgres import close_pools
from tenancy.local.postgres import Postgres

_home = Path(tempfile.mkdtemp(prefix="lp-"))
_home.chmod(0o755)
_postgres = Postgres(_home / "data", _home / "socket", durable=False)
_numbers = itertools.count()
_instance_for_test = dg.instance_for_test


def pytest_sessionstart(session: pytest.Session) -> None:  # noqa: ARG001
    """Start Postgres, before Dagster's tests are imported."""
    _postgres.start()


def pytest_sessionfinish(session: pytest.Session) -> None:  # noqa: ARG001
    """Stop Postgres."""
    close_pools()
    _postgres.stop()
    shutil.rmtree(_home, ignore_errors=True)


@contextmanager
def instance_for_test(overrides: Mapping[str, Any] | None = None, **options: Any) -> Generator[dg.DagsterInstance]:
    """Make an instance as Dagster's own function of this name does, with another storage."""
    name = f"test_{next(_numbers)}"
    with psycopg.connect(_postgres.url(), autocommit=True) as connection:
        connection.execute(f"create database {name}".encode())
    storage = {
        "module": "lean_postgres",
        "class": "LeanPostgresStorage",
        "config": {"postgres_url": _postgres.url(name)},
    }
    with _instance_for_test(overrides={"storage": {"custom": storage}, **(overrides or {})}, **options) as instance:
        assert type(instance.schedule_storage).__module__.startswith("lean_postgres")
        yield instance
    close_pools()


dg.instance_for_test = instance_for_test
