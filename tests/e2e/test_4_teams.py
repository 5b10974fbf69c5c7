"""A team comes and goes while the others work, and notices nothing but the room that it takes."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from .cluster import CONTROL_PLANE, CommandFailedError, graphql, helm, kubectl, objects, wait_for
from .platform import Release, launch, locations, psql, run_messages, run_status
from .team import LOCATION, NAME, TEAM, installed

ENDED = {"SUCCESS", "FAILURE", "CANCELED"}
RUNS = """
query ($filter: RunsFilter) { runsOrError(filter: $filter, limit: 100) { ... on Runs { results {
  runId status tags { key value } } } } }
"""
TICKS = """
query ($selector: InstigationSelector!) { instigationStateOrError(instigationSelector: $selector) {
  ... on InstigationState { ticks(limit: 60) { timestamp status } } } }
"""


def fingerprints(release: Release) -> dict[str, Any]:
    """Return what may not change for the teams that stay: their objects, and the pods of all."""
    pods = {
        pod["metadata"]["uid"]: [status["restartCount"] for status in pod["status"]["containerStatuses"]]
        for namespace in (CONTROL_PLANE, *release.register.teams)
        for pod in objects("pods", namespace, "app.kubernetes.io/component in (webserver,daemon,database,code-server)")
    }
    kinds = "deployments,services,networkpolicies,resourcequotas,limitranges,roles,rolebindings,secrets,serviceaccounts"
    specs = {
        f"{namespace}/{found['kind']}/{found['metadata']['name']}": {
            part: found.get(part) for part in ("spec", "data", "rules", "roleRef", "subjects")
        }
        | {"labels": found["metadata"].get("labels")}
        for namespace in release.register.teams
        for found in objects(kinds, namespace)
        if not found["metadata"]["name"].startswith("sh.helm.release")
    }
    return {"pods": pods, "specs": specs}


@pytest.fixture(scope="module")
def grown(release: Release) -> Iterator[Release]:
    """Return the release with the tests' own team, which came while the others worked, and goes in the end."""
    before = fingerprints(release)
    with installed(release) as grown:
        assert fingerprints(release) == before
        yield grown


def test_a_new_team_restarts_nothing_of_the_others(grown: Release) -> None:
    assert locations()[NAME] == "LOADED"
    assert psql("ledger", f"select count(*) as tables from pg_tables where schemaname = '{TEAM}'")[0]["tables"] > 0


def test_the_daemon_knows_the_new_location_by_itself(grown: Release) -> None:
    wait_for("a tick of the new schedule", ticks, seconds=180)


def ticks() -> list[dict[str, Any]]:
    """Return the ticks of the new team's schedule, newest first."""
    selector = {"repositoryLocationName": NAME, "repositoryName": "__repository__", "name": "every_minute"}
    return graphql(TICKS, selector=selector)["instigationStateOrError"].get("ticks", [])


def test_more_runs_than_the_team_may_have_wait_and_none_fails(grown: Release) -> None:
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


def test_a_run_may_not_ask_for_more_than_the_platform_allows(grown: Release) -> None:
    run = launch(NAME, job="sleep", tags={"tenancy/resources": '{"cpu": "64"}'})
    wait_for("the run to end", lambda: run_status(run) in ENDED, seconds=120)
    assert run_status(run) == "FAILURE"
    assert any("asks for cpu 64; a run of team probe may have" in message for message in run_messages(run))


def test_a_run_that_eats_too_much_memory_says_so_and_is_retried_as_configured(grown: Release) -> None:
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


def test_a_malformed_workspace_is_refused_and_the_last_good_one_kept(grown: Release) -> None:
    known = locations()
    name = ("configmap/platform-workspace", "-n", CONTROL_PLANE)
    good = kubectl("get", *name, "-o", "jsonpath={.data.workspace\\.yaml}")
    kubectl("patch", *name, "--type=merge", "-p", json.dumps({"data": {"workspace.yaml": "load_from: ["}}))
    try:
        wait_for("the webserver to say that it keeps the last good workspace", refused, seconds=180)
        assert locations() == known
    finally:
        kubectl("patch", *name, "--type=merge", "-p", json.dumps({"data": {"workspace.yaml": good}}))


def refused() -> bool:
    """Say whether the webserver has refused the workspace."""
    return "workspace.yaml cannot be used" in kubectl("logs", "-n", CONTROL_PLANE, "deploy/platform-webserver")


def test_a_team_that_goes_leaves_nothing_but_its_data(release: Release, grown: Release) -> None:
    before = fingerprints(release)
    helm("uninstall", NAME, "-n", TEAM, "--wait")
    release.upgrade()
    assert fingerprints(release) == before
    wait_for("the location to go by itself", lambda: NAME not in locations(), seconds=180)
    with pytest.raises(CommandFailedError, match="not found"):
        kubectl("get", "namespace", TEAM)
    assert psql("dagster", f"select rolcanlogin from pg_roles where rolname = '{TEAM}'") == [{"rolcanlogin": False}]
    assert psql("ledger", f"select count(*) as tables from pg_tables where schemaname = '{TEAM}'")[0]["tables"] > 0
    grown.upgrade()
    bring_back(grown)


def bring_back(grown: Release) -> None:
    """Install the team again, for the tests that follow."""
    grown.upgrade_location(LOCATION)
