"""Each location's own tests, run in the location's own environment: teams may differ in everything but what we pin."""

import os
import subprocess
from pathlib import Path

import pytest
from tenancy import register
from tenancy.register import Location

ROOT = Path(__file__).parent.parent
LOCATIONS = register.load(ROOT / "tenants.yaml").locations


@pytest.mark.parametrize("location", LOCATIONS, ids=lambda location: location.dagster_name)
def test_the_tests_of_a_location_pass_in_its_own_environment(location: Location) -> None:
    uv = os.environ.get("UV", "uv")
    environment = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}
    done = subprocess.run(
        [uv, "run", "--frozen", "--project", ".", "python", "-m", "pytest", "-q", "tests"],
        cwd=ROOT / location.directory,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout, done.stdout
