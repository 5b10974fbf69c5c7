"""A webserver, a code server and a run, each a process of its own, over the lean storage."""

import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from .conftest import NewDatabase
from .instances import LEAN, execute, write_home
from .processes import AT_ONCE, LOCATION, code_server, process

SELECTOR = {"repositoryLocationName": LOCATION, "repositoryName": "__repository__"}
LAUNCH = """
mutation ($selector: JobOrPipelineSelector!) {
  launchRun(executionParams: {selector: $selector, mode: "default"}) {
    __typename
    ... on LaunchRunSuccess { run { runId } }
    ... on PythonError { message }
  }
}
"""
RUN = """
query ($runId: ID!) {
  runOrError(runId: $runId) { ... on Run { status stats { ... on RunStatsSnapshot { materializations } } } }
  logsForRun(runId: $runId) { ... on EventConnection { events { __typename ... on MessageEvent { message } } } }
  assetNodes { assetKey { path } assetMaterializations(limit: 1) { runId } }
}
"""
SWITCH = """
mutation ($selector: SensorSelector!) {
  startSensor(sensorSelector: $selector) { ... on Sensor { sensorState { status } } }
}
"""


@pytest.fixture
def web(
    new_database: NewDatabase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[httpx.Client, str]]:
    """Return a client of a webserver, and the URL of its database."""
    url, home = new_database(), tmp_path / "h"
    write_home(home, LEAN, url, run_coordinator=AT_ONCE)
    (home / "lines").touch()
    monkeypatch.setenv("LINES", str(home / "lines"))
    server = {"grpc_server": {"socket": str(home / "code.sock"), "location_name": LOCATION}}
    (home / "workspace.yaml").write_text(yaml.safe_dump({"load_from": [server]}))
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    arguments = ["--host", "127.0.0.1", "--port", str(port), "--workspace", str(home / "workspace.yaml")]
    with (
        code_server(home / "code.sock", home),
        process("dagster-webserver", arguments, home),
        httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as client,
    ):
        deadline = time.monotonic() + 60
        while True:
            try:
                client.get("/server_info")
                break
            except httpx.TransportError:
                assert time.monotonic() < deadline, (home / "dagster-webserver.log").read_text()
                time.sleep(0.2)
        yield client, url


def ask(client: httpx.Client, query: str, **variables: Any) -> dict[str, Any]:
    answer = client.post("/graphql", json={"query": query, "variables": variables}).raise_for_status().json()
    assert "errors" not in answer, answer["errors"]
    return answer["data"]


def test_a_run_that_is_launched_in_the_webserver_is_done_by_a_process_of_its_own(web: tuple[httpx.Client, str]) -> None:
    client, url = web
    assert ask(client, SWITCH, selector={**SELECTOR, "sensorName": "follow"}) == {
        "startSensor": {"sensorState": {"status": "RUNNING"}}
    }
    launched = ask(client, LAUNCH, selector={**SELECTOR, "jobName": "job"})["launchRun"]
    run_id = launched["run"]["runId"]
    deadline = time.monotonic() + 90
    while (answer := ask(client, RUN, runId=run_id))["runOrError"]["status"] != "SUCCESS":
        assert answer["runOrError"]["status"] not in ("FAILURE", "CANCELED"), answer
        assert time.monotonic() < deadline, answer
        time.sleep(0.5)
    assert answer["runOrError"]["stats"] == {"materializations": 1}
    assert answer["assetNodes"] == [{"assetKey": {"path": ["table"]}, "assetMaterializations": [{"runId": run_id}]}]
    messages = [event.get("message", "") for event in answer["logsForRun"]["events"]]
    assert any("made in process" in message for message in messages)
    # What is left are the webserver's connections, at most one for each of its storages, and none of the run's.
    clients = "select count(*) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()"
    assert execute(url, clients)[0][0] <= 3 + 2
