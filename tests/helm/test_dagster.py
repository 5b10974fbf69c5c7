"""What the charts write for Dagster and for the control plane's own code is read by these."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from dagster._config import process_config
from dagster._core.instance import InstanceRef
from dagster._core.remote_origin import GrpcServerCodeLocationOrigin
from dagster._core.run_coordinator import QueuedRunCoordinator
from dagster._core.storage.noop_compute_log_manager import NoOpComputeLogManager
from dagster._core.workspace.load import location_origins_from_config
from dagster_obstore.s3.compute_log_manager import S3ComputeLogManager
from hypothesis import given
from lean_postgres import LeanPostgresStorage
from tenancy import register
from tenancy.capacity import shortages
from tenancy.charts import PlatformValues
from tenancy.cluster.coordinator import TeamRunCoordinator
from tenancy.cluster.places import Places
from tenancy.cluster.room import Quota, lacking, of_a_run, of_a_server

from tests.helm import checks, releases, runs, strategies
from tests.helm.fuzzing import few
from tests.helm.releases import CLUSTERS, environment, label, laid_over
from tests.helm.rendering import ROOT, Values, read_one

REGISTER = register.load(ROOT / "tenants.yaml")
each_environment = pytest.mark.parametrize("name", CLUSTERS)


@pytest.fixture(autouse=True)
def of_the_pod(monkeypatch: pytest.MonkeyPatch) -> None:
    """Set what the control plane's containers see."""
    for variable in ("HOST", "USERNAME", "PASSWORD", "SSLMODE"):
        monkeypatch.setenv(f"DATABASE_{variable}", f"the-{variable.lower()}")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")


def file(values: Values, suffix: str, name: str) -> str:
    """Return a file of a ConfigMap of the control plane."""
    return runs.of_kind(releases.platform(values).objects, "ConfigMap", suffix)["data"][name]


def instance(values: Values, home: Path) -> InstanceRef:
    """Return Dagster's own understanding of the rendered dagster.yaml; raises DagsterInvalidConfigError."""
    text = file(values, "-instance", "dagster.yaml")
    (home / "dagster.yaml").write_text(text.replace("/etc/tenancy/workspace/", f"{home}/"))
    (home / "places.yaml").write_text(file(values, "-workspace", "places.yaml"))
    return InstanceRef.from_dir(str(home))


@each_environment
def test_dagster_takes_dagster_yaml_and_makes_what_it_names(name: str, tmp_path: Path) -> None:
    values = environment(name)
    found = instance(values, tmp_path)
    storage = found.storage_data  # to make it would be to connect
    assert storage is not None
    assert (storage.module_name, storage.class_name) == ("lean_postgres", LeanPostgresStorage.__name__)
    taken = process_config(LeanPostgresStorage.config_type(), storage.config_dict)
    assert taken.success, taken.errors
    database = (taken.value or {})["postgres_db"]
    assert (database["hostname"], database["username"], database["password"]) == (
        "the-host",
        "the-username",
        "the-password",
    )
    assert database["params"] == {"sslmode": "disable" if name == "dev" else "require"}
    coordinator = found.run_coordinator
    assert isinstance(coordinator, TeamRunCoordinator)
    logs = found.compute_log_manager
    kept = isinstance(logs, S3ComputeLogManager)
    assert kept or isinstance(logs, NoOpComputeLogManager)
    assert kept is bool(values.get("compute_logs", {}).get("bucket"))
    settings: Any = found.settings
    assert settings["run_monitoring"]["enabled"] is True
    assert settings["sensors"] == {
        "use_threads": True,
        "num_workers": values.get("daemon", {}).get("sensor_threads", 16),
    }
    assert settings["telemetry"] == {"enabled": False}


