"""A control plane: a real instance over a real Postgres, real code servers, and a Kubernetes API in memory."""

import json
import logging
import os
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import yaml
from dagster._core.test_utils import create_run_for_test
from dagster._daemon.run_coordinator.queued_run_coordinator_daemon import QueuedRunCoordinatorDaemon
from dagster._grpc.client import DagsterGrpcClient
from lean_postgres import close_pools
from tenancy.cluster import migration
from tenancy.cluster._dagster import FollowingContext
from tenancy.cluster.workspace import FollowedWorkspace
from tenancy.local.ports import any_free

from . import kubernetes_api
from .databases import DAGSTER_PASSWORD, MASTER, OWNER, PASSWORDS, Database
from .kubernetes_api import KubernetesApi

HERE = Path(__file__).parent
WEATHER, LATE = "weather-observations", "night-shift-late"
TEAMS = {WEATHER: "weather", LATE: "night-shift"}

# As the chart renders it, but for what a cluster has and a test has not: a service account, an object store.
INSTANCE = """
storage:
  custom:
    module: lean_postgres
    class: LeanPostgresStorage
    config:
      postgres_db:
        hostname: {env: DATABASE_HOST}
        port: %(port)s
        username: {env: DATABASE_USERNAME}
        password: {env: DATABASE_PASSWORD}
        db_name: dagster
        params: {sslmode: disable}
      should_autocreate_tables: false
      lean: true
run_launcher:
  module: tenancy.cluster.launcher
  class: TeamRunLauncher
  config:
    places: %(home)s/workspace/places.yaml
    service_account_name: run
    instance_config_map: platform-instance
    dagster_home: /opt/dagster/home
    fail_pod_on_run_failure: true
    load_incluster_config: false
    kubeconfig_file: %(home)s/kubeconfig
run_coordinator:
  module: tenancy.cluster.coordinator
  class: TeamRunCoordinator
  config:
    places: %(home)s/workspace/places.yaml
    max_concurrent_runs: 20
    dequeue_interval_seconds: 1
    dequeue_use_threads: true
    dequeue_num_workers: 4
run_monitoring:
  enabled: true
  start_timeout_seconds: 300
  max_resume_run_attempts: 0
local_artifact_storage:
  module: dagster._core.storage.root
  class: LocalArtifactStorage
  config: {base_dir: %(home)s/artifacts}
compute_logs:
  module: dagster._core.storage.noop_compute_log_manager
  class: NoOpComputeLogManager
telemetry: {enabled: false}
nux: {enabled: false}
"""

VARIABLES = [
    {"name": "DATABASE_USERNAME", "value_from": {"secret_key_ref": {"name": "database", "key": "username"}}},
    {"name": "ENVIRONMENT", "value": "dev"},
]
# As the chart renders it for a location.
CONTEXT: dict[str, Any] = {
    "k8s": {
        "image_pull_secrets": [],
        "run_k8s_config": {
            "container_config": {
                "env": VARIABLES,
                "resources": {
                    "requests": {"cpu": "250m", "memory": "512Mi"},
                    "limits": {"cpu": "1", "memory": "2Gi"},
                },
                "security_context": {"allow_privilege_escalation": False, "read_only_root_filesystem": True},
                "volume_mounts": [{"name": "tmp", "mount_path": "/tmp"}],
            },
            "pod_spec_config": {
                "automount_service_account_token": False,
                "enable_service_links": False,
                "security_context": {"run_as_non_root": True, "run_as_user": 10001},
                "termination_grace_period_seconds": 60,
                "volumes": [{"name": "tmp", "empty_dir": {}}],
            },
            "job_spec_config": {"ttl_seconds_after_finished": 86400, "backoff_limit": 0},
        },
    }
}


def place(team: str) -> dict[str, Any]:
    """Return the place of a team's runs."""
    return {"team": team, "namespace": team, "service_account": "run", "cpu": "4", "memory": "16Gi"}


@dataclass
class Home:
    """The files of a control plane."""

    path: Path
    database: Database
    api: KubernetesApi

    @property
    def workspace(self) -> Path:
        return self.path / "workspace" / "workspace.yaml"

    def write(self) -> None:
        (self.path / "workspace").mkdir(parents=True)
        kubernetes_api.write_kubeconfig(self.path / "kubeconfig", self.api.url)
        text = INSTANCE % {"port": self.database.server.port, "home": self.path}
        (self.path / "dagster.yaml").write_text(text)
        self.write_places(TEAMS)

    def write_places(self, teams: Mapping[str, str], limits: Mapping[str, int] | None = None) -> None:
        names = set(teams.values())
        content = {
            "locations": {location: place(team) for location, team in teams.items()},
            "teams": {team: {"concurrent_runs": (limits or {}).get(team, 4)} for team in names},
        }
        replace(self.path / "workspace" / "places.yaml", yaml.safe_dump(content))

    def change_places(self, change: Callable[[dict[str, Any]], None]) -> None:
        """Write places that differ from those that there are."""
        path = self.path / "workspace" / "places.yaml"
        content = yaml.safe_load(path.read_text())
        change(content)
        replace(path, yaml.safe_dump(content))

    def write_workspace(self, ports: Mapping[str, int]) -> None:
        servers = [
            {"grpc_server": {"host": "127.0.0.1", "port": port, "location_name": name}} for name, port in ports.items()
        ]
        replace(self.workspace, yaml.safe_dump({"load_from": servers}))

    @property
    def environment(self) -> dict[str, str]:
        """Variables of a program of the control plane."""
        return {**os.environ, **self.database.environment, "DAGSTER_HOME": str(self.path)}


