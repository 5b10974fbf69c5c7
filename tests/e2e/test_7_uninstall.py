"""What is left when all of it is removed: the embedded database's volume with its passwords, and nothing else."""

from dataclasses import replace

import pytest

from .claim import namespaces
from .cluster import CONTROL_PLANE, helm, kubectl, objects, wait_for
from .platform import Release, locations, psql
from .team import NAME, TEAM, Newcomer, fingerprints

OURS = "app.kubernetes.io/part-of=dagster"


def test_a_team_that_goes_leaves_nothing_but_its_data(release: Release, newcomer: Newcomer) -> None:
    before = fingerprints(release)
    helm("uninstall", NAME, "-n", TEAM, "--wait")
    replace(release, extra={"removed_teams": [TEAM]}).upgrade()
    assert fingerprints(release) == before
    wait_for("the location to go by itself", lambda: NAME not in locations(), seconds=180)
    wait_for("the namespace to go", lambda: TEAM not in namespaces(), seconds=180)
    assert psql("dagster", f"select rolcanlogin from pg_roles where rolname = '{TEAM}'") == [{"rolcanlogin": False}]
    assert psql("ledger", f"select count(*) as tables from pg_tables where schemaname = '{TEAM}'")[0]["tables"] > 0


def oldest_data() -> list[str | None]:
    """Return the times of the instance's first tick, and of the first listing of a team's source, if there are any."""
    (instance,) = psql("dagster", "select min(create_timestamp) as ticked from job_ticks")
    (ledger,) = psql("ledger", "select min(listed_at) as listed from operations.source")
    return [instance["ticked"], ledger["listed"]]


@pytest.fixture(scope="module")
def data(release: Release) -> list[str | None]:
    """Return what the database held when all of it was uninstalled."""
    wait_for("the platform to have data", lambda: all(oldest_data()))
    data = oldest_data()
    for location in release.register.locations:
        helm("uninstall", location.dagster_name, "-n", location.team, "--wait")
    helm("uninstall", "platform", "-n", CONTROL_PLANE, "--wait")
    return data


def test_nothing_is_left_but_the_volume_and_its_passwords(release: Release, data: list[str | None]) -> None:
    wait_for("the teams' namespaces to go", lambda: not namespaces() & set(release.register.teams), seconds=180)
    kinds = "all,secrets,configmaps,serviceaccounts,roles,rolebindings,networkpolicies,poddisruptionbudgets"
    left = {f"{found['kind']}/{found['metadata']['name']}" for found in objects(kinds, CONTROL_PLANE, OURS)}
    passwords = {f"Secret/platform-{name}" for name in ("database", "database-admin", "team-databases")}
    assert left - {"Pod/platform-test"} == passwords
    assert [claim["metadata"]["name"] for claim in objects("persistentvolumeclaims", CONTROL_PLANE)] == [
        "data-platform-database-0"
    ]
    assert kubectl("get", "clusterroles,clusterrolebindings,crds", "-o", "name", "-l", OURS) == ""


def test_what_is_installed_again_goes_on_with_its_data(release: Release, data: list[str | None]) -> None:
    release.upgrade()
    assert oldest_data() == data
