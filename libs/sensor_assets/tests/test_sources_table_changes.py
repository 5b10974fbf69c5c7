"""Tables that change in other ways than by new versions: deletions, restores, other types, missing values."""

import logging
import shutil
import tempfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.types.json import Jsonb
from sensor_assets import DefinitionError, SourceError, TableSource
from sensor_assets._items import UNMATCHED
from sensor_assets.ledger import PostgresLedger
from sqlalchemy import column as sql_column
from tenancy.local.postgres import Postgres

from .scanning import Scanner

ORDERS = """
create table orders (
    shop text, number bigint, day date, taken timestamptz, state text not null default 'new', total integer,
    changed bigint, touched timestamptz default clock_timestamp(), revision bigserial,
    unique (shop, number)
);
create index on orders (changed, shop, number);
create function mark() returns trigger language plpgsql as $$
begin
    new.changed := pg_current_xact_id()::text::bigint;
    return new;
end $$;
create trigger mark before insert or update on orders for each row execute function mark();
"""

Follow = Callable[..., Scanner]
Connection = psycopg.Connection[Any]


@pytest.fixture
def outside(postgres: Postgres) -> str:
    """Return the URL of a database with an empty table of orders."""
    with psycopg.connect(postgres.url(), autocommit=True) as connection:
        connection.execute("drop database if exists outside with (force)")
        connection.execute("create database outside")
    with psycopg.connect(postgres.url("outside"), autocommit=True) as connection:
        connection.execute(ORDERS)
    return postgres.url("outside")


@pytest.fixture
def shop(outside: str) -> Iterator[Connection]:
    with psycopg.connect(outside, autocommit=True) as connection:
        yield connection


@pytest.fixture
def follow(ledger: PostgresLedger, outside: str) -> Iterator[Follow]:
    """Return a function that makes a scanner of the orders, closed in the end."""
    made: list[Scanner] = []

    def make(**declared: Any) -> Scanner:
        source: Any = {"url": outside, "table": "orders", "key": ("shop", "number"), "version": "changed", **declared}
        made.append(Scanner(ledger, TableSource("orders", **source)))
        return made[-1]

    yield make
    for scanner in made:
        scanner.close()


def put(connection: Connection, shop: str | None, number: int | None, **values: Any) -> None:
    names = ["shop", "number", *values]
    updates = ", ".join(f"{name} = excluded.{name}" for name in names)
    connection.execute(
        f"insert into orders ({', '.join(names)}) values ({', '.join(['%s'] * len(names))}) "  # type: ignore[arg-type]
        f"on conflict (shop, number) do update set {updates}, revision = nextval('orders_revision_seq')",
        (shop, number, *values.values()),
    )


def fill(connection: Connection, number: int) -> None:
    connection.execute("insert into orders (shop, number) select 'a', i from generate_series(1, %s) i", (number,))


def reasons(scanner: Scanner) -> list[str]:
    return [str(item.metadata[UNMATCHED]) for item in scanner.items() if UNMATCHED in item.metadata]


def position(scanner: Scanner) -> dict[str, Any]:
    return scanner.ledger.sources(["orders"])["orders"].position


def test_a_key_of_several_columns_is_one_text_and_finds_its_row_again(follow: Follow, shop: Connection) -> None:
    orders = follow()
    put(shop, "a/b", 1, total=1)
    put(shop, "a", 1, total=2)
    put(shop, "100%", 2, total=3)
    assert orders.scan() == 3
    assert orders.keys() == ["100%25/2", "a%2Fb/1", "a/1"]
    assert [row["total"] for row in orders.rows([orders.item(key) for key in ("a/1", "100%25/2", "a%2Fb/1")])] == [
        2,
        3,
        1,
    ]
    put(shop, "a/b", 1, total=4)
    assert orders.scan() == 1


