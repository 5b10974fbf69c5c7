"""The pages about waiting and about partitions: their examples are run, and do what the pages say of them."""

import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from sensor_assets.ledger import PostgresLedger

from .location import Location, ephemeral

PAGES = Path(__file__).parents[3] / "docs" / "how-to"


def example(page: str) -> dict[str, Any]:
    """Run the Python of a page as one module, and return its names."""
    blocks = re.findall(r"^```python\n(.*?)^```", (PAGES / page).read_text(), re.MULTILINE | re.DOTALL)
    names: dict[str, Any] = {"__name__": page}
    exec(compile("\n\n".join(blocks), page, "exec"), names)
    return names


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with ephemeral() as instance:
        yield instance


@pytest.fixture
def drop(tmp_path: Path) -> Callable[[str], None]:
    """Return a function that lets an object appear."""

    def write(key: str) -> None:
        (tmp_path / key).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / key).write_text(key)

    return write


class Page:
    """The location that a page describes, whose ticks are an hour apart."""

    def __init__(self, page: str, ledger: PostgresLedger, instance: dg.DagsterInstance, directory: Path) -> None:
        names = example(page)
        assets = [asset for asset in names.values() if isinstance(asset, dg.AssetsDefinition)]
        for source in ("orders", "customers", "invoices", "readings", "airports", "reports"):
            (directory / source).mkdir(exist_ok=True)
        self.location = Location(ledger, assets, instance, outside=directory)
        self.clock = self.location.stop_the_clock()
        self.clock.time = datetime(2024, 5, 3, 12, tzinfo=UTC)
        self.said = ""

    def tick(self) -> list[tuple[str, str | None]]:
        """Evaluate an hour later and run what is asked for; returns the assets and their partitions."""
        self.clock.time = self.clock.time.replace(hour=(self.clock.time.hour + 1) % 24)
        answer = self.location.evaluate()
        self.said = answer.skip_message or ""
        for request in answer.run_requests:
            assert self.location.run(request).success
        return sorted(
            ((request.asset_selection or [])[0].to_user_string(), request.partition_key)
            for request in answer.run_requests
        )


def test_waiting_for_several_sources(
    ledger: PostgresLedger, instance: dg.DagsterInstance, tmp_path: Path, drop: Callable[[str], None]
) -> None:
    page = Page("wait-for-several-sources.md", ledger, instance, tmp_path)
    drop("orders/2024-01-05.csv")
    drop("invoices/2024-01-05.csv")
    drop("invoices/2024-01-05-b.csv")
    drop("invoices/2024-01-06.csv")
    assert page.tick() == []
    assert "sales holds: 2024-01-05 waits for customers since 2024-05-03 13:00 UTC" in page.said
    assert "statistics holds: 1 item waits for customers since" in page.said
    assert "invoicing holds: 3 items: no .done file yet" in page.said
    drop("customers/2024-01-05.csv")
    drop("invoices/2024-01-05.done")
    assert page.tick() == [("invoices", "2024-01-05"), ("sales", "2024-01-05"), ("statistics", None)]
    drop("orders/2024-01-05.csv.corrected")
    drop("orders/2024-01-05-more.csv")
    assert page.tick() == [("sales", "2024-01-05")]


def test_partitions_and_the_latest_only(
    ledger: PostgresLedger, instance: dg.DagsterInstance, tmp_path: Path, drop: Callable[[str], None]
) -> None:
    page = Page("partition-and-backfill.md", ledger, instance, tmp_path)
    drop("readings/2024-01-05T23.csv")
    drop("airports/JFK/a.csv")
    drop("reports/2024-05-01.csv")
    drop("reports/2024-05-02.csv")
    answer = page.tick()
    assert answer == [("measured", "2024-01-05"), ("report", "2024-05-02"), ("runways", "JFK")]
    with ledger.transaction() as database:
        skipped = database.execute("select reason from batch where state = 'skipped'").fetchall()
    assert skipped == [{"reason": "older than 2024-05-02"}]
