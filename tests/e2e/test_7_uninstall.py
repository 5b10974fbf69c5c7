"""What is left when all of it is removed: the embedded database's volume with its password, and nothing else."""

from .cluster import CONTROL_PLANE, helm, kubectl, objects, wait_for
from .platform import Release, locations, psql
from .team import NAME, TEAM, Newcomer, fingerprints

OURS = "app.kubernetes.io/part-of=dagster"


def namespaces() -> set[str]:
    """Return the names of all namespaces."""
    return set(kubectl("get", "namespaces", "-o", "jsonpath={.items[*].metadata.name}").split())


def test_a_team_that_goes_leaves_nothing_but_its_data(release: Release, newcomer: Newcomer) -> None:
    before = fingerprints(release)
    helm("uninstall", NAME, "-n", TEAM, "--wait")
    release.upgrade()
    assert fingerprints(release) == before
    wait_for("the location to go by itself", lambda: NAME not in locations(), seconds=180)
    wait_for("the namespace to go", lambda: TEAM not in namespaces(), seconds=180)
    assert psql("dagster", f"select rolcanlogin from pg_roles where rolname = '{TEAM}'") == [{"rolcanlogin": False}]
    assert psql("ledger", f"select count(*) as tables from pg_tables where schemaname = '{TEAM}'")[0]["tables"] > 0


def test_nothing_is_left_but_the_volume_and_its_password(release: Release) -> None:
    for location in release.register.locations:
        helm("uninstall", location.dagster_name, "-n", location.team, "--wait")
    helm("uninstall", "platform", "-n", CONTROL_PLANE, "--wait")

    wait_for("the teams' namespaces to go", lambda: not namespaces() & set(release.register.teams), seconds=180)
    kinds = "all,secrets,configmaps,serviceaccounts,roles,rolebindings,networkpolicies,poddisruptionbudgets"
    left = {f"{found['kind']}/{found['metadata']['name']}" for found in objects(kinds, CONTROL_PLANE, OURS)}
    assert left - {"Pod/platform-test"} == {"Secret/platform-database-admin"}
    assert [claim["metadata"]["name"] for claim in objects("persistentvolumeclaims", CONTROL_PLANE)] == [
        "data-platform-database-0"
    ]
    assert kubectl("get", "clusterroles,clusterrolebindings,crds", "-o", "name", "-l", OURS) == ""


def test_what_is_installed_again_goes_on_with_its_data(release: Release) -> None:
    statement = "select count(*) as tables from pg_tables where schemaname = 'operations'"
    release.upgrade()
    assert psql("ledger", statement)[0]["tables"] > 0
    assert psql("dagster", "select count(*) as runs from runs")[0]["runs"] > 0
