"""The environments of this repository: one shape, all locations, no secrets."""

from pathlib import Path

import pytest
from tenancy import environments, register
from tenancy.environments import ENVIRONMENTS, values_path
from tenancy.reading import read
from tenancy.variables import SecretRef

ROOT = Path(__file__).parents[1]
REGISTER = register.load(ROOT / "tenants.yaml")


def test_every_environment_is_whole_and_has_the_keys_of_the_others() -> None:
    assert environments.check(ROOT, REGISTER) == []


@pytest.mark.parametrize("name", ENVIRONMENTS)
@pytest.mark.parametrize("location", REGISTER.locations, ids=lambda location: location.dagster_name)
def test_a_location_sees_the_same_variables_in_every_environment(name: str, location: register.Location) -> None:
    local = environments.load(values_path(ROOT, "local")).variables_for(location.dagster_name)
    assert set(environments.load(values_path(ROOT, name)).variables_for(location.dagster_name)) == set(local)


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_every_variable_is_explained_where_it_is_set(name: str) -> None:
    path = values_path(ROOT, name)
    lines = path.read_text().splitlines()
    for place, line in read(path).lines.items():
        is_variable = len(place) >= 2 and place[-2] == "variables"
        if is_variable:
            assert "#" in lines[line - 1] or lines[line - 2].strip().startswith("#"), f"{path}:{line}"


def test_the_local_environment_needs_no_secret_and_names_only_this_machine() -> None:
    local = environments.load(values_path(ROOT, "local"))
    places: dict[str, str] = dict.fromkeys(environments.PLACES, "/x")
    for location in REGISTER.locations:
        for name, value in environments.filled(local.variables_for(location.dagster_name), places).items():
            assert "://" not in value or value.startswith(("file:///x", "http://127.0.0.1:", "postgresql://")), name


def test_prod_keeps_the_database_s_address_in_a_secret() -> None:
    prod = environments.load(values_path(ROOT, "prod"))
    assert isinstance(prod.variables_for("fleet-aircraft")["FLEET_DATABASE_URL"], SecretRef)
