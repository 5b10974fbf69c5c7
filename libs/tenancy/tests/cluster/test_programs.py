"""Webserver, daemon and check as the pods run them: processes, with real code servers, and a run from end to end."""

import json
import os
import signal
import subprocess
import time
import urllib.request
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tenancy.cluster import check
from tenancy.cluster.errors import ControlPlaneError
from tenancy.local.ports import any_free

from . import plane as planes
from . import programs
from .plane import LATE, WEATHER, Plane
from .test_health import ask
from .test_workspace import ADDED, ports

PREFIX = "/dagster"


@dataclass
class Program:
    """A process of the control plane, and what it prints."""

    process: subprocess.Popen[bytes]
    port: int
    log: Path

    def lines(self) -> list[str]:
        return self.log.read_text().splitlines()


@contextmanager
def started(plane: Plane, log: Path, *arguments: object, port_option: str) -> Generator[Program]:
    """Start a program that listens."""
    port = any_free(0)
    command = programs.command(*arguments, "--workspace", plane.home.workspace, port_option, port)
    with log.open("wb") as output:
        process = subprocess.Popen(command, env=plane.home.environment, stdout=output, stderr=output)
    try:
        yield Program(process, port, log)
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def webserver(plane: Plane, tmp_path: Path) -> Iterator[Program]:
    arguments = ("webserver", "--path-prefix", PREFIX)
    with started(plane, tmp_path / "webserver.log", *arguments, port_option="--port") as program:
        planes.until(lambda: serves(program))
        yield program


def daemon(plane: Plane, log: Path, *more: object) -> Any:
    return started(plane, log, "daemon", *more, port_option="--health-port")


def url(program: Program) -> str:
    return f"http://127.0.0.1:{program.port}{PREFIX}"


def serves(program: Program) -> bool:
    assert program.process.poll() is None, program.log.read_text()
    try:
        with urllib.request.urlopen(f"{url(program)}/server_info", timeout=5) as response:
            return response.status == 200
    except OSError:
        return False


def is_ready(program: Program) -> bool:
    assert program.process.poll() is None, program.log.read_text()
    try:
        return ask(program.port, "/readyz")[0] == 200
    except OSError:
        return False


