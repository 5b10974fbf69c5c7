"""The platform on the cluster: installed as docs/how-to/install-on-a-laptop.md says, with S3 and Postgres beside it."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml
from tenancy import register
from tenancy.register import Location, Register

from .claim import MARK
from .cluster import CONTROL_PLANE, ROOT, apply, graphql, helm, kubectl, objects

HERE = Path(__file__).parent
LAPTOP = ROOT / "environments/dev/laptop"
TIMEOUT = "3m"
LOCATIONS_LOADED_SECONDS = 180
OBJECT_STORE = "object-store"
STORE_USER, STORE_PASSWORD = "tests", "tests-only-in-this-cluster"


@dataclass(frozen=True)
class Release:
    """What is deployed: the register, images, and the value files in the order in which they are laid over each other.

    Args:
        images: content of `images.yaml`, as `make images` writes it.
        extra: values over all files.
    """

    images: Mapping[str, Any]
    tenants: Path = ROOT / "tenants.yaml"
    extra: Mapping[str, Any] | None = None

    @property
    def register(self) -> Register:
        """Return the teams and locations."""
        return register.load(self.tenants)

    def files(self) -> Sequence[Path]:
        """Return the value files."""
        return [self.tenants, LAPTOP.parent / "values.yaml", LAPTOP / "values.yaml", HERE / "values.yaml"]

    def upgrade(self) -> str:
        """Install or upgrade the control plane and the teams' namespaces."""
        options = ["--create-namespace", "--namespace", CONTROL_PLANE]
        return self._helm("platform", "helm/platform", *options, "--timeout", TIMEOUT)

    def upgrade_location(self, location: Location, *, timeout: str = TIMEOUT) -> str:
        """Install or upgrade a location."""
        name = location.dagster_name
        options = ["--namespace", location.team, "--set", f"location={name}"]
        return self._helm(name, "helm/code-location", *options, "--timeout", timeout)

    def _helm(self, name: str, chart: str, *options: str) -> str:
        images = {"platform": self.images["platform"], "locations": self.images["locations"]}
        over: dict[str, Any] = {"images": images}
        if "postgres" in self.images:
            over["database"] = {"embedded": {"image": self.images["postgres"]}}
        with TemporaryDirectory() as directory:
            files = [*self.files(), Path(directory, "images.yaml"), Path(directory, "extra.yaml")]
            files[-2].write_text(yaml.safe_dump(over))
            files[-1].write_text(yaml.safe_dump(dict(self.extra or {})))
            values = [part for path in files for part in ("-f", str(path))]
            waiting = ("--rollback-on-failure", "--wait", "--wait-for-jobs")
            return helm("upgrade", "--install", name, chart, *values, *waiting, *options)


def start_object_store(stand_in: str | None = None) -> None:
    """Start an S3 server in the cluster, of its own image or of one that stands in, and wait until it serves."""
    namespace, *others = yaml.safe_load_all((LAPTOP / "object-store.yaml").read_text())
    namespace["metadata"]["labels"] |= MARK
    if stand_in:
        (server,) = (each for each in others if each["kind"] == "StatefulSet")
        server["spec"]["template"]["spec"]["containers"][0]["image"] = stand_in
    apply(namespace, secret(OBJECT_STORE, OBJECT_STORE), *others)
    kubectl("rollout", "status", f"statefulset/{OBJECT_STORE}", "-n", OBJECT_STORE, "--timeout=180s")


def secret(name: str, namespace: str, **data: str) -> dict[str, Any]:
    """Return a Secret; that of the object store when nothing is given."""
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": namespace},
        "stringData": data or {"user": STORE_USER, "password": STORE_PASSWORD},
    }


def create_namespace(name: str, **labels: str) -> None:
    """Make a namespace of the tests."""
    apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels | MARK}})


def bring_secrets(*namespaces: str) -> None:
    """Make the Secrets that the environment's values name, as a team does in its namespace."""
    apply(*(secret("object-store", namespace) for namespace in namespaces))
    if "fleet" in namespaces:
        apply(secret("fleet-database", "fleet", url="postgresql://nobody@localhost/none"))


