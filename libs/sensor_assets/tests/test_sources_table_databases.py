"""Tables of databases that have no transaction ids to go by: MariaDB over the wire, and SQLite."""

import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from sensor_assets import SourceError, TableSource
from sensor_assets.ledger import PostgresLedger
from sqlalchemy import create_engine, text
from sqlalchemy.engine import Engine

from .scanning import Scanner

HOUR = timedelta(hours=1)


@dataclass(frozen=True)
class Outside:
    """A database with an empty table of parts."""

    url: str
    engine: Engine
    now: str
    """What gives the present time."""

    def put(self, number: int, *, revision: int = 0, changed: str | None = None) -> None:
        with self.engine.begin() as connection:
            connection.execute(text("delete from parts where shop = 'a' and number = :number"), {"number": number})
            moment = f"'{changed}'" if changed else self.now
            connection.execute(
                text(f"insert into parts values ('a', :number, :revision, {moment})"),
                {"number": number, "revision": revision},
            )

    def execute(self, statement: str) -> None:
        with self.engine.begin() as connection:
            connection.execute(text(statement))


@contextmanager
def with_table(url: str, columns: str, now: str) -> Generator[Outside]:
    engine = create_engine(url)
    outside = Outside(url, engine, now)
    outside.execute("drop table if exists parts")
    outside.execute(f"create table parts ({columns}, primary key (shop, number))")
    yield outside
    engine.dispose()


@pytest.fixture(scope="module")
def mariadb() -> Iterator[str]:
    """Start MariaDB's server, where it is installed, and return its URL."""
    if shutil.which("mariadbd") is None or shutil.which("mariadb-install-db") is None:
        pytest.skip("mariadbd is not installed")
    home = Path(tempfile.mkdtemp(prefix="sa-"))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    setup = ["mariadb-install-db", "--no-defaults", f"--datadir={home}/data", "--user=root", "--skip-test-db"]
    subprocess.run([*setup, "--auth-root-authentication-method=normal"], check=True, capture_output=True)
    serve = ["mariadbd", "--no-defaults", f"--datadir={home}/data", "--user=root", f"--socket={home}/socket"]
    with (home / "log").open("wb") as log:
        server = subprocess.Popen(
            [*serve, f"--port={port}", "--bind-address=127.0.0.1", "--innodb-flush-log-at-trx-commit=0"],
            stdout=log,
            stderr=log,
        )
    engine = create_engine(f"mysql+pymysql://root@127.0.0.1:{port}")
    try:
        for _ in range(150):
            try:
                with engine.begin() as connection:
                    connection.execute(text("create database outside"))
                break
            except Exception:  # noqa: BLE001 - not up yet, in whatever way
                time.sleep(0.2)
        yield f"mysql+pymysql://root@127.0.0.1:{port}/outside"
    finally:
        engine.dispose()
        server.terminate()
        server.wait(30)
        shutil.rmtree(home, ignore_errors=True)


@pytest.fixture(params=["mariadb", "sqlite", "sqlite of another form"])
def outside(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Outside]:
    if request.param == "mariadb":
        columns = "shop varchar(20), number bigint, revision bigint, changed datetime(6)"
        with with_table(request.getfixturevalue("mariadb"), columns, "now(6)") as outside:
            yield outside
        return
    # SQLite keeps a time as the text that it was given.
    now = "datetime('now')" if request.param == "sqlite" else "strftime('%Y-%m-%dT%H:%M:%f', 'now')"
    columns = "shop varchar(20), number integer, revision integer, changed datetime"
    with with_table(f"sqlite:///{tmp_path}/outside.db", columns, now) as outside:
        yield outside


Follow = Callable[..., Scanner]


@pytest.fixture
def follow(ledger: PostgresLedger, outside: Outside) -> Iterator[Follow]:
    made: list[Scanner] = []

    def make(**declared: Any) -> Scanner:
        source: Any = {"url": outside.url, "table": "parts", "key": ("shop", "number"), **declared}
        made.append(Scanner(ledger, TableSource("parts", **source)))
        return made[-1]

    yield make
    for scanner in made:
        scanner.close()


