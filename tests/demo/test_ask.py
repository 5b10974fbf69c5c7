"""What the comparison reads from the databases: planes, quarantine, counts; on real Postgres and a real ledger."""

from collections.abc import Iterator
from pathlib import Path

import polars as pl
import psycopg
import pytest
from sensor_assets.ledger import migrate
from tenancy.local.postgres import Postgres

from demo.compare import TEAMS, ask
from demo.data import Year
from demo.plan import Plan
from demo.planes import PlanesFeed
from demo.render import plane

ITEM = "insert into item (source_id, arrival, size, seen_at, key, version) values (1, %s, 0, now(), %s, '1')"
QUARANTINE = "insert into quarantine values (1, %s, 1, 'why', null, now(), %s)"
BATCH = """insert into batch (id, consumer_id, state, partitions, items, bytes, created_at)
values (gen_random_uuid(), 1, %s, '{}', 1, 1, now())"""


@pytest.fixture(scope="module")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    folder: Path = tmp_path_factory.mktemp("pg")
    with Postgres(folder / "data", folder / "socket", durable=False) as postgres:
        with psycopg.connect(postgres.url(), autocommit=True) as connection:
            for database in ("outside", "ledger", "dagster"):
                connection.execute(f"create database {database}".encode())
        with psycopg.connect(postgres.url("dagster")) as connection:
            connection.execute("create table runs (id integer)")
            connection.execute("insert into runs values (1), (2)")
        for team in TEAMS:
            with psycopg.connect(postgres.url("ledger")) as connection:
                connection.execute(f"create schema {team}".encode())
            migrate(postgres.url("ledger"), team)
        yield postgres


def test_the_planes_are_read_as_they_are(postgres: Postgres, plan: Plan, year: Year, planes: pl.DataFrame) -> None:
    feed = PlanesFeed(postgres.url("outside"), year, plan)
    feed.create()
    with psycopg.connect(postgres.url("outside")) as connection:
        names = ", ".join(planes.columns)
        values = ", ".join(["%s"] * planes.width)
        connection.cursor().executemany(f"insert into planes ({names}) values ({values})".encode(), planes.rows()[:9])
    read = ask(postgres.url(), year).planes
    assert read.schema == planes.schema
    assert set(read.rows()) == set(planes.rows()[:9])
    assert list(plane(year, 0, 0)) == read.columns


def test_released_items_do_not_count_and_only_done_batches_do(postgres: Postgres, plan: Plan, year: Year) -> None:
    with psycopg.connect(postgres.url("ledger")) as connection:
        connection.execute("set search_path to operations")
        connection.execute("insert into consumer (name) values ('operations/departures')")
        for arrival, key, released in ((1, "2013-01-04-bad.csv", None), (2, "2013-01-05.csv", "2013-01-06")):
            connection.execute(ITEM, [arrival, key])
            connection.execute(QUARANTINE, [arrival, released])
        for state in ("done", "done", "split", "emitted"):
            connection.execute(BATCH, [state])
    PlanesFeed(postgres.url("outside"), year, plan).create()
    found = ask(postgres.url(), year)
    assert found.quarantined == ("2013-01-04-bad.csv",)
    assert (found.batches, found.runs) == (2, 2)