def test_only_the_named_columns_are_read(follow: Follow, shop: Connection) -> None:
    orders = follow(columns=["total", "shop"])
    put(shop, "a", 1, total=7)
    orders.scan()
    assert orders.rows(orders.items()) == [{"total": 7, "shop": "a"}]
    with pytest.raises(SourceError, match="table 'orders' has no column 'price', it has shop, number"):
        follow(columns=["price"]).rows(orders.items())


@pytest.mark.parametrize("condition", ["state <> 'draft' and shop not like '%x:y'", sql_column("state") != "draft"])
def test_a_condition_leaves_out_rows(condition: Any, follow: Follow, shop: Connection) -> None:
    orders = follow(where=condition)
    put(shop, "a", 1, state="draft")
    put(shop, "a", 2, state="new")
    assert [orders.scan(), orders.scan()] == [1, 0]
    put(shop, "a", 1, state="new")
    assert orders.scan() == 1
    assert len(orders.rows(orders.items())) == 2


def test_a_condition_that_is_no_sql_is_told(follow: Follow) -> None:
    with pytest.raises(SourceError, match=r"source 'orders' cannot read .*syntax error"):
        follow(where="state is is").scan()


def test_a_column_gives_the_partition(follow: Follow, shop: Connection) -> None:
    put(shop, "a", 1, day="2013-01-01", taken="2013-01-01 05:00+02", state="open")
    put(shop, "a", 2, taken="2013-01-01 02:00+02")
    by_day = follow(partition="day")
    assert by_day.source.gives_partition
    by_day.scan()
    assert (by_day.item("a/1").partition, by_day.item("a/2").partition) == ("2013-01-01", None)
    assert reasons(by_day) == ["the row has no value in partition column 'day'"]


@pytest.mark.parametrize(
    ("column", "partition"),
    [("taken", "2013-01-01T03:00:00"), ("state", "open"), ("number", "1"), ("day", "2013-01-01")],
)
def test_times_with_a_zone_are_partitions_in_utc_and_other_values_texts(
    column: str, partition: str, follow: Follow, shop: Connection
) -> None:
    put(shop, "a", 1, day="2013-01-01", taken="2013-01-01 05:00+02", state="open")
    orders = follow(partition=column)
    orders.scan()
    assert orders.item("a/1").partition == partition


def test_a_deleted_row_arrives_as_a_deletion_of_its_partition_and_leaves_the_rebuild(
    follow: Follow, shop: Connection, ledger: PostgresLedger
) -> None:
    orders = follow(deletes=0.0, partition="day")
    for number in (1, 2, 3):
        put(shop, "a", number, day="2013-01-01")
    assert [orders.scan(), orders.scan()] == [3, 0]
    version = orders.item("a/2").version
    shop.execute("delete from orders where number = 2")
    assert [orders.scan(), orders.scan()] == [1, 0]
    assert orders.keys() == ["a/1", "a/3"]
    [deleted] = [item for item in everything(ledger) if item["version"].startswith(b"deleted")]
    assert (deleted["key"], deleted["version"], deleted["partition"]) == (
        "a/2",
        f"deleted:{version}".encode(),
        "2013-01-01",
    )
    put(shop, "a", 2, day="2013-01-01")
    assert [orders.scan(), orders.scan()] == [1, 0]
    shop.execute("delete from orders where number = 2")
    assert orders.scan() == 1
    assert len(orders.rows(orders.items())) == 2


def everything(ledger: PostgresLedger) -> list[dict[str, Any]]:
    with ledger.transaction() as connection:
        return connection.execute("select * from item order by arrival").fetchall()


def test_rows_that_the_condition_no_longer_admits_count_as_deleted(follow: Follow, shop: Connection) -> None:
    orders = follow(deletes=0.0, where="state <> 'draft'")
    put(shop, "a", 1)
    orders.scan()
    put(shop, "a", 1, state="draft")
    assert orders.scan() == 1
    assert orders.keys() == []


def test_a_row_that_gets_another_key_is_deleted_and_new(follow: Follow, shop: Connection) -> None:
    orders = follow(deletes=0.0)
    put(shop, "a", 1)
    orders.scan()
    shop.execute("update orders set number = 2")
    assert orders.scan() == 2
    assert orders.keys() == ["a/2"]


