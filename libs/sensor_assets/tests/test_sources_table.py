"""Tables of a real Postgres, with transactions that commit in another order than they began."""

import random
import socket
import threading
from collections.abc import Callable, Iterator

import psycopg
import pytest
from psycopg import sql
from sensor_assets import SourceError, TableSource
from sensor_assets.ledger import PostgresLedger
from tenancy.local.postgres import Postgres

from .scanning import BUDGET_SECONDS, Scanner, error_within

TABLE = """
create table planes (
    tailnum text primary key,
    seats integer not null,
    changed bigint not null default 0,
    touched timestamptz not null default now()
);
create function mark() returns trigger language plpgsql as $$
begin
    new.changed := pg_current_xact_id()::text::bigint;
    return new;
end $$;
create trigger mark before insert or update on planes for each row execute function mark();
"""
WORKERS = 4
TRANSACTIONS = 25


@pytest.fixture
def outside(postgres: Postgres) -> str:
    """Return the URL of an empty database with the table of planes."""
    with psycopg.connect(postgres.url(), autocommit=True) as connection:
        connection.execute("drop database if exists outside with (force)")
        connection.execute("create database outside")
    url = postgres.url("outside")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(TABLE)
    return url


@pytest.fixture
def planes(outside: str, ledger: PostgresLedger) -> Iterator[Scanner]:
    scanner = Scanner(ledger, TableSource("planes", url=outside, table="planes", key="tailnum", version="changed"))
    yield scanner
    scanner.close()


def put(connection: psycopg.Connection, *tailnums: str, seats: int = 1) -> None:
    for tailnum in tailnums:
        connection.execute(
            "insert into planes (tailnum, seats) values (%s, %s) "
            "on conflict (tailnum) do update set seats = excluded.seats, touched = now()",
            (tailnum, seats),
        )


def put_many(connection: psycopg.Connection, number: int) -> None:
    connection.execute(
        "insert into planes (tailnum, seats) select 'N' || i, i from generate_series(1, %s) i", (number,)
    )


def test_a_row_is_seen_when_it_appears_and_again_when_it_changes(planes: Scanner, outside: str) -> None:
    with psycopg.connect(outside, autocommit=True) as connection:
        put(connection, "N1", "N2")
        assert planes.scan() == 2
        assert planes.scan() == 0
        put(connection, "N1", seats=2)
        assert planes.scan() == 1
        assert [row["seats"] for row in planes.rows([planes.item("N1")])] == [2]


def test_a_transaction_that_commits_after_a_later_one_is_not_skipped(planes: Scanner, outside: str) -> None:
    with psycopg.connect(outside) as slow, psycopg.connect(outside) as fast:
        put(slow, "early")
        put(fast, "late")
        fast.commit()
        planes.scan()
        slow.commit()
        planes.scan()
    assert planes.keys() == ["early", "late"]


def test_rows_wait_as_long_as_an_older_transaction_is_open(planes: Scanner, outside: str) -> None:
    with psycopg.connect(outside) as slow, psycopg.connect(outside, autocommit=True) as fast:
        put(fast, "before")
        put(slow, "open")
        put(fast, "after")
        assert planes.scan() == 1
        assert planes.keys() == ["before"]
        slow.rollback()
        assert planes.scan() == 1
        assert planes.keys() == ["after", "before"]


@pytest.mark.parametrize("seed", range(3))
def test_no_version_is_missed_whatever_the_order_of_commits(seed: int, planes: Scanner, outside: str) -> None:
    print(f"seed {seed}")
    writing = [threading.Thread(target=write, args=(outside, seed, worker)) for worker in range(WORKERS)]
    for thread in writing:
        thread.start()
    while any(thread.is_alive() for thread in writing):
        planes.scan(pages=random.Random(seed).choice([1, None]))
    planes.scan()
    with psycopg.connect(outside) as connection:
        rows = connection.execute("select tailnum, changed::text from planes").fetchall()
    assert {item.key: item.version for item in planes.items()} == dict(rows)
    assert len(planes.rows(planes.items())) == len(rows)


def write(url: str, seed: int, worker: int) -> None:
    """Change rows in transactions of random length, some of which are rolled back."""
    choose = random.Random(f"{seed} {worker}")
    with psycopg.connect(url) as connection:
        for _ in range(TRANSACTIONS):
            put(connection, f"{worker}-{choose.randrange(8)}", seats=choose.randrange(100))
            threading.Event().wait(choose.choice([0, 0, 0.005, 0.02]))
            put(connection, f"{worker}-{choose.randrange(8)}", seats=choose.randrange(100))
            connection.rollback() if choose.random() < 0.2 else connection.commit()


@pytest.mark.parametrize("number", [999, 1000, 1001, 2500])
def test_all_rows_of_one_large_transaction_are_seen(number: int, planes: Scanner, outside: str) -> None:
    with psycopg.connect(outside, autocommit=True) as connection:
        put_many(connection, number)
    assert planes.scan() == number
    assert planes.scan() == 0


def test_a_scan_that_was_cut_short_goes_on_where_it_stopped(planes: Scanner, outside: str) -> None:
    with psycopg.connect(outside, autocommit=True) as connection:
        for number in range(1500):
            put(connection, f"N{number}")
        assert planes.scan(pages=1) == 1000
        put(connection, "N0", seats=9)
        assert planes.scan() == 501
    assert len(planes.items()) == 1500