def graphql(program: Program, query: str, **variables: Any) -> Any:
    request = urllib.request.Request(
        f"{url(program)}/graphql",
        data=json.dumps({"query": query, "variables": variables}).encode(),
        headers={"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=30) as response:
        answer = json.load(response)
    assert "errors" not in answer, answer
    return answer["data"]


def loaded(program: Program) -> Mapping[str, float]:
    """Return when each location was loaded."""
    answer = graphql(program, "{workspaceOrError {... on Workspace {locationEntries {name updatedTimestamp}}}}")
    return {entry["name"]: entry["updatedTimestamp"] for entry in answer["workspaceOrError"]["locationEntries"]}


def test_the_webserver_follows_the_workspace_and_leaves_the_others_alone(plane: Plane, webserver: Program) -> None:
    before = loaded(webserver)
    assert set(before) == {WEATHER, LATE}
    text = plane.home.workspace.read_text()
    try:
        with planes.code_server(ADDED, plane.home.environment) as port:
            plane.home.write_workspace({**ports(plane.home.workspace), ADDED: port})
            began = time.monotonic()
            planes.until(lambda: ADDED in loaded(webserver))
            assert time.monotonic() - began < 15
            after = loaded(webserver)
            assert {name: after[name] for name in before} == before
            planes.replace(plane.home.workspace, "load_from: [")
            time.sleep(3)
            assert loaded(webserver) == after
            planes.replace(plane.home.workspace, text)
            planes.until(lambda: loaded(webserver) == before)
    finally:
        planes.replace(plane.home.workspace, text)
    told = [line for line in webserver.lines() if "cannot be used" in line]
    assert len(told) == 1, told
    assert not [line for line in webserver.lines() if not line[:4].isdigit()], "a record is a line"


def test_the_webserver_ends_when_it_is_asked_to(webserver: Program) -> None:
    webserver.process.send_signal(signal.SIGTERM)
    assert webserver.process.wait(15) in (0, -signal.SIGTERM)
    assert not [line for line in webserver.lines() if "Traceback" in line]


LAUNCH = """
mutation Launch($location: String!) {
  launchRun(executionParams: {mode: "default", selector: {
    repositoryLocationName: $location, repositoryName: "__repository__", jobName: "hello"}}) {
    __typename
    ... on LaunchRunSuccess { run { runId } }
    ... on PythonError { message }
  }
}
"""


END = "mutation End($id: String!) {terminateRun(runId: $id) {__typename ... on PythonError {message}}}"


def test_a_run_from_the_ui_becomes_a_job_and_check_says_that_all_is_well(
    plane: Plane, webserver: Program, tmp_path: Path
) -> None:
    arguments = ("check", "--workspace", plane.home.workspace, "--webserver", url(webserver))
    without = programs.run(*arguments, "--seconds", 0, environment=plane.home.environment)
    assert without.returncode == 1
    ill = without.stderr.strip().splitlines()
    assert "daemon SENSOR: has given no sign of life lately" in ill
    assert all(line.startswith("daemon ") for line in ill)
    with daemon(plane, tmp_path / "daemon.log") as program:
        planes.until(lambda: is_ready(program))
        result = programs.run(*arguments, "--seconds", 60, environment=plane.home.environment)
        assert (result.returncode, result.stdout) == (0, "all 2 locations are loaded, and all daemons are healthy\n")
        launched = graphql(webserver, LAUNCH, location=LATE)["launchRun"]
        assert launched["__typename"] == "LaunchRunSuccess", launched
        run_id = launched["run"]["runId"]
        planes.until(lambda: plane.api.jobs)
        assert plane.api.job_of(run_id)["spec"]["template"]["spec"]["serviceAccountName"] == "run"
        assert ("night-shift", f"dagster-run-{run_id}") in plane.api.jobs
        plane.begin(run_id)
        ended = graphql(webserver, END, id=run_id)
        assert ended["terminateRun"]["__typename"] == "TerminateRunSuccess", ended
        assert plane.api.jobs == {}
    assert not [line for line in program.lines() if not line[:4].isdigit()], "a record is a line"


def test_the_webserver_needs_the_right_to_delete_jobs_and_no_other(plane: Plane, webserver: Program) -> None:
    """The Role end-runs, through all that the UI asks of a run that is at work."""
    launched = graphql(webserver, LAUNCH, location=LATE)["launchRun"]["run"]["runId"]
    ended, forced = plane.submit(), plane.submit()
    plane.dequeue()
    for run_id in (launched, ended, forced):
        plane.begin(run_id)
    plane.api.asked.clear()
    log = 'query Log($id: ID!) {logsForRun(runId: $id) {__typename} capturedLogs(logKey: ["x"]) {stdout}}'
    assert graphql(webserver, log, id=launched)["logsForRun"]["__typename"] == "EventConnection"
    graphql(webserver, "{instance {runLauncher {name} daemonHealth {id}}}")
    assert plane.api.asked == set()
    assert graphql(webserver, END, id=ended)["terminateRun"]["__typename"] == "TerminateRunSuccess"
    force = END.replace("runId: $id", "runId: $id, terminatePolicy: MARK_AS_CANCELED_IMMEDIATELY")
    assert graphql(webserver, force, id=forced)["terminateRun"]["__typename"] == "TerminateRunSuccess"
    deleted = graphql(
        webserver, "mutation Delete($id: String!) {deletePipelineRun(runId: $id) {__typename}}", id=forced
    )
    assert deleted["deletePipelineRun"]["__typename"] == "DeletePipelineRunSuccess"
    assert plane.api.asked == {"jobs delete"}
    assert [name for _, name in plane.api.jobs] == [f"dagster-run-{launched}"]


def test_the_second_daemon_is_alive_and_takes_over_when_the_first_is_killed(plane: Plane, tmp_path: Path) -> None:
    with daemon(plane, tmp_path / "first.log") as first:
        planes.until(lambda: is_ready(first))
        with daemon(plane, tmp_path / "second.log") as second:
            planes.until(lambda: "waiting until it ends" in second.log.read_text())
            assert ask(second.port, "/healthz") == (200, "waits for its turn")
            assert ask(second.port, "/readyz")[0] == 503
            first.process.kill()
            planes.until(lambda: is_ready(second))
            second.process.send_signal(signal.SIGTERM)
            assert second.process.wait(45) == 0
            assert second.lines()[-1].endswith("the daemon has ended")
            assert not [line for line in second.lines() if "Traceback" in line]


def test_a_daemon_that_waits_for_its_turn_ends_when_it_is_asked_to(plane: Plane, tmp_path: Path) -> None:
    with daemon(plane, tmp_path / "first.log") as first, daemon(plane, tmp_path / "second.log") as second:
        planes.until(lambda: "waiting until it ends" in first.log.read_text() + second.log.read_text())
        waiting = first if "waiting until it ends" in first.log.read_text() else second
        waiting.process.send_signal(signal.SIGTERM)
        assert waiting.process.wait(10) == 0


def test_a_daemon_that_does_not_end_by_itself_is_cut_off(plane: Plane, tmp_path: Path) -> None:
    with daemon(plane, tmp_path / "daemon.log", "--grace-seconds", "0.2") as program:
        planes.until(lambda: is_ready(program))
        program.process.send_signal(signal.SIGTERM)
        assert program.process.wait(10) == 0


# What an operator may get wrong.


@pytest.mark.parametrize("command", ["webserver", "daemon"])
def test_missing_variables_are_named(plane: Plane, command: str) -> None:
    message = programs.refused(
        command, "--workspace", plane.home.workspace, environment=programs.environment(None, DATABASE_HOST="x")
    )
    assert message.startswith("missing environment variables: DAGSTER_HOME (the directory with dagster.yaml); ")
    assert "DATABASE_PASSWORD" in message


@pytest.mark.parametrize("command", ["webserver", "daemon"])
def test_a_workspace_that_is_not_there_is_named(plane: Plane, tmp_path: Path, command: str) -> None:
    message = programs.refused(command, "--workspace", tmp_path / "none.yaml", environment=plane.home.environment)
    assert message == f"{tmp_path / 'none.yaml'} cannot be used: No such file or directory"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("class: TeamRunLauncher", "class: NoLauncher", "the instance cannot be opened, check dagster.yaml"),
        ("fail_pod_on_run_failure", "fail_pod", "the instance cannot be opened, check dagster.yaml"),
        ("dagster_home: ", "job_namespace: ", "job_namespace"),
        ("telemetry:", "telemetri:", "telemetri"),
        ("max_resume_run_attempts: 0", "max_resume_run_attempts: 3", "Set max_resume_run_attempts to 0"),
        ("workspace/places.yaml", "workspace/nowhere.yaml", "nowhere.yaml cannot be used: No such file or directory"),
        ("load_incluster_config: false", "load_incluster_config: true", "kubeconfig_file"),
    ],
)
def test_a_dagster_yaml_that_cannot_be_used_is_told(
    plane: Plane, tmp_path: Path, old: str, new: str, message: str
) -> None:
    text = (plane.home.path / "dagster.yaml").read_text()
    assert old in text
    (tmp_path / "dagster.yaml").write_text(text.replace(old, new))
    environment = plane.home.environment | {"DAGSTER_HOME": str(tmp_path)}
    said = programs.refused("webserver", "--workspace", plane.home.workspace, environment=environment)
    assert message in said


