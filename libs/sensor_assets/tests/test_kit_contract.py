"""The contract that the test kit gives to teams holds for sources that are known to be right."""

from contextlib import ExitStack
from pathlib import Path

import pytest
from sensor_assets import Source
from sensor_assets.testing import source_contract
from sensor_assets.testing.source_contract import SourceContract

from . import outsides


class Followed(source_contract.Outside):
    """An outside world of ours, as the kit changes it."""

    def __init__(self, outside: outsides.Outside) -> None:
        super().__init__()
        self._outside = outside
        self._outage = ExitStack()

    def source(self) -> Source:
        return self._outside.source

    def put(self, key: str, content: str) -> None:
        self._outside.put(key, content)

    def delete(self, key: str) -> None:
        self._outside.delete(key)

    def take_down(self) -> None:
        self._outage.enter_context(self._outside.outage())

    def bring_up(self) -> None:
        self._outage.close()


class TestADirectory(SourceContract):
    @pytest.fixture
    def outside(self, tmp_path: Path) -> source_contract.Outside:
        return Followed(outsides.Directory(tmp_path))


class TestAFunction(SourceContract):
    reads = False  # its items carry metadata

    @pytest.fixture
    def outside(self) -> source_contract.Outside:
        return Followed(outsides.Function())
