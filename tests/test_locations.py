"""Each location's own tests, run in the location's own environment: teams may differ in everything but what we pin."""

import json
import os
import subprocess
from pathlib import Path

import pytest
from tenancy import environments, register
from tenancy.environments import ENVIRONMENTS, values_path
from tenancy.register import Location
from tenancy.variables import SecretRef

ROOT = Path(__file__).parent.parent
LOCATIONS = register.load(ROOT / "tenants.yaml").locations


each_location = pytest.mark.parametrize("location", LOCATIONS, ids=lambda location: location.dagster_name)


@each_location
def test_the_tests_of_a_location_pass_in_its_own_environment(location: Location) -> None:
    done = run_in(location, "-m", "pytest", "-q", "tests")
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout, done.stdout


@each_location
def test_every_environment_makes_the_settings_of_a_location_and_a_missing_variable_fails_by_name(
    location: Location,
) -> None:
    variables = {name: variables_of(location, name) for name in ENVIRONMENTS}
    done = run_in(location, str(ROOT / "tests" / "settings_probe.py"), location.package, json.dumps(variables))
    assert (done.returncode, done.stdout) == (0, ""), done.stdout + done.stderr


def variables_of(location: Location, environment: str) -> dict[str, str]:
    """Return what the location's process would see; whoever starts it fills in secrets and places."""
    own = environments.load(values_path(ROOT, environment)).variables_for(location.dagster_name)
    written = {name: "from a secret" if isinstance(value, SecretRef) else str(value) for name, value in own.items()}
    schema = location.ledger_schema
    return written | {
        "ENVIRONMENT": environment,
        "TEAM": location.team,
        "LOCATION": location.dagster_name,
        "LEDGER_URL": f"postgresql://{schema}@database/ledger",
        "LEDGER_SCHEMA": schema,
    }


def run_in(location: Location, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Python in a location's environment, which uv brings up to date with its lock."""
    uv = os.environ.get("UV", "uv")
    return subprocess.run(
        [uv, "run", "--frozen", "--project", ".", "python", *arguments],
        cwd=ROOT / location.directory,
        env={name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"},
        capture_output=True,
        text=True,
        check=False,
    )
