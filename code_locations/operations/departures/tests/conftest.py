"""The environment of the tests: settings, a lake in a directory, a context that takes logs and metadata."""

import os
from pathlib import Path
from unittest.mock import Mock

import dagster as dg
import pytest
from sensor_assets import Lake

os.environ.update(
    ENVIRONMENT="local",
    TEAM="operations",
    LOCATION="operations-departures",
    LEDGER_URL="postgresql://operations@/ledger",
    LEDGER_SCHEMA="operations",
    LANDING_URL="memory:///landing",
    LAKE_URL="memory:///lake",
    INTERVAL_SECONDS="5",
    FIRST_DAY="2013-01-01",
    LAST_DAY="2013-12-31",
)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(url=f"file://{tmp_path}")


@pytest.fixture
def context() -> Mock:
    return Mock(spec=dg.AssetExecutionContext)
