"""Derived files are what the register says, and the programs that they are for accept them."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, cast

import jsonschema
import pytest
import yaml
from dagster._core.remote_origin import GrpcServerCodeLocationOrigin
from dagster._core.workspace.load import location_origins_from_yaml_paths
from dagster_cloud_cli.config.models import load_dagster_cloud_yaml
from dagster_dg_core.context import DgContext
from ruamel.yaml import YAML
from tenancy import register, render
from tenancy.environments import ENVIRONMENTS, values_path
from tenancy.reading import read

ROOT = Path(__file__).parents[1]
REGISTER = register.load(ROOT / "tenants.yaml")
NAMES = [location.dagster_name for location in REGISTER.locations]
WRITTEN = [ROOT / "tenants.yaml", *(values_path(ROOT, name) for name in ENVIRONMENTS)]


def test_no_derived_file_has_drifted() -> None:
    command = [sys.executable, "-m", "tenancy.cli", "--root", str(ROOT), "render", "--check"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


def test_the_register_the_environments_and_the_folders_agree() -> None:
    command = [sys.executable, "-m", "tenancy.cli", "--root", str(ROOT), "check"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize("path", render.derived(REGISTER), ids=str)
def test_a_derived_file_begins_with_how_it_is_made(path: Path) -> None:
    head = (ROOT / path).read_text().splitlines()[:2]
    assert "by `tenancy render`" in (head[1] if head[0] == "{" else head[0])


def test_dagster_plus_loads_every_location() -> None:
    loaded = load_dagster_cloud_yaml((ROOT / "dagster_cloud.yaml").read_text())
    assert [location.location_name for location in loaded.locations] == NAMES
    for ours, theirs in zip(REGISTER.locations, loaded.locations, strict=True):
        assert theirs.code_source is not None
        assert theirs.code_source.module_name == f"{ours.package}.definitions"
        assert theirs.build is not None
        assert theirs.build.directory == str(ours.directory)


def test_dagster_loads_a_server_by_socket_for_every_location() -> None:
    origins = location_origins_from_yaml_paths([str(ROOT / "workspace.yaml")])
    assert [origin.location_name for origin in origins] == NAMES
    for origin in origins:
        assert isinstance(origin, GrpcServerCodeLocationOrigin)
        assert origin.socket == f".local/sockets/{origin.location_name}.sock"


def test_dg_finds_the_project_of_every_location() -> None:
    context = DgContext.for_workspace_environment(ROOT, {})
    assert [spec.path for spec in context.project_specs] == [Path(item.directory) for item in REGISTER.locations]


def test_the_code_owner_of_a_team_s_folder_is_the_team_and_of_all_else_the_platform() -> None:
    lines = (ROOT / ".github/CODEOWNERS").read_text().splitlines()
    rules = [line.split() for line in lines if line and not line.startswith("#")]

    def owner(path: str) -> str:
        return [name for pattern, name in rules if pattern == "*" or f"/{path}".startswith(pattern)][-1]

    for location in REGISTER.locations:
        assert owner(f"{location.directory}/pyproject.toml") == f"@{REGISTER.organization}/{location.team}"
    for path in ("tenants.yaml", "environments/prod/values.yaml", "libs/tenancy/README.md", "Makefile", ".github/x"):
        assert owner(path) == f"@{REGISTER.organization}/platform"


@pytest.mark.parametrize("path", WRITTEN, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_reader_of_yaml_reads_what_people_write_alike(path: Path) -> None:
    ours = read(path).value
    assert yaml.safe_load(path.read_text()) == ours  # YAML 1.1, as Helm
    assert YAML(typ="safe").load(path.read_text()) == ours  # YAML 1.2, as Terraform  # pyright: ignore[reportUnknownMemberType]


def _schema_errors(schema: str, document: object) -> list[str]:
    validator = jsonschema.Draft202012Validator(json.loads((ROOT / schema).read_text()))
    return [error.message for error in validator.iter_errors(cast("Any", document))]


@pytest.mark.parametrize("path", WRITTEN, ids=lambda path: str(path.relative_to(ROOT)))
def test_an_editor_checks_what_people_write_by_the_schema(path: Path) -> None:
    schema = path.read_text().splitlines()[0].partition("$schema=")[2]
    relative = str((path.parent / schema).resolve().relative_to(ROOT))
    document = yaml.safe_load(path.read_text())
    assert _schema_errors(relative, document) == []
    assert _schema_errors(relative, {**document, "quotas": 1}) != []


def test_an_editor_shows_a_name_that_the_register_would_refuse() -> None:
    document = yaml.safe_load((ROOT / "tenants.yaml").read_text())
    document["teams"]["Fleet"] = document["teams"].pop("fleet")
    assert _schema_errors("tenants.schema.json", document) != []
