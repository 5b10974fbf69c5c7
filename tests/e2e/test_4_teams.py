"""A team comes and goes while the others work, and notices nothing but the room that it takes."""

import json
import time
from functools import partial
from typing import Any

from .cluster import CONTROL_PLANE, graphql, kubectl, objects, wait_for
from .platform import ENDED, launch, locations, pods, psql, run_messages, run_status, ticks
from .team import NAME, SCHEDULE, TEAM, Newcomer

TERMINATE = """
mutation ($run: String!) { terminateRun(runId: $run) { __typename
  ... on TerminateRunFailure { message } ... on PythonError { message } } }
"""
RUNS = """
query ($filter: RunsFilter) { runsOrError(filter: $filter, limit: 100) { ... on Runs { results {
  runId status tags { key value } } } } }
"""


def test_a_new_team_restarts_nothing_of_the_others(newcomer: Newcomer) -> None:
    assert newcomer.others_after == newcomer.others_before
    assert locations()[NAME] == "LOADED"
    assert psql("ledger", f"select count(*) as tables from pg_tables where schemaname = '{TEAM}'")[0]["tables"] > 0


def test_the_daemon_knows_the_new_location_by_itself(newcomer: Newcomer) -> None:
    wait_for("a tick of the new schedule", lambda: ticks(NAME, SCHEDULE), seconds=180)


def test_more_runs_than_the_team_may_have_wait_and_none_fails(newcomer: Newcomer) -> None:
    """Three may run at once by the register, but the namespace's quota has room for fewer of this size."""
    sized = {"tenancy/resources": '{"cpu": "400m", "memory": "256Mi"}'}
    config = {"ops": {"rest": {"config": {"seconds": 5}}}}
    runs = [launch(NAME, job="sleep", config=config, tags=sized) for _ in range(5)]
    most = 0

    def all_ended() -> bool:
        nonlocal most
        pods = objects("pods", TEAM, "app.kubernetes.io/component=run_worker")
        most = max(most, sum(pod["status"]["phase"] in {"Pending", "Running"} for pod in pods))
        return all(run_status(run) in ENDED for run in runs)

    wait_for("all runs to end", all_ended, seconds=420, every=2)
    assert [run_status(run) for run in runs] == ["SUCCESS"] * 5
    assert 1 <= most <= 2
    waited = [message for run in runs for message in run_messages(run) if "quota" in message]
    assert waited, "no run says that it waits for the team's quota"


def test_a_run_may_not_ask_for_more_than_the_platform_allows(newcomer: Newcomer) -> None:
    run = launch(NAME, job="sleep", tags={"tenancy/resources": '{"cpu": "64"}'})
    wait_for("the run to end", lambda: run_status(run) in ENDED, seconds=120)
    assert run_status(run) == "FAILURE"
    assert any("asks for cpu 64; a run of team probe may have" in message for message in run_messages(run))


def test_a_run_that_eats_too_much_memory_says_so_and_is_retried_as_configured(newcomer: Newcomer) -> None:
    config = {"ops": {"devour": {"config": {"mebibytes": 400}}}}
    sized = {"tenancy/resources": '{"cpu": "100m", "memory": "256Mi"}', "dagster/max_retries": "1"}
    run = launch(NAME, job="eat", config=config, tags=sized)
    wait_for("the run to fail", lambda: run_status(run) == "FAILURE", seconds=180)
    assert any("OOMKilled" in message for message in run_messages(run)), run_messages(run)

    def retries() -> list[dict[str, Any]]:
        found = graphql(RUNS, filter={"tags": [{"key": "dagster/parent_run_id", "value": run}]})
        return [each for each in found["runsOrError"]["results"] if each["status"] in ENDED]

    wait_for("the retry to end", retries, seconds=180)
    assert [each["status"] for each in retries()] == ["FAILURE"]


def test_a_run_is_ended_from_the_ui_and_its_pod_with_it(newcomer: Newcomer) -> None:
    run = launch(NAME, job="sleep", config={"ops": {"rest": {"config": {"seconds": 600}}}})
    wait_for("the run to begin", lambda: run_status(run) == "STARTED", seconds=120)
    answer = graphql(TERMINATE, run=run)["terminateRun"]
    assert answer["__typename"] == "TerminateRunSuccess", answer
    wait_for("the run to end", lambda: run_status(run) == "CANCELED", seconds=90)
    wait_for("its pod to go", lambda: not pods(TEAM, f"dagster/run-id={run}"), seconds=90)


def test_a_malformed_workspace_is_refused_and_the_last_good_one_kept(newcomer: Newcomer) -> None:
    known = locations()
    good = json.loads(kubectl("get", "configmap/platform-workspace", "-n", CONTROL_PLANE, "-o", "json"))
    write(good, good["data"] | {"workspace.yaml": "load_from: ["})
    try:
        for who in ("webserver", "daemon"):
            wait_for(f"the {who} to say that it keeps the last good workspace", partial(refused, who), seconds=180)
        since = time.time()
        wait_for("the daemon to go on", lambda: ticks(NAME, SCHEDULE)[0]["timestamp"] > since, seconds=120)
        assert locations() == known
    finally:
        write(good, good["data"])


def write(configmap: dict[str, Any], data: dict[str, str]) -> None:
    """Write a ConfigMap's data in Helm's name, or the next upgrade would see it as somebody else's."""
    kept = ("name", "namespace", "labels", "annotations")
    metadata = {key: value for key, value in configmap["metadata"].items() if key in kept}
    new = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}
    in_helms_name = ("--server-side", "--field-manager=helm", "--force-conflicts")
    kubectl("apply", *in_helms_name, "-f", "-", stdin=json.dumps(new))


def refused(who: str) -> bool:
    """Say whether a part of the control plane has refused the workspace."""
    return "workspace.yaml cannot be used" in kubectl("logs", "-n", CONTROL_PLANE, f"deploy/platform-{who}")