def test_rows_that_changed_since_they_were_seen_are_left_to_their_newer_version(planes: Scanner, outside: str) -> None:
    with psycopg.connect(outside, autocommit=True) as connection:
        put(connection, "N1", "N2", "N3")
        planes.scan()
        seen = planes.items()
        put(connection, "N2", seats=2)
        connection.execute("delete from planes where tailnum = 'N3'")
    [row] = planes.rows(seen)
    assert row["tailnum"] == "N1"
    assert set(row) == {"tailnum", "seats", "changed", "touched"}


def test_the_rows_of_more_items_than_a_page_are_read(planes: Scanner, outside: str) -> None:
    with psycopg.connect(outside, autocommit=True) as connection:
        put_many(connection, 2500)
    planes.scan()
    assert len(planes.rows(planes.items())) == 2500


def test_a_numeric_key_in_another_schema_is_found_again(outside: str, ledger: PostgresLedger) -> None:
    with psycopg.connect(outside, autocommit=True) as connection:
        connection.execute("create schema stock")
        connection.execute("create table stock.parts (id bigint primary key, xact bigint not null)")
        connection.execute(
            "insert into stock.parts select i, pg_current_xact_id()::text::bigint from generate_series(9, 11) i"
        )
    scanner = Scanner(ledger, TableSource("parts", url=outside, table="stock.parts", key="id", version="xact"))
    scanner.scan()
    assert scanner.keys() == ["10", "11", "9"]
    assert sorted(row["id"] for row in scanner.rows(scanner.items())) == [9, 10, 11]
    scanner.close()


def test_with_a_time_column_rows_wait_until_no_transaction_can_commit_below_them(
    outside: str, ledger: PostgresLedger
) -> None:
    lag = 0.5
    source = TableSource("planes", url=outside, table="planes", key="tailnum", version="touched", lag=lag)
    scanner = Scanner(ledger, source)
    with psycopg.connect(outside, autocommit=True) as connection, psycopg.connect(outside) as slow:
        put(connection, "old")
        threading.Event().wait(lag)
        put(slow, "slow")
        put(connection, "young")
        assert scanner.scan() == 1
        assert scanner.keys() == ["old"]
        slow.commit()
        threading.Event().wait(lag)
        assert scanner.scan() == 2
        assert scanner.scan() == 0
    assert len(scanner.rows(scanner.items())) == 3
    scanner.close()


def no_table(outside: str) -> TableSource:
    return TableSource("planes", url=outside, table="airplanes", key="tailnum", version="changed")


def no_column(outside: str) -> TableSource:
    return TableSource("planes", url=outside, table="planes", key="tailnum", version="modified")


def no_database(outside: str) -> TableSource:
    return TableSource(
        "planes", url=outside.replace("/outside", "/inside"), table="planes", key="tailnum", version="changed"
    )


def no_server(outside: str) -> TableSource:
    return TableSource("planes", url="postgresql://nobody:secret@127.0.0.1:1/x", table="planes", key="k", version="v")


def no_right(outside: str) -> TableSource:
    with psycopg.connect(outside, autocommit=True) as connection:
        exists = connection.execute("select from pg_roles where rolname = 'stranger'").fetchone()
        if exists is None:
            connection.execute("create role stranger login")
        connection.execute(sql.SQL("revoke all on planes from public"))
    return TableSource(
        "planes", url=outside.replace("postgres@", "stranger@"), table="planes", key="tailnum", version="changed"
    )


@pytest.mark.parametrize(
    ("declare", "reason"),
    [
        (no_table, "there is no table 'airplanes'"),
        (no_column, "table 'planes' has no column 'modified', it has tailnum, seats, changed, touched"),
        (no_database, 'database "inside" does not exist'),
        (no_server, r"postgresql\+psycopg://nobody:\*\*\*@127.0.0.1:1/x: .*[Cc]onnection refused"),
        (no_right, "permission denied for table planes"),
    ],
)
def test_what_cannot_be_read_is_named_and_no_password_with_it(
    declare: Callable[[str], TableSource], reason: str, outside: str, ledger: PostgresLedger
) -> None:
    scanner = Scanner(ledger, declare(outside))
    with pytest.raises(SourceError, match=rf"(?s)source 'planes' cannot read .*{reason}") as error:
        scanner.scan()
    assert "secret" not in str(error.value)
    scanner.close()


def test_a_table_that_is_made_later_is_found_without_a_restart(outside: str, ledger: PostgresLedger) -> None:
    scanner = Scanner(ledger, no_table(outside))
    with pytest.raises(SourceError):
        scanner.scan()
    with psycopg.connect(outside, autocommit=True) as connection:
        put(connection, "N1")
        connection.execute("alter table planes rename to airplanes")
    assert scanner.scan() == 1
    scanner.close()


def test_a_connection_that_the_server_ended_is_made_anew(planes: Scanner, outside: str) -> None:
    with psycopg.connect(outside, autocommit=True) as connection:
        put(connection, "N1")
        planes.scan()
        connection.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity "
            "where datname = 'outside' and pid <> pg_backend_pid()"
        )
        put(connection, "N2")
        assert planes.scan() == 1


def test_a_table_that_somebody_holds_locked_fails_before_the_evaluation_has_used_up_its_time(
    planes: Scanner, outside: str
) -> None:
    with psycopg.connect(outside) as connection:
        connection.execute("lock table planes in access exclusive mode")
        error = error_within(BUDGET_SECONDS, planes)
    assert isinstance(error, SourceError)


def test_a_database_that_never_answers_fails_before_the_evaluation_has_used_up_its_time(
    ledger: PostgresLedger,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"postgresql://nobody@127.0.0.1:{silent.getsockname()[1]}/x"
        scanner = Scanner(ledger, TableSource("planes", url=url, table="planes", key="tailnum", version="changed"))
        error = error_within(BUDGET_SECONDS, scanner)
    assert isinstance(error, SourceError)
