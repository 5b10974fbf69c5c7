"""A file goes in and an asset comes out; then a thousand, while everything is killed that can be."""

from typing import Any

import pytest

from .cluster import CONTROL_PLANE, graphql, kubectl, objects, wait_for
from .flights import Flights
from .platform import Release, psql

FILES = 1_000
STEP = 200
RUNS = """
query { runsOrError(limit: 1000) { ... on Runs { results { id status tags { key value } } } } }
"""


@pytest.fixture(scope="module")
def flights() -> Flights:
    return Flights.of(-(-FILES // 3))


def status() -> dict[str, Any]:
    rows = psql("ledger", "select * from operations.source_status where source = 'flight_files'")
    return rows[0] if rows else {"seen": 0}


def settled(files: int) -> bool:
    now = status()
    return now["seen"] == files == now["done"] and now["healthy"]


def test_a_file_becomes_an_asset_in_a_pod_of_its_team(release: Release, flights: Flights, s3: Any) -> None:
    flights.put(s3, flights.files[:1])
    wait_for("the file to be processed", lambda: settled(1), seconds=120)
    (pod,) = objects("pods", "operations", "app.kubernetes.io/component=run_worker")
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
    kill = ("delete", "pod", "--force", "--grace-period=0", "--wait=false")
    faults = (
        lambda: kubectl(*kill, "-n", "operations", "-l", "app.kubernetes.io/component=code-server"),
        lambda: kubectl(*kill, "-n", CONTROL_PLANE, "-l", "app.kubernetes.io/component=daemon"),
        lambda: kubectl("delete", "pod", "-n", CONTROL_PLANE, "platform-database-0"),
        lambda: kubectl(*kill, "-n", "operations", "-l", "app.kubernetes.io/component=run_worker"),
        lambda: kubectl("cordon", "--selector=kubernetes.io/os=linux"),
    )
    for number, fault in enumerate(faults):
        first = 1 + number * STEP
        flights.put(s3, flights.files[first : first + STEP])
        fault()
    wait_for("a run's pod to wait for a node", pending_pods, seconds=120)
    kubectl("uncordon", "--selector=kubernetes.io/os=linux")
    flights.put(s3, flights.files[1 + len(faults) * STEP :])

    wait_for("everything to be processed", lambda: settled(len(flights.files)), seconds=600, every=3)
    found = flights.difference(s3)
    assert (found.lost, found.doubled) == (0, 0), found
    assert status()["quarantined"] == 0
    runs = graphql(RUNS)["runsOrError"]["results"]
    print(f"files={len(flights.files)} runs={len(runs)} lost={found.lost} doubled={found.doubled}")


def pending_pods() -> bool:
    pods = objects("pods", "operations", "app.kubernetes.io/component=run_worker")
    return any(pod["status"]["phase"] == "Pending" for pod in pods)