def test_another_run_coordinator_takes_the_place_of_the_platform_s(tmp_path: Path) -> None:
    other = {"module": "tests.helm.other_coordinator", "name": "OtherRunCoordinator"}
    found = instance(laid_over(environment("dev"), {"daemon": {"run_coordinator": other}}), tmp_path)
    assert isinstance(found.run_coordinator, QueuedRunCoordinator)
    assert type(found.run_coordinator).__name__ == "OtherRunCoordinator"


@few(12)
@given(strategies.values())
def test_dagster_takes_whatever_the_models_take(values: dict[str, Any]) -> None:
    with TemporaryDirectory() as home:
        found = instance(laid_over(values, {"daemon": {"run_coordinator": None}}), Path(home))
        logs = values.get("compute_logs", {})
        if logs.get("bucket"):
            config = found.compute_logs_data.config_dict
            assert (config["bucket"], config["prefix"]) == (logs["bucket"], logs.get("prefix", "compute-logs"))
            assert isinstance(found.compute_log_manager, S3ComputeLogManager)
        places = Places.read(file(values, "-workspace", "places.yaml"))
        of_all = {"node_selector": {}, "tolerations": [], **values.get("scheduling", {})}
        assert {name: place.scheduling.model_dump(exclude_unset=True) for name, place in places.locations.items()} == {
            name: {**of_all, **values["locations"][name].get("scheduling", {})} for name in places.locations
        }
        limits = places.teams
        shared = [team for team in values["teams"] if team not in releases.dedicated(values)]
        assert {team: limit.concurrent_runs for team, limit in limits.items()} == {
            team: values["teams"][team]["quota"]["concurrent_runs"] for team in shared
        }


@each_environment
def test_dagster_takes_workspace_yaml_and_finds_each_code_server_at_its_service(name: str) -> None:
    values = environment(name)
    found = location_origins_from_config(read_one(file(values, "-workspace", "workspace.yaml")), "workspace.yaml")
    services = {label(each): each for each in releases.everything(values) if each["kind"] == "Service"}
    assert sorted(found) == sorted(location.dagster_name for location in REGISTER.locations)
    for location in REGISTER.locations:
        origin = found[location.dagster_name]
        assert isinstance(origin, GrpcServerCodeLocationOrigin)
        service, namespace, _ = origin.host.split(".")
        (port,) = services[f"Service/{namespace}/{service}"]["spec"]["ports"]
        assert origin.port == port["port"]


@each_environment
def test_the_launcher_reads_where_each_location_s_runs_belong(name: str) -> None:
    values = environment(name)
    places = Places.read(file(values, "-workspace", "places.yaml"))
    accounts = {label(each) for each in releases.everything(values) if each["kind"] == "ServiceAccount"}
    for location in REGISTER.locations:
        place = places.locations[location.dagster_name]
        assert (place.team, place.namespace) == (location.team, location.team)
        assert f"ServiceAccount/{place.namespace}/{place.service_account}" in accounts


@each_environment
def test_the_launcher_knows_what_a_code_server_takes_of_a_quota(name: str) -> None:
    sizes = {"requests": {"cpu": "70m", "memory": "300Mi"}, "limits": {"cpu": "2", "memory": "700Mi"}}
    values = laid_over(environment(name), {"code_servers": {"resources": sizes}})
    values = laid_over(values, {"teams": {"idle": {**values["teams"]["fleet"], "locations": {}}}})
    own = {"requests": {"cpu": "1", "memory": "200Mi"}, "limits": {"cpu": "1500m", "memory": "1Gi"}}
    of_alerts = {"locations": {"weather-alerts": {"code_servers": {"resources": own}}}}
    limits = Places.read(file(laid_over(values, of_alerts), "-workspace", "places.yaml")).teams
    reserves = {team: limit.reserve.model_dump() if limit.reserve else None for team, limit in limits.items()}
    most = {"requests": {"cpu": "1", "memory": "300Mi"}, "limits": {"cpu": "2", "memory": "1Gi"}}
    assert reserves == {"fleet": sizes, "operations": sizes, "weather": most, "idle": None}