LOCATIONS = """
query { workspaceOrError { __typename ... on Workspace { locationEntries {
  name loadStatus locationOrLoadError { __typename ... on PythonError { message } } } } } }
"""


def locations() -> dict[str, str]:
    """Return what each location is: its state, or its error."""
    entries = graphql(LOCATIONS)["workspaceOrError"]["locationEntries"]
    return {entry["name"]: _state(entry) for entry in entries}


def _state(entry: Mapping[str, Any]) -> str:
    loaded = entry["locationOrLoadError"] or {}
    return entry["loadStatus"] if loaded.get("__typename") != "PythonError" else loaded["message"]


def pods(namespace: str, selector: str = "") -> dict[str, str]:
    """Return the uid of each pod by its name."""
    return {pod["metadata"]["name"]: pod["metadata"]["uid"] for pod in objects("pods", namespace, selector)}


TICKS = """
query ($selector: InstigationSelector!) { instigationStateOrError(instigationSelector: $selector) {
  ... on InstigationState { ticks(limit: 300) { timestamp status } } } }
"""


def ticks(location: str, name: str) -> list[dict[str, Any]]:
    """Return the latest ticks of a schedule or sensor, newest first."""
    selector = {"repositoryLocationName": location, "repositoryName": "__repository__", "name": name}
    return graphql(TICKS, selector=selector)["instigationStateOrError"].get("ticks", [])


def psql(database: str, statement: str) -> list[dict[str, Any]]:
    """Ask the embedded database as its administrator, and return the rows by column."""
    command = ["psql", "-U", "postgres", "-d", database, "-XAtq", "-c"]
    text = kubectl(
        *("exec", "-n", CONTROL_PLANE, "platform-database-0", "--", *command),
        f"select coalesce(json_agg(r), '[]') from ({statement}) r",
    )
    return json.loads(text)


LAUNCH = """
mutation ($params: ExecutionParams!) { launchRun(executionParams: $params) { __typename
  ... on LaunchRunSuccess { run { runId } } ... on PythonError { message }
  ... on RunConfigValidationInvalid { errors { message } } ... on PipelineNotFoundError { message } } }
"""


def launch(
    location: str,
    *,
    job: str = "__ASSET_JOB",
    assets: Sequence[Sequence[str]] = (),
    config: Mapping[str, Any] | None = None,
    tags: Mapping[str, str] | None = None,
) -> str:
    """Launch a run as the UI does, and return its id."""
    selector = {
        "repositoryLocationName": location,
        "repositoryName": "__repository__",
        "jobName": job,
        "assetSelection": [{"path": list(path)} for path in assets],
        "assetCheckSelection": [] if assets else None,
    }
    params = {
        "selector": {key: value for key, value in selector.items() if assets or not key.startswith("asset")},
        "runConfigData": config or {},
        "mode": "default",
        "executionMetadata": {"tags": [{"key": key, "value": value} for key, value in (tags or {}).items()]},
    }
    answer = graphql(LAUNCH, params=params)["launchRun"]
    assert answer["__typename"] == "LaunchRunSuccess", answer
    return answer["run"]["runId"]


RUN = """
query ($id: ID!) { runOrError(runId: $id) { ... on Run { status startTime endTime tags { key value }
  eventConnection(limit: 1000) { events { __typename ... on MessageEvent { message } } } } } }
"""


ENDED = {"SUCCESS", "FAILURE", "CANCELED"}


def run_status(run: str) -> str:
    """Return where a run is."""
    return graphql(RUN, id=run)["runOrError"]["status"]


def run_messages(run: str) -> list[str]:
    """Return the messages of a run's event log."""
    return [event.get("message", "") for event in graphql(RUN, id=run)["runOrError"]["eventConnection"]["events"]]


def run_tags(run: str) -> dict[str, str]:
    """Return a run's tags."""
    return {tag["key"]: tag["value"] for tag in graphql(RUN, id=run)["runOrError"]["tags"]}
