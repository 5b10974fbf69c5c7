"""Who may do what in the database that the migration makes."""

import pytest
from psycopg.errors import InsufficientPrivilege
from tenancy.cluster import migration
from tenancy.cluster.environment import Login

from .databases import DAGSTER_PASSWORD, MASTER, OWNER, PASSWORDS, Database

CONTROL_PLANE = Login("dagster", DAGSTER_PASSWORD)
WEATHER = Login("weather", PASSWORDS["weather"])


@pytest.fixture(scope="module")
def migrated(server: Database) -> Database:
    server.reset()
    migration.migrate(server.server, MASTER, PASSWORDS, DAGSTER_PASSWORD, owner=OWNER, seconds=0)
    return server


@pytest.mark.parametrize(
    "statement",
    [
        "DROP TABLE runs",
        "ALTER TABLE runs ADD COLUMN mine int",
        "TRUNCATE event_logs",
        "CREATE TABLE mine (value int)",
        "CREATE SCHEMA mine",
        "ALTER TABLE runs OWNER TO weather",
        "SET ROLE dagster",
        "ALTER ROLE night_shift PASSWORD 'mine'",
        "CREATE ROLE mine",
    ],
)
def test_a_team_cannot_change_more_than_rows_of_the_instance(migrated: Database, statement: str) -> None:
    with pytest.raises(InsufficientPrivilege):
        migrated.execute(statement, "dagster", WEATHER)


def test_a_grant_that_a_team_tries_gives_nothing(migrated: Database) -> None:
    before = migrated.execute("SELECT relacl::text FROM pg_class WHERE relname = 'kvs'", "dagster")
    migrated.execute("GRANT ALL ON kvs TO PUBLIC", "dagster", WEATHER)  # Postgres warns, and does nothing
    assert migrated.execute("SELECT relacl::text FROM pg_class WHERE relname = 'kvs'", "dagster") == before


@pytest.mark.parametrize(
    ("statement", "database", "login"),
    [
        ("SELECT * FROM night_shift.source", "ledger", WEATHER),
        ("SELECT * FROM night_shift.alembic_version", "ledger", WEATHER),
        ("CREATE TABLE night_shift.mine (value int)", "ledger", WEATHER),
        ("CREATE TABLE public.mine (value int)", "ledger", WEATHER),
        ("SELECT * FROM weather.source", "ledger", CONTROL_PLANE),
        ("UPDATE weather.alembic_version SET version_num = '0'", "ledger", CONTROL_PLANE),
        ("CREATE TABLE weather.mine (value int)", "ledger", CONTROL_PLANE),
    ],
)
def test_a_ledger_is_its_team_s_alone(migrated: Database, statement: str, database: str, login: Login) -> None:
    with pytest.raises(InsufficientPrivilege):
        migrated.execute(statement, database, login)


def test_a_team_uses_its_ledger_without_naming_it(migrated: Database) -> None:
    assert migrated.execute("SELECT current_schema()", "ledger", WEATHER) == [("weather",)]
    migrated.execute("CREATE TEMPORARY TABLE incoming (value int)", "ledger", WEATHER)


def test_runs_may_write_to_tables_that_a_later_version_makes(migrated: Database) -> None:
    migrated.execute("CREATE TABLE later (id serial PRIMARY KEY, value int)", "dagster", CONTROL_PLANE)
    assert migrated.execute("INSERT INTO later (value) VALUES (1) RETURNING id", "dagster", WEATHER) == [(1,)]
    migrated.execute("DROP TABLE later", "dagster", CONTROL_PLANE)
