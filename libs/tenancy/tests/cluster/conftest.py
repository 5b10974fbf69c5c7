"""What the tests of the control plane share: one Postgres that asks for passwords."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from lean_postgres import close_pools

from . import databases
from .databases import Database


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
