"""The environments of the locations; uv is stood in for by a script that notes how it was called."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tenancy.local.errors import LocalPlatformError
from tenancy.local.setup import set_up
from tenancy.register import Location

if TYPE_CHECKING:
    from conftest import MakeClone

UV = """#!/bin/sh
echo "$PWD $* bytecode=$UV_COMPILE_BYTECODE dont=${PYTHONDONTWRITEBYTECODE-unset}" >> "$CALLS"
if [ -e broken ]; then echo "No solution found"; exit 1; fi
mkdir -p .venv
"""


@pytest.fixture
def calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    uv = tmp_path / "uv"
    uv.write_text(UV)
    uv.chmod(0o755)
    monkeypatch.setenv("UV", str(uv))
    monkeypatch.setenv("CALLS", str(tmp_path / "calls"))
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    return tmp_path / "calls"


@pytest.fixture
def locations(tmp_path: Path, make_clone: "MakeClone") -> list[Location]:
    return make_clone(tmp_path / "r", 3)


def test_environments_that_are_up_to_date_cost_nothing(tmp_path: Path, calls: Path, locations: list[Location]) -> None:
    set_up(tmp_path / "r", locations, print)
    assert not calls.exists()


def test_a_changed_lock_is_installed_once_with_bytecode(tmp_path: Path, calls: Path, locations: list[Location]) -> None:
    directory = tmp_path / "r" / locations[1].directory
    (directory / "uv.lock").write_text("changed")
    set_up(tmp_path / "r", locations, print)
    set_up(tmp_path / "r", locations, print)
    assert calls.read_text().splitlines() == [f"{directory} sync --frozen --no-dev --inexact bytecode=1 dont=unset"]


def test_what_uv_says_when_it_fails_is_shown_and_it_is_tried_again(
    tmp_path: Path, calls: Path, locations: list[Location]
) -> None:
    directory = tmp_path / "r" / locations[0].directory
    (directory / "uv.lock").write_text("changed")
    (directory / "broken").touch()
    with pytest.raises(LocalPlatformError, match="alpha/dummy:\nNo solution found"):
        set_up(tmp_path / "r", locations, print)
    (directory / "broken").unlink()
    set_up(tmp_path / "r", locations, print)
    assert len(calls.read_text().splitlines()) == 2


def test_a_location_of_the_register_without_a_folder_is_one_message(tmp_path: Path) -> None:
    with pytest.raises(LocalPlatformError, match=r"pyproject\.toml is missing"):
        set_up(tmp_path, [Location("fleet", "aircraft")], print)


def test_a_missing_uv_is_one_message(
    tmp_path: Path, calls: Path, locations: list[Location], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not calls.exists()
    monkeypatch.delenv("UV")
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    monkeypatch.setattr(sys, "executable", os.devnull)
    (tmp_path / "r" / locations[0].directory / "uv.lock").write_text("changed")
    with pytest.raises(LocalPlatformError, match="uv is not on PATH"):
        set_up(tmp_path / "r", locations, print)
