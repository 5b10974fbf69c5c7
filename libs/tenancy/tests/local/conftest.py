"""What the tests of the local platform share."""

import shutil
import sys
import sysconfig
from pathlib import Path
from typing import Protocol

import pytest
from tenancy.local.setup import _stamp  # pyright: ignore[reportPrivateUsage]
from tenancy.register import Location

TEAM = """
  {team}:
    description: A team
    groups: {{everyone: editor}}
    quota: {{cpu: "1", memory: 1Gi, concurrent_runs: 2}}
    contact: {{alerts: "#alerts", email: team@acme.example}}
    locations: {{dummy: {{}}}}
"""
DEFINITIONS = """
import os
import time
from pathlib import Path

import dagster as dg

marks = Path(os.environ["MARKS"])


@dg.op
def work():
    (marks / f"begun-{os.environ['LOCATION']}").write_text(str(os.getpid()))
    time.sleep(float(os.environ["WORK_SECONDS"]))


@dg.job(executor_def=dg.in_process_executor)
def job():
    work()


@dg.sensor(job=job, minimum_interval_seconds=1, default_status=dg.DefaultSensorStatus.RUNNING)
def look(context):
    return dg.RunRequest(run_key="once") if os.environ["WORK_SECONDS"] != "0" else dg.SkipReason("nothing to do")


defs = dg.Definitions(jobs=[job], sensors=[look])
"""


class MakeClone(Protocol):
    """Makes a repository to start the local platform in."""

    def __call__(self, root: Path, teams: int, *, work_seconds: float = 0) -> list[Location]: ...


@pytest.fixture(scope="session")
def make_clone() -> MakeClone:
    """Return a function that makes a small repository: a few teams with one location each, and no sources."""
    return clone


def clone(root: Path, teams: int, *, work_seconds: float = 0) -> list[Location]:
    """Make the repository and return its locations; each has a job that a sensor asks for once.

    Args:
        root: directory to fill.
        teams: how many teams, each with one location.
        work_seconds: how long the job's only step sleeps; 0 for no run at all.
    """
    names = ["alpha", "beta", "gamma", "delta", "epsilon"][:teams]
    root.mkdir(parents=True, exist_ok=True)
    (root / "tenants.yaml").write_text("organization: acme\nteams:" + "".join(TEAM.format(team=name) for name in names))
    locations = [Location(name, "dummy") for name in names]
    values = root / "environments" / "local" / "values.yaml"
    values.parent.mkdir(parents=True)
    values.write_text(
        "environment: local\nruns: {max_concurrent: 2}\nstorage: {lean: true}\n"
        f"variables: {{MARKS: '{root}', WORK_SECONDS: '{work_seconds:g}'}}\nlocations:\n"
        + "".join(f"  {location.dagster_name}: {{variables: {{}}}}\n" for location in locations)
    )
    for location in locations:
        _make_location(root / location.directory, location.package)
    return locations


def _make_location(directory: Path, package: str) -> None:
    (directory / package).mkdir(parents=True)
    (directory / package / "__init__.py").touch()
    (directory / package / "definitions.py").write_text(DEFINITIONS)
    (directory / "pyproject.toml").touch()
    (directory / "uv.lock").touch()
    borrow_environment(directory)


def borrow_environment(directory: Path) -> None:
    """Give a location the environment that runs the tests and its own package, marked as up to date."""
    environment = directory / ".venv"
    shutil.rmtree(environment, ignore_errors=True)
    borrowed = Path(sysconfig.get_path("purelib"))
    packages = environment / borrowed.relative_to(sys.prefix)
    packages.mkdir(parents=True)
    (packages / "borrowed.pth").write_text(f"import site; site.addsitedir({str(borrowed)!r})\n{directory}\n")
    shutil.copy(Path(sys.prefix) / "pyvenv.cfg", environment)
    (environment / "bin").symlink_to(Path(sys.prefix) / "bin")
    (environment / ".synced").write_text(_stamp(directory))
