"""Each location has its own lock, and all of them agree on what must be shared."""

import tomllib
from pathlib import Path
from typing import Any

import pytest
from tenancy import register

ROOT = Path(__file__).parents[1]
PROJECTS = [Path(), *(Path(location.directory) for location in register.load(ROOT / "tenants.yaml").locations)]


def locked(project: Path) -> list[dict[str, Any]]:
    """Return the packages that a project's lock names."""
    lock = ROOT / project / "uv.lock"
    assert lock.is_file(), f"{project} has no uv.lock; run: uv lock --project {project}"
    return tomllib.loads(lock.read_text())["package"]


def versions(project: Path) -> dict[str, str]:
    """Return the locked version of every package of a project."""
    return {package["name"]: package.get("version", "") for package in locked(project)}


@pytest.mark.parametrize("project", PROJECTS, ids=str)
def test_every_lock_has_the_dagster_of_the_platform(project: Path) -> None:
    shared = ("dagster", "dagster-shared", "dagster-pipes", "dagster-postgres")
    ours, platform = versions(project), versions(Path())
    assert {name: ours.get(name) for name in shared} == {name: platform[name] for name in shared}


@pytest.mark.parametrize("project", PROJECTS, ids=str)
def test_every_lock_has_the_storage_of_the_instance(project: Path) -> None:
    # A run whose environment lacks it fails when it loads the instance.
    assert "lean-postgres" in versions(project)


@pytest.mark.parametrize("project", PROJECTS, ids=str)
def test_every_lock_has_an_sqlalchemy_below_2_1(project: Path) -> None:
    major, minor = versions(project)["sqlalchemy"].split(".")[:2]
    assert (int(major), int(minor)) < (2, 1)


@pytest.mark.parametrize("project", PROJECTS, ids=str)
def test_a_lock_names_only_the_public_index_and_this_repository(project: Path) -> None:
    for package in locked(project):
        ((kind, place),) = package["source"].items()
        if kind == "registry":
            assert place == "https://pypi.org/simple"
        else:
            assert kind in {"editable", "virtual", "directory"}
            assert (ROOT / project / place).resolve().is_relative_to(ROOT)
        files = [*package.get("wheels", []), *filter(None, [package.get("sdist")])]
        assert all(file["url"].startswith("https://files.pythonhosted.org/") for file in files), package["name"]
