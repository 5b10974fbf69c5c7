"""Recording pages on real Postgres: however known versions are looked up, the log is what its definition says."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sensor_assets import Item, Page
from sensor_assets._columns import Columns
from sensor_assets.ledger import PostgresLedger, Scan, _recording, _rows

from .recording_model import PAGES, Log

NOW = datetime(2013, 2, 1, tzinfo=UTC)
EXAMPLES = 150

# The least sorted page that is looked up between its ends, and the rows for each key that are read there at most.
LOOKUPS = {"by key": (10**9, 3), "between the ends": (1, 10**9), "between the ends, then by key": (1, 1)}


def begin(ledger: PostgresLedger, source: str) -> Scan:
    return ledger.begin_scan(ledger.sources([source])[source])


def log_of(ledger: PostgresLedger, scan: Scan) -> list[Item]:
    """Return everything that was recorded, in order of arrival."""
    with ledger.transaction() as connection:
        rows = connection.execute("select *, 'world' as source from item order by arrival").fetchall()
    return [_rows.item(row) for row in rows if row["source_id"] == scan.source.id]


@settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(st.lists(st.tuples(PAGES, st.lists(st.integers(0, 20), max_size=2), st.booleans()), max_size=6))
def test_a_log_is_the_same_however_known_versions_are_looked_up(
    ledger: PostgresLedger, history: Sequence[tuple[list[Item], list[int], bool]]
) -> None:
    for name, limits in LOOKUPS.items():
        model = Log()
        scan = begin(ledger, name.replace(" ", "_"))
        _empty(ledger, scan)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(_recording, "RANGE_LEAST_KEYS", limits[0])
            patch.setattr(_recording, "RANGE_ROWS_PER_KEY", limits[1])
            for number, (page, gone, as_columns) in enumerate(history):
                shown = Columns.of(page) if as_columns else page
                position = {"page": number}
                assert ledger.record(scan, Page(items=shown, position=position), NOW) == model.record(page)
                _lose(ledger, scan, model, gone)
        assert log_of(ledger, scan) == model.items, name
        state = ledger.sources([scan.source.name])[scan.source.name]
        assert state.arrivals == len(model.items)
        assert state.position == ({"page": len(history) - 1} if history else None)


def _empty(ledger: PostgresLedger, scan: Scan) -> None:
    with ledger.transaction() as connection:
        values = {"source": scan.source.id}
        connection.execute("delete from item where source_id = %(source)s", values)
        connection.execute("delete from gone where source_id = %(source)s", values)
        connection.execute("update source set arrivals = 0, position = null where id = %(source)s", values)


def _lose(ledger: PostgresLedger, scan: Scan, model: Log, arrivals: Sequence[int]) -> None:
    lost = [item for item in model.items if item.arrival in arrivals]
    model.gone |= {item.arrival for item in lost}
    with ledger.transaction() as connection:
        for item in lost:
            connection.execute(
                "insert into gone values (%s, %s, now()) on conflict do nothing", (scan.source.id, item.arrival)
            )


def test_a_page_of_ten_thousand_is_recorded_once(ledger: PostgresLedger) -> None:
    keys = [f"2013-01-01/{number:05}.csv" for number in range(10_000)]
    page = Columns(
        keys=keys,
        versions=[f'"{number:032x}"' for number in range(10_000)],
        sizes=range(10_000),
        modified=[NOW] * 10_000,
        partitions=["2013-01-01"] * 10_000,
        source="world",
    )
    scan = begin(ledger, "world")
    assert [ledger.record(scan, Page(items=page), NOW) for _ in range(2)] == [10_000, 0]
    assert log_of(ledger, scan)[9_999].version == page.versions[9_999]


def test_the_other_keys_between_the_ends_of_a_page_are_not_read_when_they_are_many(
    ledger: PostgresLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A function may yield a few keys spread over a million."""
    scan = begin(ledger, "world")
    recorded = [Item(key=f"{number:05}", version="1", source="world") for number in range(2000)]
    ledger.record(scan, Page(items=recorded), NOW)
    read: list[int] = []
    fetchall = psycopg.Cursor.fetchall

    def counting(self: psycopg.Cursor[Any]) -> list[Any]:
        rows = fetchall(self)
        read.append(len(rows))
        return rows

    monkeypatch.setattr(psycopg.Cursor, "fetchall", counting)
    assert ledger.record(scan, Page(items=recorded[::40]), NOW) == 0
    assert sum(read) <= 50 * (_recording.RANGE_ROWS_PER_KEY + 1)