@pytest.mark.parametrize("number", [999, 1000, 1001, 2500])
def test_all_rows_of_an_emptied_table_are_deleted_though_the_scan_is_cut_short(
    number: int, follow: Follow, shop: Connection
) -> None:
    orders = follow(deletes=0.0)
    fill(shop, number)
    orders.scan()
    shop.execute("truncate orders")
    total = sum(orders.scan(pages=2) for _ in range(6))
    assert total == number
    assert orders.items() == []
    assert orders.scan() == 0


def test_deletions_are_looked_for_as_often_as_told(follow: Follow, shop: Connection) -> None:
    orders = follow(deletes=timedelta(hours=2))
    put(shop, "a", 1)
    begin = orders.now = datetime(2013, 1, 1, tzinfo=UTC)
    orders.scan()
    shop.execute("delete from orders")
    orders.now = begin + timedelta(hours=1, minutes=59)
    assert orders.scan() == 0
    orders.now = begin + timedelta(hours=2)
    assert [orders.scan(), orders.scan()] == [1, 0]


def test_without_being_asked_to_nothing_is_taken_for_deleted(follow: Follow, shop: Connection) -> None:
    orders = follow()
    put(shop, "a", 1)
    orders.scan()
    shop.execute("truncate orders")
    assert orders.scan() == 0
    assert orders.keys() == ["a/1"]


def test_rows_without_a_key_or_version_are_counted_in_quarantine_and_the_others_go_on(
    follow: Follow, shop: Connection
) -> None:
    orders = follow()
    put(shop, "a", 1)
    put(shop, None, 1)
    put(shop, "a", None)
    assert [orders.scan(), orders.scan()] == [2, 0]
    assert reasons(orders) == [
        "2 row(s) of table 'orders' have no value in key column shop, number: they cannot be followed"
    ]
    put(shop, None, 3)
    put(shop, "b", 1)
    assert orders.scan() == 2
    assert "1 row(s)" in reasons(orders)[0]
    shop.execute("alter table orders disable trigger mark")
    put(shop, "c", 1, changed=None)
    assert [orders.scan(), orders.scan()] == [1, 0]
    assert any(
        "1 row(s) of table 'orders' have no value in version column changed" in reason for reason in reasons(orders)
    )
    assert {"a/1", "b/1"} <= set(orders.keys())


def test_pages_that_end_with_rows_without_a_key_lose_nothing(follow: Follow, shop: Connection) -> None:
    orders = follow()
    with shop.transaction():
        fill(shop, 999)
        for _ in range(500):
            put(shop, None, 1)
        shop.execute("insert into orders (shop, number) select 'z', i from generate_series(1, 999) i")
    assert orders.scan() == 1999
    assert len([item for item in orders.items() if "/" in item.key]) == 1998


