"""How Postgres executes the ledger's statements when there is much in it: by index, whatever it knows of the values."""

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from psycopg import ClientCursor
from sensor_assets import Page
from sensor_assets._columns import Columns
from sensor_assets.ledger import PostgresLedger, _sql, migrate
from tenancy.local.postgres import Postgres

SCHEMA = "plenty"
ITEMS = 40_000
BATCH = 10
NOW = datetime(2013, 2, 1, tzinfo=UTC)

# Tables that grow without bound. The others have a row for each source or consumer, or what is open.
LARGE = ("item", "batch", "slice", "listing_page")

BATCHES = """
insert into batch (id, consumer_id, state, route, partitions, items, bytes, created_at, finished_at)
select gen_random_uuid(), c.id, 'done', case when c.name = 'router' then 'left' end, '{}', %(size)s, 1, %(now)s,
       %(now)s - make_interval(secs => %(items)s - number)
from consumer c cross join generate_series(1, %(items)s / %(size)s) number
"""
SLICES = """
insert into slice (batch_id, source_id, first_arrival, last_arrival, items)
select id, source_id, first_arrival, first_arrival + %(size)s - 1, %(size)s from (
    select b.id, s.id as source_id,
           1 + %(size)s * (row_number() over (partition by b.consumer_id order by b.sequence) - 1) as first_arrival
    from batch b cross join source s) numbered
"""
QUARANTINED = """
insert into quarantine (source_id, arrival, consumer_id, reason, since)
select s.id, number * 20, c.id, 'broken', %(now)s
from source s cross join consumer c cross join generate_series(1, 200) number
"""
PAGES = """
insert into listing_page select s.id, convert_to(to_char(number, 'FM00000000'), 'UTF8'), 1000, '\\x01'
from source s cross join generate_series(1, 20000) number
"""
GONE = "insert into gone select s.id, number * 21, %(now)s from source s cross join generate_series(1, 2000) number"


@pytest.fixture(scope="module")
def database(postgres: Postgres) -> Iterator[psycopg.Connection[Any]]:
    """Return a connection to a ledger with much history and nothing open."""
    with psycopg.connect(postgres.url(), autocommit=True) as connection:
        connection.execute(f"create schema {SCHEMA}".encode())
    migrate(postgres.url(), SCHEMA)
    _fill(PostgresLedger(postgres.url(), SCHEMA))
    with psycopg.connect(postgres.url(), autocommit=True, options=f"-c search_path={SCHEMA}") as connection:
        connection.execute("insert into consumer (name) values ('consumer'), ('router')")
        connection.execute("insert into consumer_position select c.id, s.id, s.arrivals from consumer c, source s")
        values = {"items": ITEMS, "size": BATCH, "now": NOW}
        for statement in (BATCHES, SLICES, QUARANTINED, PAGES, GONE):
            connection.execute(statement, values)
        connection.execute("vacuum analyze")
        connection.prepare_threshold = None
        yield connection
        connection.execute(f"drop schema {SCHEMA} cascade".encode())


def _fill(ledger: PostgresLedger) -> None:
    days = [(NOW + timedelta(days=number // 400)).date().isoformat() for number in range(ITEMS)]
    keys = [f"{day}/{number:06}.csv" for number, day in enumerate(days)]
    items = Columns(
        keys=keys, versions=keys, sizes=[1] * ITEMS, modified=[NOW] * ITEMS, partitions=days, source="world"
    )
    ledger.record(ledger.begin_scan(ledger.sources(["world"])["world"]), Page(items=items), NOW)
    ledger.close()


VALUES: dict[str, Any] = {
    "all_versions": [],
    "arrival": ITEMS // 2,
    "limit": 100,
    "start_from": None,
    "history": None,
    "keys": json.dumps(["2013-02-11/004001.csv", "no such key"]),
    "first": "2013-02-11/004001.csv",
    "last": "2013-02-11/004100.csv",
    "consumer": "consumer",
    "consumers": ["consumer", "router"],
    "start": "2013-02-11",
    "stop": "2013-02-12",
    "route": None,
    "moment": NOW - timedelta(seconds=30),
}

CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "pending arrivals": (_sql.PENDING, {}),
    "pending arrivals from a day on": (_sql.PENDING, {"start_from": "2013-03-01", "history": ITEMS // 2 + 50}),
    "items of a batch": (_sql.BATCH_ITEMS, {}),
    "items of a batch with all versions": (_sql.BATCH_ITEMS, {"all_versions": ["world"]}),
    "recorded versions of keys": (_sql.RECORDED, {}),
    "pages from a key on": (_sql.PAGES_FROM, {"start": b"00010000"}),
    "pages before a key": (_sql.PAGES_BEFORE, {"key": b"00010000"}),
    "last pages": (_sql.LAST_PAGES, {}),
    "pages in doubt": (_sql.DOUBTFUL_PAGES, {}),
    "doubt about a page": (_sql.DOUBT_PAGE, {"key": b"00010000"}),
    "pages of a stretch": (_sql.FORGET_PAGES, {"start": b"00010000", "until": b"00010002"}),
    "newest items of a window": (_sql.NEWEST_ITEMS, {}),
    "newest items of a partition": (_sql.NEWEST_ITEMS, {"stop": None}),
    "newest items of a window that were routed": (_sql.NEWEST_ITEMS, {"consumer": "router", "route": "left"}),
    "known versions of keys": (_sql.KNOWN_OF_KEYS, {}),
    "known versions between keys": (_sql.KNOWN_BETWEEN, {}),
    "open batches": (_sql.OPEN_BATCHES, {}),
    "one batch": (_sql.ONE_BATCH, {}),
    "a success since": (_sql.SUCCEEDED_SINCE, {}),
    "status": (_sql.STATUS, {}),
}


# A prepared statement gets a plan for any values sooner or later; one is planned for its values each time.
PLANS = [
    *((case, "known") for case in CASES),
    *((case, "unknown") for case, (statement, _) in CASES.items() if statement != _sql.NEWEST_ITEMS),
]


@pytest.mark.parametrize(("case", "values"), PLANS)
def test_no_statement_reads_a_large_table_as_a_whole(case: str, values: str, database: psycopg.Connection[Any]) -> None:
    statement, changed = CASES[case]
    ((source, batch),) = database.execute("select s.id, b.id::text from source s cross join batch b limit 1").fetchall()
    given = {**VALUES, "source": source, "sources": [source], "batch": batch, **changed}
    plan = _plan(database, statement, given, generic=values == "unknown")
    for table in LARGE:
        assert f"Seq Scan on {table} " not in plan, plan


def _plan(database: psycopg.Connection[Any], statement: str, values: dict[str, Any], *, generic: bool) -> str:
    """Return the plan as a prepared statement gets it: for these values, or for any."""
    names = list(dict.fromkeys(re.findall(r"%\((\w+)\)s", statement)))
    numbered = re.sub(r"%\((\w+)\)s", lambda found: f"${names.index(found[1]) + 1}", statement).replace("%%", "%")
    mode = "force_generic_plan" if generic else "force_custom_plan"
    database.execute(f"set plan_cache_mode = {mode}".encode())
    database.execute(f"prepare tested as {numbered}".encode())
    given = ", ".join(["%s"] * len(names))
    call = f"explain execute tested ({given})" if names else "explain execute tested"
    with ClientCursor(database) as cursor:
        rows = cursor.execute(call.encode(), [values[name] for name in names]).fetchall()
    database.execute("deallocate tested")
    return "\n".join(row[0] for row in rows)