def replace(path: Path, text: str) -> None:
    """Put another file in place of one, as the kubelet does."""
    beside = path.with_name(f".{path.name}")
    beside.write_text(text)
    beside.replace(path)


@contextmanager
def code_server(
    location: str, environment: Mapping[str, str], context: Mapping[str, Any] = CONTEXT, port: int = 0
) -> Generator[int]:
    """Serve a location; yields the port, as soon as it answers."""
    port = port or any_free(0)
    command = [
        str(Path(sys.executable).with_name("dagster")),
        "api",
        "grpc",
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
    ]
    command += ["--python-file", str(HERE / "location.py"), "--location-name", location]
    of_image = {
        "DAGSTER_CURRENT_IMAGE": f"registry.example/{location}@sha256:{'0' * 64}",
        "DAGSTER_CLI_API_GRPC_CONTAINER_CONTEXT": json.dumps(context),
    }
    process = subprocess.Popen(
        command, env={**environment, **of_image}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        until(lambda: answers(port))
        yield port
    finally:
        process.kill()
        process.wait()


def answers(port: int) -> bool:
    """Tell whether a code server answers."""
    try:
        return bool(DagsterGrpcClient(port=port, host="127.0.0.1").ping("x"))
    except Exception:  # noqa: BLE001 - whatever it is, it is no answer
        return False


def until(condition: Any, seconds: float = 60.0) -> Any:
    """Wait until a condition holds; returns its value."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, "it never came to that"
        time.sleep(0.1)
    return value


@dataclass
class Plane:
    """What the daemon holds, in this process."""

    home: Home
    instance: dg.DagsterInstance
    context: FollowingContext
    queue: QueuedRunCoordinatorDaemon

    @property
    def api(self) -> KubernetesApi:
        return self.home.api

    def submit(self, location: str = WEATHER, *, tags: Mapping[str, str] | None = None, context: Any = None) -> str:
        """Submit a run as the webserver does; returns its id.

        Args:
            location: whose job it is of.
            tags: of the run.
            context: a container context in place of that which the code server reported.
        """
        workspace = self.context.create_request_context()
        job = workspace.get_code_location(location).get_repository("__repository__").get_full_job("hello")
        origin = job.get_python_origin()
        if context is not None:
            repository = origin.repository_origin._replace(container_context=context)
            origin = origin._replace(repository_origin=repository)
        run = create_run_for_test(
            self.instance,
            "hello",
            tags=tags,
            remote_job_origin=job.get_remote_origin(),
            job_code_origin=origin,
            job_snapshot=job.job_snapshot,
        )
        self.instance.submit_run(run.run_id, workspace)
        return run.run_id

    def dequeue(self) -> None:
        """Let the daemon look into the queue once."""
        list(self.queue.run_iteration(self.context))

    def begin(self, run_id: str) -> None:
        """Report what a run's own process would report first."""
        event = dg.DagsterEvent(event_type_value="PIPELINE_START", job_name="hello")
        self.instance.report_dagster_event(event, run_id=run_id)

    def run(self, run_id: str) -> dg.DagsterRun:
        run = self.instance.get_run_by_id(run_id)
        assert run is not None
        return run

    def status(self, run_id: str) -> str:
        return self.run(run_id).status.value

    def messages(self, run_id: str) -> Sequence[str]:
        """Return the messages of a run's event log, in order."""
        return [entry.user_message or entry.message for entry in self.instance.all_logs(run_id)]

    def events(self, run_id: str) -> Sequence[str]:
        """Return the types of a run's events, in order."""
        return [e.dagster_event.event_type_value for e in self.instance.all_logs(run_id) if e.dagster_event]


@contextmanager
def running(server: Database, path: Path) -> Generator[Plane]:
    """Start everything."""
    server.reset()
    migration.migrate(server.server, MASTER, PASSWORDS, DAGSTER_PASSWORD, owner=OWNER, seconds=0)
    with ExitStack() as stack:
        api = stack.enter_context(kubernetes_api.running())
        home = Home(path, server, api)
        home.write()
        environment = {**home.environment, "DATABASE_USERNAME": "weather", "DATABASE_PASSWORD": PASSWORDS["weather"]}
        ports = {name: stack.enter_context(code_server(name, environment)) for name in TEAMS}
        home.write_workspace(ports)
        previous = {name: os.environ.get(name) for name in server.environment}
        os.environ.update(server.environment)
        try:
            instance = stack.enter_context(dg.DagsterInstance.from_config(str(path)))
            context = stack.enter_context(FollowingContext(instance, FollowedWorkspace(home.workspace)))
            queue = stack.enter_context(QueuedRunCoordinatorDaemon(interval_seconds=1))
            yield Plane(home, instance, context, queue)
        finally:
            for name, value in previous.items():
                os.environ.pop(name) if value is None else os.environ.update({name: value})
            close_pools()


def logger() -> logging.Logger:
    """Return a logger for parts of the daemon."""
    return logging.getLogger("daemon")
