"""What follows from the register: text of every derived file, as pure functions of the register."""

import json
from collections.abc import Callable, Mapping
from pathlib import PurePosixPath

from tenancy import charts
from tenancy.closed import schema_of
from tenancy.environments import EnvironmentOnCluster
from tenancy.register import Register

MADE = "Made from tenants.yaml by `tenancy render`, checked in CI; edits here are lost."


def derived(register: Register) -> dict[PurePosixPath, str]:
    """Return the text of each derived file, by its path from the root of the repository."""
    return {PurePosixPath(path): text(register) for path, text in _FILES.items()}


def dagster_cloud(register: Register) -> str:
    """Return `dagster_cloud.yaml`, the deployment file of Dagster+, which `dagster-cloud` loads unchanged."""
    return _yaml_list(
        "locations",
        [
            f"""\
  - location_name: {location.dagster_name}
    code_source:
      module_name: {location.package}.definitions
    build:
      directory: {location.directory}
"""
            for location in register.locations
        ],
    )


def workspace(register: Register) -> str:
    """Return `workspace.yaml`: a code server for each location, reached by its socket below the state directory."""
    return _yaml_list(
        "load_from",
        [
            f"""\
  - grpc_server:
      socket: .local/sockets/{location.dagster_name}.sock
      location_name: {location.dagster_name}
"""
            for location in register.locations
        ],
    )


def dg_workspace(register: Register) -> str:
    """Return `dg.toml`, by which `dg` finds the projects of all teams."""
    projects = [f'\n[[workspace.projects]]\npath = "{location.directory}"\n' for location in register.locations]
    return "".join([f'# {MADE}\ndirectory_type = "workspace"\n\n[workspace]\n', *projects])


def bake(register: Register) -> str:
    """Return `docker-bake.json`, from which `docker buildx bake` has the list of locations."""
    locations = [f"{location.team}/{location.name}" for location in register.locations]
    return json.dumps({"//": MADE, "variable": {"LOCATIONS": {"default": locations}}}, indent=2) + "\n"


def codeowners(register: Register) -> str:
    """Return `.github/CODEOWNERS`. The last line that matches wins: the platform owns what no team does."""
    owners = {"*": "platform", **{f"/code_locations/{team}/": team for team in register.teams}}
    owners |= dict.fromkeys(["/.github/", "/environments/", "/libs/", "/tenants.yaml"], "platform")
    width = max(map(len, owners))
    lines = [f"{path:<{width}} @{register.organization}/{owner}\n" for path, owner in owners.items()]
    return f"# {MADE}\n{''.join(lines)}"


def _yaml_list(key: str, entries: list[str]) -> str:
    return f"# {MADE}\n{key}:\n{''.join(entries)}" if entries else f"# {MADE}\n{key}: []\n"


def _schema(schema: Mapping[str, object]) -> str:
    head = {"$comment": charts.HEAD, "$schema": "https://json-schema.org/draft/2020-12/schema"}
    return json.dumps({**head, **schema}, indent=2) + "\n"


_FILES: Mapping[str, Callable[[Register], str]] = {
    ".github/CODEOWNERS": codeowners,
    "dagster_cloud.yaml": dagster_cloud,
    "dg.toml": dg_workspace,
    "docker-bake.json": bake,
    "docs/reference/helm-values.md": lambda _: charts.page(),
    "environments/values.schema.json": lambda _: _schema(schema_of(EnvironmentOnCluster)),
    "helm/code-location/values.schema.json": lambda _: _schema(charts.schema_of_all(charts.CodeLocationValues)),
    "helm/code-location/values.yaml": lambda _: charts.values(),
    "helm/platform/values.schema.json": lambda _: _schema(charts.schema_of_all(charts.PlatformValues)),
    "helm/platform/values.yaml": lambda _: charts.values(),
    "tenants.schema.json": lambda _: _schema(schema_of(Register)),
    "workspace.yaml": workspace,
}
