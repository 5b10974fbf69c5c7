"""A file goes in and an asset comes out; then a thousand, while everything is killed that can be."""

import json
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

import pytest

from .cluster import CONTROL_PLANE, Object, graphql, kubectl, objects, wait_for
from .flights import Flights
from .platform import ENDED, Release, psql, run_status

FILES = 1_000
BATCH_TAG = "sensor_assets/batch"
RUNS = """
query { runsOrError(limit: 1000) { ... on Runs { results { id status tags { key value } } } } }
"""
CODE_SERVER = "app.kubernetes.io/component=code-server,tenancy/location=operations-departures"
DAEMON = "app.kubernetes.io/component=daemon"
RUN = "app.kubernetes.io/component=run_worker"


@pytest.fixture(scope="module")
def flights(release: Release, s3: Any) -> Flights:
    """Return the files; the first is there and processed."""
    flights = Flights.of(-(-FILES // 3))
    flights.put(s3, flights.files[:1])
    wait_for("the file to be processed", lambda: settled(1), seconds=120)
    return flights


def status() -> dict[str, Any]:
    rows = psql("ledger", "select * from operations.source_status where source = 'flight_files'")
    return rows[0] if rows else {"seen": 0}


def settled(files: int) -> bool:
    now = status()
    return now["seen"] == files == now["done"] and now["healthy"]


def test_a_file_becomes_an_asset_in_a_pod_of_its_team(release: Release, flights: Flights, s3: Any) -> None:
    (pod,) = objects("pods", "operations", RUN)
    assert pod["metadata"]["labels"]["tenancy/team"] == "operations"
    assert pod["metadata"]["labels"]["tenancy/location"] == "operations-departures"
    assert pod["spec"]["serviceAccountName"] == "run"
    assert not any("serviceAccountToken" in str(volume) for volume in pod["spec"]["volumes"])
    keys = [entry["Key"] for entry in s3.list_objects_v2(Bucket="lake")["Contents"]]
    assert keys == ["operations/departures/2013-01-01.parquet"]
    logs = wait_for("the run's logs", lambda: s3.list_objects_v2(Bucket="logs").get("Contents", []), seconds=60)
    assert {entry["Key"].partition("/")[0] for entry in logs} == {"compute-logs"}
    assert {"out", "err"} <= {entry["Key"].rpartition(".")[2] for entry in logs}


def test_a_thousand_files_and_everything_killed_meanwhile(release: Release, flights: Flights, s3: Any) -> None:
    there, killed = 1, list[str]()

    def put(number: int) -> None:
        nonlocal there
        flights.put(s3, flights.files[there : there + number])
        there += number

    def happens(what: str, fault: Callable[[], object]) -> None:
        """Let something happen while a run works, and wait until more is done than before."""
        wait_for("a run to work", lambda: running("operations", RUN), seconds=90, every=0.2)
        done = status()["done"]
        print(f"{what}: {done} of {there} files are done")
        assert done < there
        fault()
        wait_for("the work to go on", lambda: status()["done"] > done, seconds=180)

    def no_node_takes_a_pod() -> None:
        with cordoned():
            put(100)
            wait_for("a run's pod to wait for a node", lambda: in_phase("Pending", "operations", RUN), seconds=120)

    put(400)  # many, as the run has to last until it is killed
    happens("run killed", lambda: killed.append(kill_a_run()))
    put(100)
    happens("code server killed", lambda: delete(running("operations", CODE_SERVER)[0]))
    put(100)
    happens("daemon killed", lambda: delete(running(CONTROL_PLANE, DAEMON)[0]))
    put(100)
    happens("database restarted", restart_the_database)
    put(100)
    happens("nodes cordoned", no_node_takes_a_pod)
    put(len(flights.files) - there)

    wait_for("everything to be processed", lambda: settled(len(flights.files)), seconds=600, every=3)
    found = flights.difference(s3)
    runs = graphql(RUNS)["runsOrError"]["results"]
    failed = [run["id"] for run in runs if run["status"] == "FAILURE"]
    print(f"files={len(flights.files)} runs={len(runs)} failed={len(failed)} lost={found.lost} doubled={found.doubled}")
    assert (found.lost, found.doubled) == (0, 0), found
    assert status()["quarantined"] == 0
    assert set(killed) <= set(failed)
    (batch,) = {batch_of(run) for run in runs if run["id"] in killed}
    assert "SUCCESS" in {run["status"] for run in runs if batch_of(run) == batch}


def batch_of(run: Object) -> str | None:
    """Return the batch that a run was launched for."""
    return next((tag["value"] for tag in run["tags"] if tag["key"] == BATCH_TAG), None)


def in_phase(phase: str, namespace: str, selector: str) -> list[Object]:
    return [pod for pod in objects("pods", namespace, selector) if pod["status"]["phase"] == phase]


def running(namespace: str, selector: str) -> list[Object]:
    return in_phase("Running", namespace, selector)


def delete(pod: Object) -> None:
    """Kill a pod; by its name, as it is no error when nothing has the labels."""
    metadata = pod["metadata"]
    how = ("--force", "--grace-period=0", "--wait=false")
    kubectl("delete", "pod", metadata["name"], "-n", metadata["namespace"], *how)


def kill_a_run() -> str:
    """Kill a run in the midst of its work, wait until Dagster knows, and return its id."""

    def begun() -> dict[str, Object]:
        pods = {pod["metadata"]["labels"]["dagster/run-id"]: pod for pod in running("operations", RUN)}
        return {run: pod for run, pod in pods.items() if run_status(run) == "STARTED"}

    run, pod = wait_for("a run to begin", begun, seconds=90, every=0.2).popitem()
    delete(pod)
    wait_for("Dagster to know that the run is dead", lambda: run_status(run) in ENDED, seconds=90)
    return run if run_status(run) == "FAILURE" else kill_a_run()  # it was just about to succeed


def restart_the_database() -> None:
    """Delete the database's pod and wait for the next."""
    kubectl("delete", "pod", "platform-database-0", "-n", CONTROL_PLANE)
    kubectl("rollout", "status", "statefulset/platform-database", "-n", CONTROL_PLANE, "--timeout=120s")


@contextmanager
def cordoned() -> Generator[None]:
    """Let no pod come to any node meanwhile; a node that takes none already is left as it is."""
    nodes = json.loads(kubectl("get", "nodes", "-o", "json"))["items"]
    names = [node["metadata"]["name"] for node in nodes if not node["spec"].get("unschedulable")]
    try:
        kubectl("cordon", *names)
        yield
    finally:
        kubectl("uncordon", *names)
