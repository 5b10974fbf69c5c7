"""What an environment says reaches a location's code servers and runs, by way of Helm, the API and the kubelet."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from tenancy import register
from tenancy.register import Location

from tests.helm import kubelet, releases, runs, strategies
from tests.helm.fuzzing import few
from tests.helm.releases import CLUSTERS, environment
from tests.helm.rendering import ROOT, Object, Values
from tests.test_locations import run_in

LOCATIONS = register.load(ROOT / "tenants.yaml").locations
OF_THE_SERVER = {
    "DAGSTER_CLI_API_GRPC_CONTAINER_CONTEXT",
    "DAGSTER_CURRENT_IMAGE",
    "DAGSTER_GRPC_SHUTDOWN_GRACE_PERIOD",
}


def secret(name: str, key: str) -> str | None:
    """Return what the tests keep in every Secret."""
    return {("database", "username"): "the_role", ("database", "password"): "its.pass-word"}.get(
        (name, key), f"{key} of {name}"
    )


def code_server(values: Values, location: Location) -> dict[str, str]:
    """Return the variables of a location's code server, as its process sees them."""
    return kubelet.environment(container(_deployment(values, location)), secret)


def run(values: Values, location: Location, directory: Path) -> dict[str, str]:
    """Return the variables of a location's runs, as their processes see them."""
    launcher = runs.launcher(releases.platform(values).objects, directory)
    return kubelet.environment(container(runs.job(launcher, _deployment(values, location))), secret)


def _deployment(values: Values, location: Location) -> Object:
    return runs.of_kind(releases.location(values, location.team, location.name).objects, "Deployment")


def container(owner: Object) -> Mapping[str, Any]:
    """Return the container of a Deployment or a Job."""
    (found,) = owner["spec"]["template"]["spec"]["containers"]
    return found


@pytest.mark.parametrize("location", LOCATIONS, ids=lambda location: location.dagster_name)
def test_code_servers_and_runs_start_in_every_environment_and_miss_by_name_what_is_missing(
    location: Location, tmp_path: Path
) -> None:
    seen: dict[str, dict[str, str]] = {}
    for name in CLUSTERS:
        values = environment(name)
        served, ran = code_server(values, location), run(values, location, tmp_path)
        assert {key: served[key] for key in set(served) - OF_THE_SERVER} == ran
        seen[name] = ran
    done = run_in(location, str(ROOT / "tests" / "settings_probe.py"), location.package, json.dumps(seen))
    assert (done.returncode, done.stdout) == (0, ""), done.stdout + done.stderr


@pytest.mark.parametrize("name", CLUSTERS)
def test_the_ledger_is_reached_by_the_team_s_own_login(name: str, tmp_path: Path) -> None:
    database = environment(name)["database"]
    host, mode = (database["host"], "require") if "host" in database else ("platform-database.dagster.svc", "disable")
    ran = run(environment(name), LOCATIONS[0], tmp_path)
    assert ran["LEDGER_URL"] == f"postgresql://the_role:its.pass-word@{host}:5432/ledger?sslmode={mode}"
    assert ran["LEDGER_SCHEMA"] == "the_role"


def test_a_pod_whose_secret_is_missing_does_not_start_and_names_it() -> None:
    fleet = next(location for location in LOCATIONS if location.team == "fleet")
    found = container(_deployment(environment("prod"), fleet))
    with pytest.raises(kubelet.CreateContainerConfigError, match="key url in Secret fleet-database"):
        kubelet.environment(found, lambda name, key: None if name == "fleet-database" else secret(name, key))


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a place for the launcher's files."""
    return tmp_path_factory.mktemp("launcher")


@few(30)
@given(every=strategies.variables, own=strategies.variables)
def test_every_value_arrives_as_it_was_written(directory: Path, every: dict[str, Any], own: dict[str, Any]) -> None:
    location = LOCATIONS[0]
    values = {**environment("prod"), "variables": every}
    values["locations"] = {**values["locations"], location.dagster_name: {"variables": own}}
    wanted = {**every, **own}
    for seen in (code_server(values, location), run(values, location, directory)):
        assert {name: seen[name] for name in wanted if not same(seen[name], wanted[name])} == {}


def same(seen: str, written: Any) -> bool:
    """Tell whether a process sees what was written: text as it is, numbers with the same value, a secret's content."""
    match written:
        case str():
            return seen == written
        case bool():
            return seen == str(written).lower()
        case int():
            return seen == str(written)
        case float():
            return float(seen) == written
        case _:
            return seen == secret(**written["secret"])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("$(A)", "a"),
        ("$$(A)", "$(A)"),
        ("$$$(A)", "$a"),
        ("$(B)", "$(B)"),
        ("$A", "$A"),
        ("$", "$"),
        ("x$", "x$"),
        ("$(A", "$(A"),
        ("$()", "$()"),
        ("a$(A)b$(A)", "aaba"),
    ],
)
def test_the_kubelet_of_the_tests_expands_as_the_real_one(text: str, expected: str) -> None:
    assert kubelet.expanded(text, {"A": "a"}) == expected
