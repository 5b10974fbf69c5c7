"""Hold the folders below `code_locations` against the register."""

from collections.abc import Iterator
from pathlib import Path

from tenancy.document import Problem
from tenancy.register import Register


def check(root: Path, register: Register) -> Iterator[Problem]:
    """Yield every location of the register without a project, and every project that is in no register."""
    projects = {location.directory for location in register.locations}
    for directory in sorted(projects):
        if not (root / directory / "pyproject.toml").is_file():
            yield Problem(str(directory), 0, (), "is in the register, but has no pyproject.toml")
    for file in sorted((root / "code_locations").glob("*/*/pyproject.toml")):
        directory = file.parent.relative_to(root)
        if directory.as_posix() not in map(str, projects):
            yield Problem(str(directory), 0, (), "is in no team of the register; add it there or remove the folder")