def test_a_launcher_without_a_token_says_what_its_pod_needs(plane: Plane, tmp_path: Path) -> None:
    text = (plane.home.path / "dagster.yaml").read_text()
    lines = [line for line in text.splitlines() if "kubeconfig_file" not in line and "load_incluster" not in line]
    (tmp_path / "dagster.yaml").write_text("\n".join(lines))
    environment = plane.home.environment | {"DAGSTER_HOME": str(tmp_path)}
    environment.pop("KUBERNETES_SERVICE_HOST", None)
    said = programs.refused("webserver", "--workspace", plane.home.workspace, environment=environment)
    assert "automountServiceAccountToken: true" in said


def test_a_module_that_is_not_there_is_named(plane: Plane) -> None:
    said = programs.refused(
        "webserver", "--workspace", plane.home.workspace, "--module", "no.such", environment=plane.home.environment
    )
    assert said == "--module no.such: No module named 'no'"


def test_check_names_a_webserver_that_does_not_answer(plane: Plane) -> None:
    nobody = f"http://127.0.0.1:{any_free(0)}/dagster"
    said = programs.refused(
        "check", "--workspace", plane.home.workspace, "--webserver", nobody, "--seconds", "0", environment=os.environ
    )
    assert said.startswith(f"webserver {nobody}/graphql: does not answer as a webserver of Dagster: ")


def answer(*entries: dict[str, Any], daemons: Any = ()) -> dict[str, Any]:
    return {
        "workspaceOrError": {"__typename": "Workspace", "locationEntries": list(entries)},
        "instance": {"daemonHealth": {"allDaemonStatuses": list(daemons)}},
    }


def entry(name: str, status: str = "LOADED", **loaded_or_error: Any) -> dict[str, Any]:
    found = {"__typename": "RepositoryLocation", **loaded_or_error}
    return {"name": name, "loadStatus": status, "locationOrLoadError": found}


def test_check_has_a_line_for_each_thing_that_is_not_as_it_should_be() -> None:
    failed = entry("b", __typename="PythonError", message="ImportError: no module\n  named x\n")
    silent = {"daemonType": "SENSOR", "required": True, "healthy": False, "lastHeartbeatErrors": []}
    erring = {**silent, "daemonType": "BACKFILL", "lastHeartbeatErrors": [{"message": "no\nroute"}]}
    not_needed = {**silent, "daemonType": "ASSET", "required": False, "healthy": None}
    given = answer(entry("a"), failed, entry("c", "LOADING"), daemons=[silent, erring, not_needed])
    assert check.problems(["a", "b", "c", "d"], given) == [
        "location b: ImportError: no module named x",
        "location c: is LOADING",
        "location d: is not in the webserver's workspace",
        "daemon SENSOR: has given no sign of life lately",
        "daemon BACKFILL: no route",
    ]


def test_check_passes_on_what_the_workspace_itself_says() -> None:
    given = {"workspaceOrError": {"__typename": "PythonError", "message": "no\nworkspace"}}
    assert check.problems(["a"], given) == ["workspace: no workspace"]


def test_check_of_a_file_that_is_no_workspace(tmp_path: Path) -> None:
    (tmp_path / "workspace.yaml").write_text("load_from: [python_module]")
    with pytest.raises(ControlPlaneError, match="is no workspace of code servers"):
        check.locations(tmp_path / "workspace.yaml")