def test_the_launcher_knows_the_nodes_and_the_disk_of_a_location_s_runs() -> None:
    own = {"node_selector": {"pool": "large"}, "tolerations": []}
    values = laid_over(environment("prod"), {"locations": {"weather-alerts": {"scheduling": own}}})
    values = laid_over(values, {"scheduling": {"node_selector": {"pool": "data"}}, "run_pods": {"scratch": "7Gi"}})
    places = Places.read(file(values, "-workspace", "places.yaml")).locations
    selected = {name: place.scheduling.node_selector["pool"] for name, place in places.items()}
    assert selected.pop("weather-alerts") == "large"
    assert set(selected.values()) == {"data"}
    assert {place.ephemeral_storage for place in places.values()} == {"7Gi"}


@each_environment
def test_the_least_quota_that_passes_has_room_for_a_run_beside_a_code_server_more(name: str) -> None:
    """`tenancy check` and the launcher go by the same account."""
    values = PlatformValues.model_validate(environment(name))
    limits = Places.read(file(environment(name), "-workspace", "places.yaml")).teams
    for team, body in REGISTER.teams.items():
        reserve = limits[team].reserve
        assert reserve is not None
        server, run = of_a_server(reserve), of_a_run(values.run_pods.resources.model_dump())
        pods = values.code_servers.replicas * len(body.locations)
        cpu, memory = ((pods + 1) * server[counted] + run[counted] for counted in ("requests.cpu", "limits.memory"))
        used = {counted: f"{pods * server[counted]:f}" for counted in ("requests.cpu", "limits.memory")}
        for less, lacks in ((0, 0), (1, 2)):
            quota = Quota(
                {"requests.cpu": f"{cpu * 1000 - less:.0f}m", "limits.memory": f"{memory / 2**20 - less:.0f}Mi"}, used
            )
            assert len(list(shortages(with_quota(team, *quota.hard.values()), values, values.locations))) == lacks
            assert len(lacking([quota], run, {}, server)) == lacks


def with_quota(team: str, cpu: str, memory: str) -> register.Register:
    """Return the register of one team with another quota."""
    body = REGISTER.teams[team]
    quota = body.quota.model_copy(update={"cpu": cpu, "memory": memory})
    return REGISTER.model_copy(update={"teams": {team: body.model_copy(update={"quota": quota})}})


@each_environment
def test_a_run_is_a_job_that_its_team_s_namespace_admits(name: str) -> None:
    values = environment(name)
    objects, jobs = runs.of_everything(values)
    assert checks.problems([*objects, *jobs]) == []
    by_location = {job["metadata"]["labels"]["tenancy/location"]: job for job in jobs}
    for location in REGISTER.locations:
        job = by_location[location.dagster_name]
        pod = job["spec"]["template"]["spec"]
        assert job["metadata"]["namespace"] == location.team
        assert pod["serviceAccountName"] == "run"
        assert pod["containers"][0]["image"] == values["images"]["locations"][location.dagster_name]


@few(12)
@given(strategies.values())
def test_a_run_of_whatever_the_models_take_is_a_job_that_its_team_s_namespace_admits(values: dict[str, Any]) -> None:
    objects, jobs = runs.of_everything(values)
    assert checks.problems([*objects, *jobs]) == []


def test_runs_are_put_where_the_environment_says_and_pull_with_its_secrets() -> None:
    toleration = {
        "key": "team",
        "operator": "Equal",
        "value": "data",
        "effect": "NoExecute",
        "tolerationSeconds": 1_000_000,
    }
    scheduling = {"node_selector": {"pool": "data"}, "tolerations": [toleration]}
    values = laid_over(environment("prod"), {"scheduling": scheduling, "image_pull_secrets": ["registry"]})
    for job in runs.of_everything(values)[1]:
        pod = job["spec"]["template"]["spec"]
        assert pod["nodeSelector"] == {"pool": "data"}
        assert pod["tolerations"] == [toleration]
        assert pod["imagePullSecrets"] == [{"name": "registry"}]