@pytest.mark.parametrize("pages", [1, 3])
def test_the_first_sight_of_one_large_transaction_goes_on_where_it_stopped(
    pages: int, follow: Follow, shop: Connection
) -> None:
    orders = follow()
    fill(shop, 6500)
    seen = [orders.scan(pages=pages) for _ in range(8 // pages + 1)]
    assert seen[:2] == [1000 * pages] * 2
    assert sum(seen) == 6500


def test_overlap_sees_rows_at_once_and_those_that_commit_late(follow: Follow, shop: Connection, outside: str) -> None:
    orders = follow(version="revision", overlap=50)
    with psycopg.connect(outside) as slow:
        put(slow, "slow", 1)
        for number in range(30):
            put(shop, "a", number)
        assert [orders.scan(), orders.scan()] == [30, 0]
        slow.commit()
    assert [orders.scan(), orders.scan()] == [1, 0]
    put(shop, "a", 7)
    assert orders.scan() == 1
    assert len(orders.rows(orders.items())) == 31


def test_overlap_of_a_time_reads_the_last_seconds_again(follow: Follow, shop: Connection, outside: str) -> None:
    orders = follow(version="touched", overlap=timedelta(minutes=5))
    with psycopg.connect(outside) as slow:
        put(slow, "slow", 1)
        put(shop, "a", 1)
        assert orders.scan() == 1
        slow.commit()
    assert [orders.scan(), orders.scan()] == [1, 0]


def test_what_committed_while_a_long_overlap_pass_went_on_is_not_skipped(
    follow: Follow, shop: Connection, outside: str
) -> None:
    orders = follow(version="revision", overlap=10)
    fill(shop, 1995)
    with psycopg.connect(outside) as slow:
        put(slow, "slow", 1)
        assert orders.scan(pages=1) == 1000
        fill_from(shop, 2000, 3500)
        assert orders.scan(pages=1) == 1000
        slow.commit()
    while orders.scan():
        pass
    assert orders.item("slow/1")


def fill_from(connection: Connection, first: int, last: int) -> None:
    connection.execute(
        "insert into orders (shop, number) select 'a', i from generate_series(%s::int, %s) i", (first, last)
    )


@pytest.mark.parametrize(
    ("declared", "reason"),
    [
        ({"lag": 1, "overlap": 1}, "give lag= or overlap=, not both"),
        ({"lag": -1}, "lag must not be negative"),
        ({"overlap": -1}, "overlap must not be negative"),
        ({"deletes": -1.0}, "deletes must not be negative"),
        ({"key": ()}, "key must name a column"),
    ],
)
def test_what_cannot_work_is_refused_when_it_is_declared(declared: dict[str, Any], reason: str, follow: Follow) -> None:
    with pytest.raises(DefinitionError, match=f"source 'orders': {reason}"):
        follow(**declared)


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("nonsense", "url cannot be used"),
        ("nosuch://host/db", "url cannot be used"),
        ("mysql+nosuch://host/db", "url cannot be used"),
        ("sqlite:////tmp/x.db", "only Postgres has transaction ids; give lag= or overlap="),
    ],
)
def test_a_url_that_cannot_be_used_is_refused_when_definitions_load(url: str, reason: str, follow: Follow) -> None:
    with pytest.raises(DefinitionError, match=f"source 'orders': {reason}"):
        follow(url=url)


@pytest.mark.parametrize(
    ("declared", "reason"),
    [
        (
            {"version": "touched"},
            "version column 'touched' is of type TIMESTAMP.*, which is no transaction id: give lag=",
        ),
        ({"version": "changed", "lag": 1}, "version column 'changed' is of type BIGINT.*, but lag= is for a time"),
        (
            {"version": "shop", "overlap": 1},
            "version column 'shop' is of type TEXT.*, but overlap= is for a time or a num",
        ),
    ],
)
def test_a_version_column_that_does_not_fit_is_told(declared: dict[str, Any], reason: str, follow: Follow) -> None:
    with pytest.raises(SourceError, match=reason):
        follow(**declared).scan()


def test_a_column_whose_type_changes_is_told_and_followed_again_when_it_fits(follow: Follow, shop: Connection) -> None:
    orders = follow()
    put(shop, "a", 1)
    orders.scan()
    shop.execute("alter table orders alter changed type text")
    shop.execute("alter table orders disable trigger mark")
    put(shop, "a", 2, changed="new")
    with pytest.raises(SourceError, match=r"version column 'changed' is of type TEXT.*, which is no transaction id"):
        orders.scan()
    shop.execute("delete from orders where changed = 'new'")
    shop.execute("alter table orders alter changed type bigint using changed::bigint")
    shop.execute("alter table orders alter number type text")
    shop.execute("alter table orders enable trigger mark")
    put(shop, "b", 1)
    assert [orders.scan(), orders.scan()] == [1, 0]
    assert len(orders.rows(orders.items())) == 2


