"""The planes table of another team's database, changed by overlapping transactions that commit out of order.

Each row carries the id of the transaction that wrote it (`changed`, set by a trigger). A reader that only remembers the
greatest id it saw would lose the rows of an older transaction that commits later: that is what this feed provokes.
"""

import logging
import time
from typing import LiteralString

import psycopg

from demo.data import Year
from demo.plan import Plan, PlaneTransaction
from demo.render import plane

READER = "fleet_reader"
RETRY_SECONDS = 60.0

SCHEMA: LiteralString = """
create table if not exists planes (
    tailnum text primary key,
    year integer,
    type text,
    manufacturer text,
    model text,
    engines integer,
    seats integer,
    speed integer,
    engine text,
    changed bigint not null
);
create index if not exists planes_changed on planes (changed, tailnum);
create or replace function stamp_change() returns trigger language plpgsql as
    $$ begin new.changed := pg_current_xact_id()::text::bigint; return new; end $$;
create or replace trigger stamp before insert or update on planes for each row execute function stamp_change();
"""

UPSERT: LiteralString = """
insert into planes (tailnum, year, type, manufacturer, model, engines, seats, speed, engine)
values (%(tailnum)s, %(year)s, %(type)s, %(manufacturer)s, %(model)s, %(engines)s, %(seats)s, %(speed)s, %(engine)s)
on conflict (tailnum) do update set
    (year, type, manufacturer, model, engines, seats, speed, engine) =
    (excluded.year, excluded.type, excluded.manufacturer, excluded.model, excluded.engines, excluded.seats,
     excluded.speed, excluded.engine)
"""

log = logging.getLogger(__name__)


class PlanesFeed:
    """Play the plan's transactions; a connection for each one that is open."""

    def __init__(self, url: str, year: Year, plan: Plan) -> None:
        self._url = url
        self._year = year
        self._plan = plan
        self._open: dict[int, psycopg.Connection] = {}

    def create(self) -> None:
        """Create the table where it is missing and let the fleet team read it."""
        with psycopg.connect(self._url) as connection:
            connection.execute(SCHEMA)
            if connection.execute("select 1 from pg_roles where rolname = %s", [READER]).fetchone():
                connection.execute(f"grant select on planes to {READER}")

    def play(self, moment: int) -> None:
        """Open the transactions of this moment and commit those that are due.

        Rows are written as upserts, so that a restart of the database or of the feed may write them again. Raises
        psycopg.OperationalError if the database stays away for a minute.
        """
        deadline = time.monotonic() + RETRY_SECONDS
        while True:
            try:
                return self._play(moment)
            except psycopg.OperationalError as error:
                self.close()
                if time.monotonic() > deadline:
                    raise
                log.warning("the planes database went away (%s): trying again", str(error).strip())
                time.sleep(0.5)

    def close(self) -> None:
        """Roll back what is open."""
        for connection in self._open.values():
            connection.close()
        self._open.clear()

    def _play(self, moment: int) -> None:
        running = [each for each in self._plan.planes if each.begins <= moment <= each.commits]
        for transaction in running:
            if transaction.begins not in self._open:
                self._begin(transaction)
        for transaction in reversed(running):  # the youngest first
            if transaction.commits == moment:
                self._open[transaction.begins].commit()
                self._open.pop(transaction.begins).close()

    def _begin(self, transaction: PlaneTransaction) -> None:
        connection = self._open[transaction.begins] = psycopg.connect(self._url)
        rows = [plane(self._year, row, revision) for row, revision in transaction.rows]
        connection.cursor().executemany(UPSERT, rows)
