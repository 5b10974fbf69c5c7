"""A workspace that changes while we run: what is added and removed, and nothing else."""

import logging
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from tenancy.cluster.errors import ControlPlaneError
from tenancy.cluster.workspace import FollowedWorkspace

from . import plane as planes
from .plane import LATE, WEATHER, Plane

ADDED = "weather-alerts"


@pytest.fixture
def workspace(plane: Plane) -> Iterator[Path]:
    """Return the workspace file, which is as it was at the end of the test."""
    before = plane.home.workspace.read_text()
    yield plane.home.workspace
    planes.replace(plane.home.workspace, before)
    plane.context.follow()


@pytest.fixture(scope="module")
def third(module_plane: Plane) -> Iterator[int]:
    with planes.code_server(ADDED, module_plane.home.environment) as port:
        yield port


def ports(workspace: Path) -> dict[str, int]:
    servers = [entry["grpc_server"] for entry in yaml.safe_load(workspace.read_text())["load_from"]]
    return {server["location_name"]: server["port"] for server in servers}


def entries(plane: Plane) -> Mapping[str, Any]:
    return plane.context.get_current_workspace().code_location_entries


def watches() -> int:
    return sum(thread.name == "grpc-server-watch" for thread in threading.enumerate())


def test_what_is_added_is_loaded_and_the_others_are_left_alone(plane: Plane, workspace: Path, third: int) -> None:
    before = entries(plane)
    plane.home.write_workspace({**ports(workspace), ADDED: third})
    plane.context.follow()
    after = entries(plane)
    assert set(after) == {WEATHER, LATE, ADDED}
    assert after[ADDED].code_location is not None
    assert all(after[name] is before[name] for name in before)
    assert watches() == 3


def test_what_is_removed_is_gone_and_the_others_are_left_alone(plane: Plane, workspace: Path) -> None:
    before = entries(plane)
    plane.home.write_workspace({LATE: ports(workspace)[LATE]})
    plane.context.follow()
    assert set(entries(plane)) == {LATE}
    assert entries(plane)[LATE] is before[LATE]
    assert watches() == 1


def test_nothing_is_done_while_nothing_changes(plane: Plane, workspace: Path) -> None:
    before = plane.context.get_current_workspace()
    plane.home.write_workspace(ports(workspace))
    plane.context.follow()
    assert plane.context.get_current_workspace() is before


def test_a_location_that_moves_is_loaded_from_its_new_place(plane: Plane, workspace: Path, third: int) -> None:
    plane.home.write_workspace({**ports(workspace), LATE: third})
    plane.context.follow()
    assert entries(plane)[LATE].origin.port == third
    assert watches() == 2


@pytest.mark.filterwarnings("ignore:Error loading repository location")
def test_a_location_whose_server_is_away_is_there_with_its_error_and_heals(
    plane: Plane, workspace: Path, third: int
) -> None:
    port = planes.any_free(0)
    plane.home.write_workspace({**ports(workspace), ADDED: port})
    plane.context.follow()
    assert entries(plane)[ADDED].load_error is not None
    assert entries(plane)[WEATHER].load_error is None
    with planes.code_server(ADDED, plane.home.environment, port=port):
        planes.until(lambda: entries(plane)[ADDED].load_error is None)


def test_stock_s_refresh_still_loads_everything(plane: Plane) -> None:
    before = entries(plane)
    plane.context.refresh_workspace()
    assert not any(entries(plane)[name] is before[name] for name in before)
    assert watches() == 2
    plane.context.follow()
    assert watches() == 2


MALFORMED = [
    "load_from: [",
    "",
    "load_from: 3",
    "load_from:\n  - grpc_server: {host: a, port: 4000, location_nam: x}",
    "load_from:\n  - grpc_server: {location_name: x}",
    "load_from:\n  - python_module: os",
    "load_from:\n  - python_file: /etc/passwd",
    "load_from:" + 2 * "\n  - grpc_server: {host: a, port: 1, location_name: x}",
]


@pytest.mark.parametrize("text", MALFORMED)
def test_a_malformed_workspace_changes_nothing_and_is_told_once(
    plane: Plane, workspace: Path, caplog: pytest.LogCaptureFixture, text: str
) -> None:
    before = plane.context.get_current_workspace()
    with caplog.at_level(logging.ERROR, "tenancy.cluster"):
        planes.replace(workspace, text)
        for _ in range(5):
            plane.context.follow()
    assert plane.context.get_current_workspace() is before
    (record,) = [each for each in caplog.records if each.name == "tenancy.cluster"]
    assert record.getMessage().startswith(f"{workspace} cannot be used, its last good content stays in use: ")
    assert "\n" not in record.getMessage()


def test_after_a_malformed_workspace_a_good_one_counts_again(plane: Plane, workspace: Path) -> None:
    good = ports(workspace)
    planes.replace(workspace, "load_from: [")
    plane.context.follow()
    plane.home.write_workspace({LATE: good[LATE]})
    plane.context.follow()
    assert set(entries(plane)) == {LATE}


def test_a_workspace_of_no_location_is_a_workspace(tmp_path: Path) -> None:
    file = tmp_path / "workspace.yaml"
    file.write_text("load_from: []")
    assert list(FollowedWorkspace(file).create_origins()) == []


@pytest.mark.parametrize("text", [None, *MALFORMED])
def test_at_the_beginning_a_workspace_that_cannot_be_read_is_an_error_with_its_name(
    tmp_path: Path, text: str | None
) -> None:
    file = tmp_path / "workspace.yaml"
    if text is not None:
        file.write_text(text)
    with pytest.raises(ControlPlaneError, match=f"{file} cannot be used: "):
        FollowedWorkspace(file)
