"""What the tests of the control plane share: one Postgres that asks for passwords."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from lean_postgres import close_pools

from . import databases
from . import plane as planes
from .databases import Database
from .plane import TEAMS, Plane


@pytest.fixture(scope="session")
def server() -> Iterator[Database]:
    with databases.running() as database:
        yield database


@pytest.fixture
def database(server: Database) -> Iterator[Database]:
    """Return the server, empty but for the login of a managed database."""
    server.reset()
    yield server
    close_pools()


@pytest.fixture(scope="module")
def module_plane(server: Database, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plane]:
    with planes.running(server, tmp_path_factory.mktemp("home")) as plane:
        yield plane


@pytest.fixture
def plane(module_plane: Plane) -> Iterator[Plane]:
    """Return a control plane without runs, with the places and limits of the beginning."""
    yield module_plane
    for run in module_plane.instance.get_runs():
        module_plane.instance.delete_run(run.run_id)
    module_plane.api.reset()
    module_plane.home.write_places(TEAMS)
    module_plane.instance._run_launcher = None  # pyright: ignore[reportPrivateUsage] - the next test gets a new one


@pytest.fixture
def passwords(tmp_path: Path) -> Path:
    """Return the directory of the teams' passwords, laid out as a mounted Secret is."""
    return write_passwords(tmp_path / "passwords", databases.PASSWORDS)


def write_passwords(directory: Path, passwords: dict[str, str]) -> Path:
    """Write what the kubelet writes: a file is a link into a directory that is replaced as a whole."""
    data = directory / "..2026_01_01"
    data.mkdir(parents=True, exist_ok=True)
    (directory / "..data").unlink(missing_ok=True)
    (directory / "..data").symlink_to(data.name)
    for old in directory.iterdir():
        if not old.name.startswith(".."):
            old.unlink()
    for role, password in passwords.items():
        (data / role).write_text(password)
        (directory / role).symlink_to(f"..data/{role}")
    return directory
