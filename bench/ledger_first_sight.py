"""The ledger at a million items: first sight, looking again, draining, status; beside what one would write by hand.

Everything is real: a Postgres with its default durability, and the ledger as the monitor and the runs use it. What is
compared are loops that anybody would write: a table with a primary key, `executemany` or `unnest`, and `ON CONFLICT DO
NOTHING`. Processor time is that of this process and of all of Postgres' processes together.

    python -m bench.ledger_first_sight --json ledger_first_sight.json
"""

import argparse
import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from hashlib import md5
from pathlib import Path
from typing import Any
from uuid import uuid4

import psutil
import psycopg
from sensor_assets import Batching, Page
from sensor_assets._columns import Columns
from sensor_assets._decide import Policy, decide
from sensor_assets._partitions import NoPartitions
from sensor_assets._state import Ask, BatchRecord, ConsumerState, Decision
from sensor_assets.ledger import Following, PostgresLedger, Scan, _emission, migrate
from tenancy.local.postgres import Postgres

from bench.report import Bar, Report, Table

SCHEMA = "bench"
NOW = datetime(2026, 1, 1, tzinfo=UTC)
KEYS_A_DAY = 1000
BATCH_ITEMS = 1000
IN_FLIGHT = 4

FIRST_SIGHT = "ledger: pages of 1,000"
MOST_SECONDS_A_MILLION = 10
MOST_BYTES = 260

BY_HAND = """
create table by_hand (
    source text not null, key text not null, version text not null, size bigint not null, modified timestamptz,
    partition text, seen_at timestamptz not null default now(), primary key (source, key, version)
)
"""
ONE_ROW = "insert into by_hand values ('world', %s, %s, %s, %s, %s, %s) on conflict do nothing"
MANY_ROWS = """
insert into by_hand
select 'world', t.*, now() from unnest(%s::text[], %s::text[], %s::bigint[], %s::timestamptz[], %s::text[]) t
on conflict do nothing
"""


@dataclass(frozen=True)
class Measured:
    """What something cost, each time: microseconds of processor time; `bytes` is that of an item on disk."""

    name: str
    client: float
    postgres: float
    bytes: float | None = None

    @property
    def total(self) -> float:
        """Microseconds of both."""
        return self.client + self.postgres


class Bench:
    """A server with a migrated ledger, and what was measured."""

    def __init__(self, postgres: Postgres) -> None:
        self.measured: list[Measured] = []
        self._server = psutil.Process(postgres.pid)
        with psycopg.connect(postgres.url(), autocommit=True) as connection:
            connection.execute(f"create schema {SCHEMA}".encode())
        migrate(postgres.url(), SCHEMA)
        self.ledger = PostgresLedger(postgres.url(), SCHEMA)
        self.database = psycopg.connect(postgres.url(), autocommit=True, options=f"-c search_path={SCHEMA}")

    def close(self) -> None:
        """Close connections."""
        self.ledger.close()
        self.database.close()

    def measure(self, name: str, times: int, work: Callable[[], object], *, table: str | None = None) -> None:
        """Do something that is done so many times within, print and note what it cost each time."""
        self.database.execute("checkpoint")
        postgres, client = self._postgres_seconds(), time.process_time()
        work()
        client, postgres = time.process_time() - client, self._postgres_seconds() - postgres
        size = self._bytes(table) / times if table else None
        found = Measured(name, 1e6 * client / times, 1e6 * postgres / times, size)
        self.measured.append(found)
        print(line(found), flush=True)

    def _postgres_seconds(self) -> float:
        family = [self._server, *self._server.children(recursive=True)]
        return sum(sum(member.cpu_times()[:4]) for member in family if member.is_running())

    def _bytes(self, table: str) -> int:
        row = self.database.execute("select pg_total_relation_size(%s::regclass)", [table]).fetchone()
        return int(row[0]) if row else 0

    def scan(self) -> Scan:
        """Begin a scan of the one source."""
        return self.ledger.begin_scan(self.ledger.sources(["world"])["world"])

    def forget(self) -> None:
        """Empty the log."""
        self.database.execute("truncate item")
        self.database.execute("update source set arrivals = 0")


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print a table, and write the figures to a file; 1 when a bar does not hold."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="file to write the figures to")
    parser.add_argument("--items", type=int, default=1_000_000)
    options = parser.parse_args(arguments)

    items = listing(options.items)
    lengths = [len(key) for key in items.keys]
    print(f"{len(items):,} items, keys of {min(lengths)} to {max(lengths)} bytes, quoted MD5 ETags, a partition each")
    print(f"{'microseconds each':44}{'client':>12}{'Postgres':>12}{'CPU':>12}{'bytes':>9}")
    with server() as postgres:
        bench = Bench(postgres)
        by_hand(bench, items)
        first_sight(bench, items)
        memory = drain(bench, len(items))
        open_batches(bench)
        bench.close()
    return report(bench.measured, len(items), memory).deliver(options.json)


