"""What is left when all of it is removed: what docs/how-to/install-on-a-laptop.md says, and nothing else."""

from .cluster import CONTROL_PLANE, helm, kubectl, objects, wait_for
from .platform import Release

OURS = "app.kubernetes.io/part-of=dagster"


def test_nothing_is_left_but_the_volume(release: Release) -> None:
    for location in release.register.locations:
        helm("uninstall", location.dagster_name, "-n", location.team, "--wait")
    helm("uninstall", "platform", "-n", CONTROL_PLANE, "--wait")

    def namespaces() -> set[str]:
        return set(kubectl("get", "namespaces", "-o", "jsonpath={.items[*].metadata.name}").split())

    wait_for("the teams' namespaces to go", lambda: not namespaces() & set(release.register.teams), seconds=180)
    kinds = "all,secrets,configmaps,serviceaccounts,roles,rolebindings,networkpolicies,poddisruptionbudgets"
    left = {f"{found['kind']}/{found['metadata']['name']}" for found in objects(kinds, CONTROL_PLANE, OURS)}
    assert left == {"Pod/platform-test"} & left
    assert [claim["metadata"]["name"] for claim in objects("persistentvolumeclaims", CONTROL_PLANE)] == [
        "data-platform-database-0"
    ]
    assert kubectl("get", "clusterroles,clusterrolebindings,crds", "-o", "name", "-l", OURS) == ""
