"""At most one daemon works, and another one takes over whatever happens to it."""

import subprocess
import sys
import threading
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tenancy.cluster import sole as module
from tenancy.cluster.environment import Server
from tenancy.cluster.errors import ControlPlaneError
from tenancy.cluster.sole import sole
from tenancy.local.ports import any_free

from . import databases, plane
from .databases import SUPERUSER, Database

HOLDER = Path(__file__).with_name("holder.py")
SESSIONS = "SELECT pid FROM pg_stat_activity WHERE application_name = 'tenancy daemon'"
HOLDING = f"SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted AND pid IN ({SESSIONS})"


@contextmanager
def daemon(database: Database) -> Generator[subprocess.Popen[str]]:
    """Start a process that wants to be the daemon."""
    process = subprocess.Popen(
        [sys.executable, str(HOLDER), str(database.server.port), SUPERUSER.password], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "waiting\n"
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def says_holding(process: subprocess.Popen[str]) -> None:
    assert process.stdout is not None
    assert process.stdout.readline() == "holding\n"


@pytest.fixture
def postgres(server: Database) -> Iterator[Database]:
    yield server
    plane.until(lambda: not server.execute(SESSIONS))


def test_the_second_waits_and_takes_over_when_the_first_is_killed(postgres: Database) -> None:
    with daemon(postgres) as first:
        says_holding(first)
        with daemon(postgres) as second:
            plane.until(lambda: len(postgres.execute(SESSIONS)) == 2)
            time.sleep(1)
            assert len(postgres.execute(HOLDING)) == 1
            first.kill()
            began = time.monotonic()
            says_holding(second)
            assert time.monotonic() - began < 10
            assert second.poll() is None


def test_a_daemon_whose_session_was_ended_by_the_server_ends_at_once(postgres: Database) -> None:
    with daemon(postgres) as first:
        says_holding(first)
        ((pid,),) = postgres.execute(HOLDING)
        began = time.monotonic()
        postgres.execute(f"SELECT pg_terminate_backend({pid})")
        assert first.wait(10) == 1
        assert time.monotonic() - began < module.ASK_SECONDS, "it hears of it, and does not find out by asking"


def test_a_daemon_ends_when_the_database_goes_down_and_comes_back_with_it() -> None:
    with databases.running() as database:
        with daemon(database) as first:
            says_holding(first)
            database.process.kill()
            assert first.wait(10) == 1
        with daemon(database) as next_one:
            time.sleep(1.5)
            assert next_one.poll() is None, "it waits for the database"
            database.process.start()
            says_holding(next_one)


def test_the_lock_is_given_back_in_order(postgres: Database) -> None:
    lost = threading.Event()
    for _ in range(2):
        with sole(postgres.server, "postgres", SUPERUSER, key="", lost=lost.set):
            assert len(postgres.execute(HOLDING)) == 1
        assert postgres.execute(HOLDING) == []
    assert not lost.is_set()


def test_a_database_that_stays_away_is_an_error_with_the_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "START_SECONDS", 0.5)
    nobody = Server("127.0.0.1", any_free(0), "disable")
    with (
        pytest.raises(ControlPlaneError, match=r"cannot connect.*database\.host"),
        sole(nobody, "x", SUPERUSER, key=""),
    ):
        pass
