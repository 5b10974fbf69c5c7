"""Our own sources pass the contract that the test kit gives to teams."""

from collections.abc import Iterator
from pathlib import Path
from threading import Thread

import pytest
from sensor_assets.testing.source_contract import Outside, SourceContract
from tenancy.local.postgres import Postgres

from . import kit_outsides as outsides


class TestObjectsInADirectory(SourceContract):
    @pytest.fixture
    def outside(self, tmp_path: Path) -> Outside:
        return outsides.Directory(tmp_path)


class TestObjectsInMemory(SourceContract):
    fails = False

    @pytest.fixture
    def outside(self) -> Outside:
        return outsides.Memory()


class TestPages(SourceContract):
    things = 300  # the index is read whole, so that there is one page of items whatever their number

    @pytest.fixture
    def outside(self) -> Iterator[Outside]:
        website = outsides.Website()
        thread = Thread(target=website.server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield website
        website.server.shutdown()
        website.server.server_close()
        thread.join()


class TestRows(SourceContract):
    reads = False  # a row has no bytes

    @pytest.fixture
    def outside(self, postgres: Postgres) -> Iterator[Outside]:
        rows = outsides.Rows(postgres.url())
        yield rows
        rows.connection.close()


class TestWhatAFunctionTells(SourceContract):
    reads = False  # the function yields metadata

    @pytest.fixture
    def outside(self) -> Outside:
        return outsides.Told()