def report(measured: Sequence[Measured], items: int, drain_bytes: int) -> Report:
    """Return what was measured as a table, and what first sight of a million may cost."""
    table = Table(
        title=f"Microseconds of processor time each, {items:,} items",
        columns=["what", "client", "Postgres", "both", "bytes an item"],
        rows=[[each.name, each.client, each.postgres, each.total, each.bytes] for each in measured],
        note=f"While draining the client's memory grew by {drain_bytes / 2**20:.1f} MiB.",
    )
    first = next(each for each in measured if each.name == FIRST_SIGHT)
    bars = [
        Bar(
            what="first sight of 1,000,000 objects, ledger rows included: processor time of client and Postgres",
            measured=first.total,
            unit="s",
            most=MOST_SECONDS_A_MILLION,
        ),
        Bar(what="the same: bytes an item", measured=first.bytes or 0.0, unit="bytes", most=MOST_BYTES),
    ]
    figures = {"items": items, "drain_bytes": drain_bytes, "measured": [asdict(each) for each in measured]}
    return Report(tables=[table], bars=bars, figures=figures)


@contextmanager
def server() -> Generator[Postgres]:
    """Start a Postgres with its default durability."""
    home = Path(tempfile.mkdtemp(prefix="sight-"))
    home.chmod(0o755)
    try:
        with Postgres(home / "data", home / "socket", settings={"shared_buffers": "256MB"}) as postgres:
            yield postgres
    finally:
        shutil.rmtree(home, ignore_errors=True)


