"""The Dockerfiles say what they are meant to: pinned, without root, the same every time."""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from tenancy import register

ROOT = Path(__file__).parents[2]
SHARED, *FINAL = (ROOT / "images" / name / "Dockerfile" for name in ("shared", "platform", "code-location"))
ALL = [SHARED, *FINAL]
LOCATIONS = [Path(location.directory) for location in register.load(ROOT / "tenants.yaml").locations]
PACKAGES = [*(path.relative_to(ROOT) for path in sorted((ROOT / "libs").iterdir())), *LOCATIONS]

every_dockerfile = pytest.mark.parametrize("path", ALL, ids=lambda path: path.parent.name)
final_dockerfile = pytest.mark.parametrize("path", FINAL, ids=lambda path: path.parent.name)


def instructions(path: Path) -> list[tuple[str, str]]:
    """Return the instructions of a Dockerfile, each in one line."""
    lines = re.sub(r"^\s*#.*\n", "", path.read_text(), flags=re.MULTILINE).replace("\\\n", " ").splitlines()
    pairs = (line.partition(" ") for line in lines if line.strip())
    return [(name, " ".join(rest.split())) for name, _, rest in pairs]


def runs(path: Path) -> list[str]:
    return [rest for name, rest in instructions(path) if name == "RUN"]


def uv_version() -> str:
    found = re.search(r"^UV_VERSION := (\S+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert found is not None
    return found[1]


@every_dockerfile
def test_every_image_that_is_taken_from_elsewhere_has_a_version(path: Path) -> None:
    taken = [rest.split()[0] for name, rest in instructions(path) if name == "FROM"]
    python = "python:3.12-slim-bookworm" if path == SHARED else "shared"
    assert taken == [f"ghcr.io/astral-sh/uv:{uv_version()}", python]


@every_dockerfile
def test_the_frontend_is_the_builder_s_own(path: Path) -> None:
    assert "syntax=" not in path.read_text()  # another is fetched from a registry, by a tag


@every_dockerfile
def test_uv_is_lent_and_never_copied(path: Path) -> None:
    assert [name for name, _ in instructions(path) if name in ("ADD", "COPY")] == []
    for run in runs(path):
        assert ("uv sync" in run) == ("--mount=from=uv,source=/uv,target=/bin/uv" in run)


@every_dockerfile
def test_what_is_installed_is_what_the_lock_names(path: Path) -> None:
    for command in (part for run in runs(path) for part in re.findall(r" uv [a-z].*?&&", run)):
        assert command.startswith(" uv sync --frozen --no-dev "), command


@every_dockerfile
def test_code_of_the_repository_is_built_without_a_cache_and_copied_in(path: Path) -> None:
    for run in runs(path):
        if any(source in run for source in ("source=libs,", "source=code_locations/$TEAM/$LOCATION,")):
            assert "--no-cache" in run, "uv takes a local package for unchanged until its pyproject.toml changes"
            assert "--no-editable" in run
            assert "type=cache" not in run


@every_dockerfile
def test_every_step_ends_with_the_seal(path: Path) -> None:
    # Without it a layer has other bytes at every build, and what it holds is compiled at every start.
    assert runs(path) != []
    assert [run for run in runs(path) if not run.endswith("&& python /build/images/shared/seal.py")] == []
    assert ("ARG", "SOURCE_DATE_EPOCH") in instructions(path)


@final_dockerfile
def test_an_image_runs_as_nobody_in_particular(path: Path) -> None:
    users = [rest for name, rest in instructions(path) if name == "USER"]
    assert [int(user) >= 10000 for user in users[-1].split(":")] == [True, True]
    assert f"dagster:x:{users[-1]}:" in SHARED.read_text()


@every_dockerfile
def test_an_image_has_no_entrypoint(path: Path) -> None:
    assert "ENTRYPOINT" not in dict(instructions(path))  # pods of runs and steps bring arguments only


@final_dockerfile
def test_an_image_says_what_it_is_made_of(path: Path) -> None:
    labels = dict(pair.split("=") for name, rest in instructions(path) if name == "LABEL" for pair in rest.split())
    assert {f"org.opencontainers.image.{key}" for key in ("title", "revision", "source")} <= labels.keys()
    if path.parent.name == "code-location":
        assert (labels["tenancy.team"], labels["tenancy.location"]) == ("$TEAM", "$LOCATION")
    # What differs from commit to commit comes last, or every step before it would be made anew.
    names = [rest for name, rest in instructions(path) if name in ("RUN", "ARG")]
    assert names[-2:] == ["REVISION", "SOURCE"]


@pytest.mark.parametrize("project", ["shared", "platform"])
def test_the_locks_of_the_images_are_for_the_python_in_them(project: str) -> None:
    settings = tomllib.loads((ROOT / "images" / project / "pyproject.toml").read_text())["tool"]["uv"]
    assert "python:3.12-" in SHARED.read_text()
    assert settings["environments"] == [
        "sys_platform == 'linux' and python_full_version >= '3.12' and python_full_version < '3.13'"
    ]


@pytest.mark.parametrize("package", PACKAGES, ids=str)
def test_a_package_of_the_repository_is_built_by_the_uv_that_is_there_or_by_one_version(package: Path) -> None:
    # Another backend is downloaded at every build, the newest if nobody says which: other bytes for the same commit.
    for text in tomllib.loads((ROOT / package / "pyproject.toml").read_text())["build-system"]["requires"]:
        requirement = Requirement(text)
        if requirement.name == "uv_build":
            assert uv_version() in requirement.specifier
        else:
            assert [specifier.operator for specifier in requirement.specifier] == ["=="]


def test_only_what_images_are_made_of_is_sent_to_the_builder() -> None:
    first, *rules = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and line[0] != "#"]
    assert first == "*"
    assert {"!code_locations", "!images", "!libs"} == {rule for rule in rules if rule.startswith("!")}
    assert {"**/.env", "**/.venv", "**/__pycache__", "**/tests"} <= set(rules)
