"""The environment of the tests: settings, a lake in a directory."""

import os
from pathlib import Path

import pytest
from sensor_assets import Lake

os.environ.update(
    ENVIRONMENT="local",
    TEAM="operations",
    LOCATION="operations-punctuality",
    LEDGER_URL="postgresql://operations@/ledger",
    LEDGER_SCHEMA="operations",
    LAKE_URL="memory:///lake",
    INTERVAL_SECONDS="5",
    FIRST_DAY="2013-01-01",
    LAST_DAY="2013-12-31",
)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(url=f"file://{tmp_path}")
