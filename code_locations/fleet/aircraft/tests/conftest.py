"""The environment of the tests: settings, a lake in a directory, a context that takes logs and metadata."""

import os
from pathlib import Path
from unittest.mock import Mock

import dagster as dg
import pytest
from sensor_assets import Lake

os.environ.update(
    ENVIRONMENT="local",
    TEAM="fleet",
    LOCATION="fleet-aircraft",
    LEDGER_URL="postgresql://fleet@/ledger",
    LEDGER_SCHEMA="fleet",
    LANDING_URL="memory:///landing",
    FLEET_DATABASE_URL="postgresql://fleet_reader@/outside",
    LAKE_URL="memory:///lake",
    INTERVAL_SECONDS="5",
)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(url=f"file://{tmp_path}")


@pytest.fixture
def context() -> Mock:
    return Mock(spec=dg.AssetExecutionContext)