def test_a_growing_number_is_followed_with_overlap(follow: Follow, outside: Outside) -> None:
    parts = follow(version="revision", overlap=10)
    outside.put(1, revision=100)
    outside.put(2, revision=101)
    assert [parts.scan(), parts.scan()] == [2, 0]
    outside.put(3, revision=95)
    outside.put(4, revision=85)  # later than was promised
    outside.put(1, revision=102)
    assert parts.scan() == 2
    assert parts.keys() == ["a/1", "a/2", "a/3"]
    assert sorted(row["number"] for row in parts.rows(parts.items())) == [1, 2, 3]


def test_a_time_is_followed_with_overlap(follow: Follow, outside: Outside) -> None:
    parts = follow(version="changed", overlap=HOUR)
    outside.put(1)
    assert [parts.scan(), parts.scan()] == [1, 0]
    outside.put(2)
    outside.put(1, revision=1, changed="2013-01-01 00:00:00")  # earlier than was promised
    assert parts.scan() == 1
    assert len(parts.rows([parts.item("a/2")])) == 1


def test_rows_wait_for_the_lag_of_a_time(follow: Follow, outside: Outside) -> None:
    parts = follow(version="changed", lag=HOUR)
    outside.put(1)
    outside.put(2, changed="2013-01-01 00:00:00")
    assert [parts.scan(), parts.scan()] == [1, 0]
    assert parts.keys() == ["a/2"]


def test_many_rows_of_the_same_time_are_seen_though_scans_are_cut_short(follow: Follow, outside: Outside) -> None:
    parts = follow(version="changed", lag=1.0)
    rows = ", ".join(f"('a', {number}, 0, '2013-01-01 00:00:00')" for number in range(2500))
    outside.execute(f"insert into parts values {rows}")
    assert [parts.scan(pages=1) for _ in range(4)] == [1000, 1000, 500, 0]


def test_deleted_rows_are_told(follow: Follow, outside: Outside) -> None:
    parts = follow(version="revision", overlap=10, deletes=0.0)
    outside.put(1, revision=1)
    outside.put(2, revision=2)
    parts.scan()
    outside.execute("delete from parts where number = 2")
    assert [parts.scan(), parts.scan()] == [1, 0]
    assert parts.keys() == ["a/1"]


def test_a_table_whose_versions_went_back_is_compared_as_a_whole(follow: Follow, outside: Outside) -> None:
    parts = follow(version="revision", overlap=10)
    outside.put(1, revision=1000)
    outside.put(2, revision=1001)
    parts.scan()
    outside.execute("delete from parts")
    outside.put(1, revision=3)
    outside.put(2, revision=4)
    assert [parts.scan(), parts.scan()] == [2, 0]
    assert parts.item("a/1").version == "3"
    outside.put(2, revision=5)
    assert parts.scan() == 1


def test_a_percent_sign_in_a_condition_is_one(follow: Follow, outside: Outside) -> None:
    outside.put(1, revision=1)
    assert follow(version="revision", overlap=1, where="shop like '%a%' and number % 2 = 1").scan() == 1


def test_a_table_that_is_not_there_is_told_and_found_when_it_is_made(follow: Follow, outside: Outside) -> None:
    parts = follow(version="revision", overlap=1)
    outside.put(1, revision=1)
    outside.execute("alter table parts rename to moved")
    with pytest.raises(SourceError, match="there is no table 'parts'"):
        parts.scan()
    outside.execute("alter table moved rename to parts")
    assert parts.scan() == 1


def test_a_row_that_changed_after_it_was_seen_is_left_to_its_newer_version(follow: Follow, outside: Outside) -> None:
    parts = follow(version="changed", overlap=HOUR)
    outside.put(1)
    parts.scan()
    seen = parts.items()
    Event().wait(1.1)  # SQLite's clock counts in seconds
    outside.put(1)
    assert parts.rows(seen) == []
    assert parts.scan() == 1