def test_a_table_that_vanishes_is_told_and_all_of_it_compared_when_it_returns(
    follow: Follow, shop: Connection, caplog: pytest.LogCaptureFixture
) -> None:
    orders = follow(deletes=0.0)
    for number in (1, 2, 3):
        put(shop, "a", number)
    orders.scan()
    # As pg_restore does it: the rows come back with the transaction ids that they had, here older ones.
    shop.execute("create table copy as select * from orders")
    shop.execute("drop table orders cascade")
    with pytest.raises(SourceError, match="there is no table 'orders'"):
        orders.scan()
    shop.execute("update copy set changed = 3 where number = 1")
    shop.execute("delete from copy where number = 2")
    shop.execute("alter table copy rename to orders")
    with caplog.at_level(logging.WARNING):
        assert orders.scan() == 2
    assert "source 'orders': the table or its types changed" in caplog.text
    assert (orders.keys(), orders.item("a/1").version) == (["a/1", "a/3"], "3")
    assert orders.scan() == 0


@pytest.fixture
def restored() -> Iterator[str]:
    """Return the URL of an empty database of another server, whose transaction ids are young."""
    home = Path(tempfile.mkdtemp(prefix="sa-"))
    home.chmod(0o755)
    try:
        with Postgres(home / "data", home / "socket", durable=False) as server:
            with psycopg.connect(server.url(), autocommit=True) as connection:
                connection.execute(ORDERS)
            yield server.url()
    finally:
        shutil.rmtree(home, ignore_errors=True)


def test_a_database_that_was_restored_elsewhere_is_told_once_and_compared_as_a_whole(
    follow: Follow, shop: Connection, restored: str
) -> None:
    orders = follow()
    for number in range(1, 4):
        put(shop, "a", number)
    orders.scan()
    [(horizon,)] = shop.execute("select pg_snapshot_xmin(pg_current_snapshot())::text::bigint").fetchall()
    rows = shop.execute("select shop, number, changed from orders order by number").fetchall()
    with psycopg.connect(restored, autocommit=True) as connection:
        connection.execute("alter table orders disable trigger mark")
        for name, number, changed in rows[:2]:
            put(connection, name, number, changed=changed - 100_000 if number == 1 else changed)
        put(connection, "b", 1, changed=horizon + 1_000_000)
        connection.execute("alter table orders enable trigger mark")
        elsewhere = follow(url=restored)
        with pytest.raises(SourceError, match="the database was restored, failed over or exchanged"):
            elsewhere.scan()
        # The row that was changed back, and the one that only this database has.
        assert elsewhere.scan() == 2
        put(connection, "b", 2)
        put(connection, "b", 1, total=1)
        assert [elsewhere.scan(), elsewhere.scan()] == [2, 0]


def test_a_replica_that_is_behind_the_one_that_was_read_before_is_waited_for(
    follow: Follow, shop: Connection, ledger: PostgresLedger
) -> None:
    orders = follow(deletes=0.0)
    put(shop, "a", 1)
    orders.scan()
    ahead = {**position(orders), "horizon": str(2**40)}
    with ledger.transaction() as connection:
        connection.execute("update source set position = %s", (Jsonb(ahead),))
    put(shop, "a", 2)
    assert orders.scan() == 0
    assert position(orders) == ahead


def test_transaction_ids_that_went_back_are_told_once_where_the_server_does_not_tell_what_it_is(
    follow: Follow, shop: Connection, ledger: PostgresLedger, outside: str
) -> None:
    shop.execute("drop role if exists reader")
    shop.execute("create role reader login")
    shop.execute("grant select on orders to reader")
    shop.execute("revoke execute on function pg_control_system() from public")
    orders = follow(url=outside.replace("postgres@", "reader@"))
    put(shop, "a", 1)
    assert orders.scan() == 1
    assert "server" not in position(orders)
    with ledger.transaction() as connection:
        connection.execute("""update source set position = position || '{"horizon": "1099511627776"}'""")
    put(shop, "a", 2)
    with pytest.raises(
        SourceError, match=r"transaction ids went back, to .* from 1099511627776: the database was restored"
    ):
        orders.scan()
    assert [orders.scan(), orders.scan()] == [1, 0]
