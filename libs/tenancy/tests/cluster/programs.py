"""The program of the control plane as a process of its own."""

import os
import subprocess
import sys
from collections.abc import Mapping

from tenancy.cluster.environment import Login

from .databases import Database


def command(*arguments: object) -> list[str]:
    """Return the command line."""
    return [sys.executable, "-m", "tenancy.cluster", *map(str, arguments)]


def environment(database: Database | None, admin: Login | None = None, **more: str) -> dict[str, str]:
    """Return the process's environment, without anything of the tests' own that it could take for its."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("DATABASE_", "DAGSTER_"))}
    of_admin = {"DATABASE_ADMIN_USERNAME": admin.username, "DATABASE_ADMIN_PASSWORD": admin.password} if admin else {}
    return {**inherited, **(database.environment if database else {}), **of_admin, **more}


def run(*arguments: object, environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(
        command(*arguments), env=dict(environment), capture_output=True, text=True, timeout=120, check=False
    )


def refused(*arguments: object, environment: Mapping[str, str]) -> str:
    """Run a command that must end with one message; returns it."""
    result = run(*arguments, environment=environment)
    assert result.returncode == 1, result.stdout + result.stderr
    assert "Traceback" not in result.stdout + result.stderr
    lines = result.stderr.strip().splitlines()
    assert len(lines) == 1, result.stderr
    return lines[0]
