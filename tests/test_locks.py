"""Each location has its own lock, and all of them agree on what must be shared."""

import tomllib
from pathlib import Path
from typing import Any

import pytest
from tenancy import register

ROOT = Path(__file__).parents[1]
LOCATIONS = [Path(location.directory) for location in register.load(ROOT / "tenants.yaml").locations]
SHARED, PLATFORM = Path("images/shared"), Path("images/platform")
PROJECTS = [Path(), SHARED, PLATFORM, *LOCATIONS]


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


@pytest.mark.parametrize("project", [PLATFORM, *LOCATIONS], ids=str)
def test_a_lock_agrees_with_what_every_image_holds_already(project: Path) -> None:
    # Its image would hold such a package twice: in the layers that all images share, and in a layer of its own over it.
    ours: dict[str, set[str]] = {}
    for package in locked(project):
        ours.setdefault(package["name"], set()).add(package.get("version", ""))
    others = {name: version for name, version in versions(SHARED).items() if version not in ours.get(name, {version})}
    command = " ".join([f"uv lock --project {project}", *(f"-P {name}=={others[name]}" for name in others)])
    assert others == {}, f"{project}/uv.lock names other versions than {SHARED}/uv.lock; run: {command}"


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
