"""Who may see what in the private Postgres."""

from collections.abc import Iterator

import psycopg
import pytest
from psycopg.errors import InsufficientPrivilege
from tenancy.local.postgres import Postgres
from tenancy.local.provision import DAGSTER, FEEDS, LEDGER, OUTSIDE, READER, provision


@pytest.fixture(scope="module")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    base = tmp_path_factory.mktemp("pg")
    with Postgres(base / "data", base / "s", durable=False) as server:
        provision(server, ["weather", "night_shift"])
        yield server


def connect(postgres: Postgres, database: str, role: str) -> psycopg.Connection:
    return psycopg.connect(postgres.url(database, role), autocommit=True)


def test_a_team_owns_its_schema_and_finds_it_without_naming_it(postgres: Postgres) -> None:
    with connect(postgres, LEDGER, "weather") as weather:
        weather.execute("CREATE TABLE item (value int)")
        weather.execute("CREATE TEMPORARY TABLE incoming (value int)")
        found = weather.execute("SELECT schemaname FROM pg_tables WHERE tablename = 'item'").fetchall()
    assert found == [("weather",)]


def test_a_team_can_neither_read_nor_write_another_teams_schema(postgres: Postgres) -> None:
    with connect(postgres, LEDGER, "weather") as weather:
        weather.execute("CREATE TABLE IF NOT EXISTS secret AS SELECT 1 AS value")
    with connect(postgres, LEDGER, "night_shift") as other:
        for statement in ("SELECT * FROM weather.secret", "CREATE TABLE weather.x ()", "CREATE TABLE public.x ()"):
            with pytest.raises(InsufficientPrivilege):
                other.execute(statement)


@pytest.mark.parametrize("database", [DAGSTER, OUTSIDE])
def test_a_team_connects_to_no_other_database_of_the_platform(postgres: Postgres, database: str) -> None:
    with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
        connect(postgres, database, "weather")


def test_the_fleets_reader_reads_what_the_feeds_make_and_writes_nothing(postgres: Postgres) -> None:
    with connect(postgres, OUTSIDE, FEEDS) as feeds:
        feeds.execute("CREATE TABLE planes AS SELECT 'N1' AS tailnum")
    with connect(postgres, OUTSIDE, READER) as reader:
        assert reader.execute("SELECT tailnum FROM planes").fetchone() == ("N1",)
        with pytest.raises(InsufficientPrivilege):
            reader.execute("DELETE FROM planes")


def test_it_can_be_done_again_and_with_more_teams(postgres: Postgres) -> None:
    provision(postgres, ["weather", "night_shift", "fleet"])
    with connect(postgres, LEDGER, "fleet") as fleet:
        assert fleet.execute("SELECT current_schema()").fetchone() == ("fleet",)
