# pyright: reportMissingImports=false, reportUntypedBaseClass=false
"""Dagster's suites of the run storage, of the event log storage and of the daemon's cursors, on the lean storage.

That of the schedule storage comes with Dagster: `tests/test_dagster_contract.py` runs it.
"""

from collections.abc import Iterator
from typing import Any

import dagster as dg
import pytest
from dagster_tests.storage_tests.utils.daemon_cursor_storage import TestDaemonCursorStorage
from dagster_tests.storage_tests.utils.event_log_storage import TestEventLogStorage
from dagster_tests.storage_tests.utils.run_storage import TestRunStorage


class OnLean:
    """What stock's own test classes say of the Postgres storage."""

    __test__ = True

    @pytest.fixture(name="instance")
    def instance(self) -> Iterator[dg.DagsterInstance]:
        with dg.instance_for_test() as instance:
            yield instance

    def can_wipe_asset_partitions(self) -> bool:
        return False

    def supports_backfill_tags_filtering_queries(self) -> bool:
        return True

    def supports_backfill_job_name_filtering_queries(self) -> bool:
        return True

    def supports_backfill_id_filtering_queries(self) -> bool:
        return True

    def supports_backfills_count(self) -> bool:
        return True


class TestRuns(OnLean, TestRunStorage):
    """Dagster's suite of the run storage."""

    @pytest.fixture(name="storage")
    def run_storage(self, instance: dg.DagsterInstance) -> Any:
        return instance.run_storage


class TestCursors(OnLean, TestDaemonCursorStorage):
    """Dagster's suite of the daemons' cursors, which the run storage keeps."""

    @pytest.fixture(name="storage")
    def cursor_storage(self, instance: dg.DagsterInstance) -> Any:
        return instance.run_storage


class TestEvents(OnLean, TestEventLogStorage):
    """Dagster's suite of the event log storage."""

    @pytest.fixture(name="storage")
    def event_log_storage(self, instance: dg.DagsterInstance) -> Any:
        return instance.event_log_storage
