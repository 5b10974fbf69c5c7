"""What a location's processes and `dg dev` see."""

from pathlib import Path

import pytest
import yaml
from dagster import DagsterInstance, QueuedRunCoordinator
from dagster._core.secrets.env_file import get_env_var_dict
from dagster_postgres import PostgresRunStorage
from dotenv import dotenv_values
from lean_postgres import LeanPostgresRunStorage, close_pools
from tenancy import environments
from tenancy.local import dagster_home, services
from tenancy.local.environment import inherited, variables_of, write_dotenv
from tenancy.local.errors import LocalPlatformError
from tenancy.local.launcher import LocalRunLauncher
from tenancy.local.layout import Layout
from tenancy.local.postgres import Postgres
from tenancy.local.provision import provision
from tenancy.register import Location

VALUES = """
environment: local
runs: {max_concurrent: 3}
storage: {lean: true}
variables: {LANDING_URL: "file://{state}/store/landing", INTERVAL_SECONDS: 5}
locations:
  night-shift-log:
    variables: {WEATHER_URL: "http://127.0.0.1:{feeds_port}/weather", DB: "postgresql:///x?host={postgres_socket}"}
"""
LOCATION = Location("night-shift", "log")


def environment(root: Path, text: str = VALUES) -> environments.Environment:
    path = environments.values_path(root, "local")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return environments.load(path)


def test_a_location_sees_the_values_with_places_filled_in_and_where_its_ledger_is(tmp_path: Path) -> None:
    layout = Layout(tmp_path, tmp_path / ".local")
    postgres = Postgres(layout.postgres_data, Path("/run/pg"))
    seen = variables_of(LOCATION, environment(tmp_path), layout, postgres, feeds_port=3001)
    assert seen == {
        "LANDING_URL": f"file://{tmp_path}/.local/store/landing",
        "INTERVAL_SECONDS": "5",
        "WEATHER_URL": "http://127.0.0.1:3001/weather",
        "DB": f"postgresql:///x?host={layout.postgres_socket}",
        "ENVIRONMENT": "local",
        "TEAM": "night-shift",
        "LOCATION": "night-shift-log",
        "LEDGER_URL": "postgresql://night_shift@/ledger?host=/run/pg",
        "LEDGER_SCHEMA": "night_shift",
    }


def test_a_location_without_values_is_one_message(tmp_path: Path) -> None:
    layout = Layout(tmp_path, tmp_path / ".local")
    postgres = Postgres(layout.postgres_data, Path("/run/pg"))
    with pytest.raises(LocalPlatformError, match=r"values\.yaml: fleet-aircraft"):
        variables_of(Location("fleet", "aircraft"), environment(tmp_path), layout, postgres, feeds_port=3001)


def test_children_write_bytecode_and_see_no_other_python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    monkeypatch.setenv("PYTHONPATH", "/elsewhere")
    seen = inherited(tmp_path)
    assert not {"PYTHONDONTWRITEBYTECODE", "PYTHONPATH", "VIRTUAL_ENV"} & set(seen)
    assert seen["DAGSTER_HOME"] == str(tmp_path)


def test_dotenv_is_private_says_how_it_is_made_and_reads_back(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    path.write_text("old")
    path.chmod(0o644)
    values = {"PLAIN": "a", "HARD": 'it\'s $HOME "quoted" \\ #', "EMPTY": ""}
    write_dotenv(path, values)
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.read_text().splitlines()[0].startswith("# Made by `make up`")
    assert dotenv_values(path) == values


def test_both_dagster_homes_are_instances_over_one_storage(tmp_path: Path) -> None:
    layout = Layout(tmp_path, tmp_path / ".local")
    layout.make()
    with Postgres(layout.postgres_data, layout.postgres_socket, durable=False) as postgres:
        provision(postgres, [])
        dagster_home.write_homes(layout, postgres, environment(tmp_path))
        with (
            DagsterInstance.from_config(str(layout.dagster_home)) as platform,
            DagsterInstance.from_config(str(layout.development_home)) as development,
        ):
            assert isinstance(platform.run_launcher, LocalRunLauncher)
            assert platform.run_launcher.supports_check_run_worker_health
            assert isinstance(platform.run_coordinator, QueuedRunCoordinator)
            assert platform.run_coordinator.get_run_queue_config().max_concurrent_runs == 3
            # A second daemon must neither take runs from the queue nor judge those of others.
            assert "QUEUED_RUN_COORDINATOR" in platform.get_required_daemon_types()
            assert not {"QUEUED_RUN_COORDINATOR", "MONITORING"} & set(development.get_required_daemon_types())
            assert not platform.telemetry_enabled
            platform.add_dynamic_partitions("shared", ["a"])
            assert development.get_dynamic_partitions("shared") == ["a"]


@pytest.mark.parametrize(("value", "expected"), [("true", LeanPostgresRunStorage), ("false", PostgresRunStorage)])
def test_one_value_of_the_environment_chooses_the_instance_s_storage(
    tmp_path: Path, value: str, expected: type[object]
) -> None:
    layout = Layout(tmp_path, tmp_path / ".local")
    layout.make()
    chosen = environment(tmp_path, VALUES.replace("lean: true", f"lean: {value}"))
    with Postgres(layout.postgres_data, layout.postgres_socket, durable=False) as postgres:
        provision(postgres, [])
        dagster_home.write_homes(layout, postgres, chosen)
        for home in (layout.dagster_home, layout.development_home):
            with DagsterInstance.from_config(str(home)) as instance:
                assert type(instance.run_storage) is expected
    close_pools()


def test_the_workspace_names_the_sockets_of_the_started_locations(tmp_path: Path) -> None:
    layout = Layout(tmp_path, tmp_path / ".local")
    layout.make()
    dagster_home.write_workspace(layout, [LOCATION])
    (server,) = yaml.safe_load(layout.workspace.read_text())["load_from"]
    assert server["grpc_server"] == {
        "socket": str(layout.socket("night-shift-log")),
        "location_name": "night-shift-log",
    }


def test_a_code_server_does_not_find_the_dotenv_that_is_for_dg_dev(tmp_path: Path) -> None:
    """Dagster reads `.env` in the folder where a code server works, and lets it win over the environment."""
    layout = Layout(tmp_path, tmp_path / ".local" / "demo")
    layout.make()
    (tmp_path / LOCATION.directory).mkdir(parents=True)
    write_dotenv(tmp_path / LOCATION.directory / ".env", {"LEDGER_URL": "of another state directory"})
    service = services.code_server(LOCATION, layout, {"LEDGER_URL": "ours"})
    assert get_env_var_dict(str(service.directory)) == {}
    assert get_env_var_dict(str(tmp_path / LOCATION.directory)) != {}, "else this test proves nothing"
