"""Fixtures for tests of sensor assets; pytest finds them by itself where sensor-assets is installed."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import Mock

import dagster as dg
import pytest

from sensor_assets.testing._location import Location

pytest.register_assert_rewrite("sensor_assets.testing.source_contract")

if TYPE_CHECKING:
    from sensor_assets._lake import Lake
    from sensor_assets.ledger import PostgresLedger
    from sensor_assets.testing._ledger import LedgerSchema


@pytest.fixture
def context() -> Mock:
    """Return a context that takes logs and metadata, for a test that calls the function of an asset."""
    return Mock(spec=dg.AssetExecutionContext)


@pytest.fixture
def lake(tmp_path: Path) -> "Lake":
    """Return an empty lake in a directory."""
    from sensor_assets import Lake  # noqa: PLC0415 - an extra

    return Lake(url=f"file://{tmp_path / 'lake'}")


@pytest.fixture(scope="session")
def sensor_assets_ledger_schema() -> "Iterator[LedgerSchema]":
    """Start a Postgres with a migrated ledger, once a session; about two seconds."""
    from sensor_assets.testing._ledger import LedgerSchema  # noqa: PLC0415 - an extra
    from sensor_assets.testing._postgres import Postgres  # noqa: PLC0415

    with Postgres() as postgres, LedgerSchema(postgres.url) as schema:
        yield schema


@pytest.fixture
def ledger(sensor_assets_ledger_schema: "LedgerSchema") -> "Iterator[PostgresLedger]":
    """Return an empty ledger on a real Postgres."""
    sensor_assets_ledger_schema.empty()
    opened = sensor_assets_ledger_schema.open()
    yield opened
    opened.close()


@pytest.fixture
def make_location(ledger: "PostgresLedger") -> Iterator[Callable[..., Location]]:
    """Return `Location`, which takes the fixture's ledger unless told and ends with the test."""
    made: list[Location] = []

    def make(*args: Any, **options: Any) -> Location:
        made.append(Location(*args, **{"ledger": ledger, **options}))
        return made[-1]

    yield make
    for location in made:
        location.close()
