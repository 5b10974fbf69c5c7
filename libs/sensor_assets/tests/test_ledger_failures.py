"""A ledger that cannot take notes: read-only, full, of another version, without rights. One clear error, no loss."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
import sensor_assets.ledger
from alembic.script import ScriptDirectory
from sensor_assets import Item, LedgerError, ScanContext, source
from sensor_assets._survey import Limits
from sensor_assets.ledger import PostgresLedger, migrate
from sensor_assets.ledger._revision import REVISIONS

from .ledger_crashes import MONITOR, NOW, emit, identities, items, record, source_of
from .monitoring import Monitor, following

# A server says so with the same code when the file system has no block left.
FULL = """
create function full_disk() returns trigger language plpgsql as $$ begin
    raise exception 'could not extend file "base/5/16384": No space left on device' using errcode = 'disk_full';
end $$;
create trigger full_disk before insert on item execute function full_disk()
"""


class Team:
    """A team with a role, a schema and a ledger, and the server's administrator."""

    def __init__(self, url: str, admin_url: str, name: str) -> None:
        self.url = url
        self.schema = name
        self._admin_url = admin_url
        migrate(url, name)
        self.ledger = PostgresLedger(url, name)

    def admin(self, *statements: str) -> None:
        """Execute statements as the administrator, and let the ledger connect anew."""
        with psycopg.connect(self._admin_url, autocommit=True, options=f"-c search_path={self.schema}") as connection:
            for statement in statements:
                connection.execute(statement.encode())
        self.ledger.close()
        self.ledger = PostgresLedger(self.url, self.schema)


@pytest.fixture
def team(postgres: Any, new_schema: Callable[[str], str]) -> Iterator[Team]:
    made = Team(new_schema("sick"), postgres.url(), "sick")
    yield made
    made.admin("alter role sick reset default_transaction_read_only")
    made.ledger.close()


FORGET = ("delete from item", "update source set arrivals = 0", "update consumer_position set arrival = 0")

BROKEN: dict[str, tuple[list[str], list[str], str]] = {
    "read-only": (
        ["alter role sick set default_transaction_read_only = on"],
        ["alter role sick reset default_transaction_read_only"],
        "is read-only: cannot execute .* Name the primary server",
    ),
    "full": (
        [FULL],
        ["drop trigger full_disk on item"],
        "has no space left on its disk: could not extend file .* Free space",
    ),
    "without rights": (
        ["revoke insert on item from sick"],
        ["grant insert on item to sick"],
        "refuses the role: permission denied for table item. Let the role own the schema",
    ),
    "without tables": (
        ["alter table item rename to moved"],
        ["alter table moved rename to item"],
        "is not migrated for this version: run `sensor-assets migrate`",
    ),
    "newer": (
        ["update alembic_version set version_num = '0099'"],
        [f"update alembic_version set version_num = '{REVISIONS[-1]}'"],
        "was migrated by a newer version of sensor-assets .revision 0099.* upgrade sensor-assets in this location",
    ),
}


@pytest.mark.parametrize("what", BROKEN)
def test_a_ledger_that_cannot_take_notes_says_why_and_goes_on_where_it_was(what: str, team: Team) -> None:
    breaking, mending, message = BROKEN[what]
    record(team.ledger, items(2))
    before = source_of(team.ledger)
    team.admin(*breaking)
    for _ in range(2):
        with pytest.raises(LedgerError, match=message) as raised:
            record(team.ledger, items(3))
        assert "\n" not in str(raised.value)
    team.admin(*mending)
    assert source_of(team.ledger) == before
    assert record(team.ledger, items(3)) == 1


@pytest.mark.parametrize("what", BROKEN)
def test_meanwhile_ticks_fail_and_no_source_is_to_blame_or_asked_in_vain(what: str, team: Team) -> None:
    breaking, mending, message = BROKEN[what]
    asked: list[str] = []

    def shown(context: ScanContext) -> Iterator[Item]:
        asked.append("once")
        yield from items(3)

    consumers = [following(source(name, every=1e-6)(shown), f"of_{name}") for name in ("one", "two", "three")]
    monitor = Monitor(team.ledger, Limits(scans=1))
    monitor.tick(consumers)
    team.admin(
        "delete from item", "update source set arrivals = 0", "update consumer_position set arrival = 0", *breaking
    )
    asked.clear()
    given, monitor.ledger = monitor.given, team.ledger
    for _ in range(3):
        with pytest.raises(LedgerError, match=message):
            monitor.tick(consumers)
    assert len(asked) <= 3, "no more are asked for what cannot be written down than are asked at once"
    team.admin(*mending)
    monitor.ledger = team.ledger
    given.clear()
    for _ in range(3):
        answer = monitor.tick(consumers)
        assert answer.failed is None
    assert {state.failures for state in team.ledger.sources(["one", "two", "three"]).values()} == {0}
    assert {name: len(items) for name, items in given.items()} == {"of_one": 3, "of_two": 3, "of_three": 3}


def test_a_run_that_cannot_mark_its_batch_done_is_repeated(team: Team) -> None:
    record(team.ledger, items(2))
    (batch,) = emit(team.ledger, 0, new_id=identities()).batches
    team.admin(*BROKEN["read-only"][0])
    with pytest.raises(LedgerError, match="is read-only"):
        team.ledger.finish(batch.consumer, batch.id, "run", rejected=[], gone=[], now=NOW)
    team.admin(*BROKEN["read-only"][1])
    assert [each.id for each in team.ledger.launched([batch.consumer], MONITOR, 1)] == [batch.id]


# --- migrating


@pytest.mark.parametrize("what", ["read-only", "newer"])
def test_migrating_such_a_ledger_says_the_same(what: str, team: Team) -> None:
    breaking, _, message = BROKEN[what]
    team.admin("delete from alembic_version" if what == "read-only" else "select 1", *breaking)
    with pytest.raises(LedgerError, match=message):
        migrate(team.url, team.schema)


def test_migrating_a_schema_that_the_role_may_not_write_says_so(team: Team) -> None:
    team.admin("drop schema sick cascade", "create schema sick", "grant usage on schema sick to sick")
    with pytest.raises(LedgerError, match="refuses the role: permission denied for schema sick"):
        migrate(team.url, team.schema)


def test_a_process_that_goes_on_while_a_newer_version_migrates_says_so_with_its_next_tick(team: Team) -> None:
    record(team.ledger, items(2))
    with psycopg.connect(team.url, autocommit=True, options="-c search_path=sick") as newer:
        newer.execute("alter table item rename column version to state")
        newer.execute("update alembic_version set version_num = '0099'")
    for message in ("is not migrated for this version", "was migrated by a newer version"):
        with pytest.raises(LedgerError, match=message):
            record(team.ledger, items(2))


def test_the_known_revisions_are_those_of_the_migrations() -> None:
    scripts = ScriptDirectory(str(Path(sensor_assets.ledger.__file__).parent / "migrations"))
    assert [script.revision for script in scripts.walk_revisions()][::-1] == list(REVISIONS)
