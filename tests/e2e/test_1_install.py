"""From an empty cluster to all locations loaded, by the sequence that the documentation gives."""

import json
import re

from .cluster import CONTROL_PLANE, graphql, helm, kubectl, objects, wait_for
from .platform import Release, locations

MEMORY = re.compile(
    r'container_memory_working_set_bytes\{container="(?P<container>[^"]+)",namespace="(?P<namespace>[^"]+)",'
    r'pod="(?P<pod>[^"]+)"\} (?P<bytes>\S+)'
)
DAEMONS = "{ instance { daemonHealth { allDaemonStatuses { daemonType required healthy } } } }"


def test_every_location_of_the_register_is_loaded(release: Release) -> None:
    assert locations() == {location.dagster_name: "LOADED" for location in release.register.locations}


def test_every_daemon_that_is_required_is_healthy(release: Release) -> None:
    def unhealthy() -> list[str]:
        daemons = graphql(DAEMONS)["instance"]["daemonHealth"]["allDaemonStatuses"]
        return [daemon["daemonType"] for daemon in daemons if daemon["required"] and not daemon["healthy"]]

    wait_for("the daemons to be healthy", lambda: not unhealthy(), seconds=90)


def test_helm_test_says_so_too(release: Release) -> None:
    printed = helm("test", "platform", "-n", CONTROL_PLANE, "--logs")
    assert f"all {len(release.register.locations)} locations are loaded, and all daemons are healthy" in printed


def test_no_pod_has_restarted(release: Release) -> None:
    restarts = {
        f"{namespace}/{pod['metadata']['name']}": [each["restartCount"] for each in pod["status"]["containerStatuses"]]
        for namespace in (CONTROL_PLANE, *release.register.teams)
        for pod in objects("pods", namespace)
    }
    assert len(restarts) > len(release.register.locations)
    assert set(map(sum, restarts.values())) == {0}, restarts


def test_passwords_are_made_once_and_kept(release: Release) -> None:
    def passwords() -> str:
        return kubectl("get", "secret", "platform-team-databases", "-n", CONTROL_PLANE, "-o", "jsonpath={.data}")

    before = passwords()
    release.upgrade()
    assert passwords() == before
    assert set(json.loads(before)) == {team.replace("-", "_") for team in release.register.teams}


def test_an_upgrade_that_changes_nothing_restarts_nothing(release: Release) -> None:
    def uids() -> dict[str, str]:
        selector = "app.kubernetes.io/component in (webserver, daemon, database)"
        return {pod["metadata"]["name"]: pod["metadata"]["uid"] for pod in objects("pods", CONTROL_PLANE, selector)}

    before = uids()
    release.upgrade()
    assert uids() == before


def test_all_of_it_fits_on_a_laptop(release: Release) -> None:
    """docs/how-to/install-on-a-laptop.md asks for 6 GiB, of which the cluster itself takes about one."""
    nodes = kubectl("get", "nodes", "-o", "jsonpath={.items[*].metadata.name}").split()
    used = {
        f"{found['namespace']}/{found['pod']}": float(found["bytes"])
        for node in nodes
        for found in MEMORY.finditer(kubectl("get", "--raw", f"/api/v1/nodes/{node}/proxy/metrics/resource"))
        if found["namespace"] in {CONTROL_PLANE, *release.register.teams}
    }
    print(f"memory of {len(used)} containers: {sum(used.values()) / 2**20:.0f} MiB {used}")
    assert len(used) >= 3 + len(release.register.locations)
    assert sum(used.values()) < 4 * 2**30