def listing(number: int) -> Columns:
    """Return what a listing of dated keys shows, in order of key."""
    first = datetime(2013, 1, 1, tzinfo=UTC)
    days = [(first + timedelta(days=place // KEYS_A_DAY)).date().isoformat() for place in range(number)]
    names = [md5(str(place).encode(), usedforsecurity=False).hexdigest() for place in range(number)]
    keys = [
        f"{day}/{place % KEYS_A_DAY:06}-{name[: 8 + place % 13]}.parquet"
        for place, (day, name) in enumerate(zip(days, names, strict=True))
    ]
    return Columns(
        keys=keys,
        versions=[f'"{name}"' for name in names],
        sizes=range(number),
        modified=[first + timedelta(seconds=place) for place in range(number)],
        partitions=days,
        source="world",
    )


def in_pages(items: Columns, size: int) -> Generator[Columns]:
    """Cut a listing into pages."""
    for first in range(0, len(items), size):
        yield items[first : first + size]


def by_hand(bench: Bench, items: Columns) -> None:
    """Store everything in a table of one's own, a thousand in each transaction."""

    def one_by_one() -> None:
        for page in in_pages(items, 1000):
            columns = (page.keys, page.versions, page.sizes, page.modified, page.partitions)
            with bench.database.transaction(), bench.database.cursor() as cursor:
                cursor.executemany(ONE_ROW, [(*row, NOW) for row in zip(*columns, strict=True)])

    def as_arrays() -> None:
        for page in in_pages(items, 1000):
            columns = (page.keys, page.versions, page.sizes, page.modified, page.partitions)
            with bench.database.transaction():
                bench.database.execute(MANY_ROWS, [list(column) for column in columns])

    for name, work in (("by hand: executemany", one_by_one), ("by hand: unnest", as_arrays)):
        bench.database.execute(BY_HAND.encode())
        bench.measure(name, len(items), work, table="by_hand")
        bench.measure(f"{name}, all known", len(items), work)
        bench.database.execute("drop table by_hand")


def first_sight(bench: Bench, items: Columns) -> None:
    """Record everything, then look again, through the ledger."""

    def record(size: int, *, as_items: bool = False) -> Callable[[], None]:
        def work() -> None:
            scan = bench.scan()
            for page in in_pages(items, size):
                bench.ledger.record(scan, Page(items=list(page) if as_items else page), NOW)

        return work

    bench.measure("ledger: pages of 1,000, as items", len(items), record(1000, as_items=True), table="item")
    for size in (1000, 10_000):
        bench.forget()
        bench.measure(f"ledger: pages of {size:,}", len(items), record(size), table="item")
        bench.database.execute("vacuum analyze")
        bench.measure(f"ledger: pages of {size:,}, all known", len(items), record(size))


def drain(bench: Bench, number: int) -> int:
    """Emit and finish until nothing waits; return by how many bytes the client's memory grew."""
    source = bench.ledger.sources(["world"])["world"].id
    following = Following(name="consumer", sources=(source,), limit=BATCH_ITEMS * IN_FLIGHT, max_in_flight=IN_FLIGHT)
    policy = Policy(
        name="consumer",
        batching=Batching(max_items=BATCH_ITEMS),
        max_in_flight=IN_FLIGHT,
        partitions=NoPartitions(),
    )

    def decide_now(_: str, state: ConsumerState) -> Decision | Ask:
        return decide(policy, state, NOW, lambda: str(uuid4()))

    epoch = 0

    def tick(times: int) -> int:
        nonlocal epoch
        done = 0
        for _ in range(times):
            emission = bench.ledger.emit("monitor", epoch, [following], decide_now, NOW)
            epoch = emission.epoch
            for batch in emission.batches:
                done += len(bench.ledger.batch_items(batch))
                bench.ledger.finish("consumer", batch.id, "run", rejected=[], gone=[], now=NOW)
        return done

    ticks = number // (BATCH_ITEMS * IN_FLIGHT)
    tick(1)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    bench.measure("drain: an item emitted, read and done", (ticks - 1) * 4000, lambda: tick(ticks - 1))
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    if (done := bench.ledger.status()[0]["done"]) != ticks * BATCH_ITEMS * IN_FLIGHT:
        raise SystemExit(f"{done} items are done after {ticks} ticks")
    return grown * 1024


def open_batches(bench: Bench) -> None:
    """Ask for the status and emit with many batches open, of which each takes every seventh item of a stretch."""
    source = bench.ledger.sources(["world"])["world"].id
    following = Following(name="many", sources=(source,), limit=1, max_in_flight=1)

    def emit() -> None:
        bench.ledger.emit("other", 0, [following], lambda *_: Decision(positions={}), NOW)

    emit()
    added = 0
    for number in (500, 1000):
        with bench.ledger.transaction() as connection:
            for place in range(added, number):
                first = 1 + place // 7 * 700 + place % 7
                numbers = tuple(range(first, first + 700, 7))
                batch = BatchRecord(id=str(uuid4()), consumer="many", state="emitted", slices={source: numbers})
                _emission.insert(connection, batch, NOW)
        added = number
        bench.database.execute("vacuum analyze")
        bench.measure(f"emit with {number:,} open batches of 100", 10, lambda: [emit() for _ in range(10)])
        bench.measure(f"status with {number:,} open batches", 10, lambda: [bench.ledger.status() for _ in range(10)])


def line(measured: Measured) -> str:
    """Return one line of the table."""
    size = "" if measured.bytes is None else f"{measured.bytes:9.1f}"
    numbers: Sequence[Any] = (measured.client, measured.postgres, measured.total)
    return f"{measured.name:44}" + "".join(f"{number:12,.2f}" for number in numbers) + size


if __name__ == "__main__":
    sys.exit(main())
