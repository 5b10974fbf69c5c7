"""What a team's namespace is made of: its bounds, who may do what in it, and its passwords."""

import base64
from collections.abc import Mapping
from typing import Any

import pytest

from tests.helm import releases
from tests.helm.releases import CLUSTERS, by_label, environment, laid_over
from tests.helm.rendering import Object

LAUNCHING = {
    ("batch", "jobs"): {"create", "delete", "list"},
    ("batch", "jobs/status"): {"get"},
    ("", "pods"): {"list"},
    ("", "pods/log"): {"get"},
    ("", "events"): {"list"},
    ("", "resourcequotas"): {"list"},
}
ROLES = {
    "launch-runs": ("daemon", "platform-control-plane", LAUNCHING),
    "end-runs": ("webserver", "platform-webserver", {("batch", "jobs"): {"delete"}}),
}
"""Who has them, and the least that they need; libs/tenancy/tests/cluster sees to it that they ask for no more."""


def platform(name: str, **change: Any) -> Mapping[str, Object]:
    """Return the objects of a control plane by label."""
    return by_label(releases.platform(laid_over(environment(name), change)).objects)


@pytest.mark.parametrize("name", CLUSTERS)
@pytest.mark.parametrize("team", ["operations", "weather", "fleet"])
def test_a_namespace_is_restricted_bounded_and_closed(name: str, team: str) -> None:
    objects = platform(name)
    labels = objects[f"Namespace//{team}"]["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"
    quota = environment(name)["teams"][team]["quota"]
    hard = objects[f"ResourceQuota/{team}/team"]["spec"]["hard"]
    assert (hard["requests.cpu"], hard["requests.memory"]) == (quota["cpu"], quota["memory"])
    assert hard["limits.memory"] == quota["memory"]
    (limits,) = objects[f"LimitRange/{team}/team"]["spec"]["limits"]
    assert limits["type"] == "Container"
    assert {"default", "defaultRequest", "max"} <= set(limits)
    deny = objects[f"NetworkPolicy/{team}/default-deny"]["spec"]
    assert deny == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}


@pytest.mark.parametrize("name", CLUSTERS)
def test_the_daemon_may_launch_runs_and_the_webserver_end_them_and_nobody_may_more(name: str) -> None:
    objects = platform(name)
    assert not [label for label in objects if label.startswith("Cluster")]
    teams = set(environment(name)["teams"])
    for kind in ("Role", "RoleBinding"):
        assert {label for label in objects if label.startswith(f"{kind}/")} == {
            f"{kind}/{team}/{role}" for team in teams for role in ROLES
        }
    for role, (component, account, least) in ROLES.items():
        pod = objects[f"Deployment/dagster/platform-{component}"]["spec"]["template"]["spec"]
        assert pod["serviceAccountName"] == account
        assert f"ServiceAccount/dagster/{account}" in objects
        for team in teams:
            rules = objects[f"Role/{team}/{role}"]["rules"]
            assert {(rule["apiGroups"][0], rule["resources"][0]): set(rule["verbs"]) for rule in rules} == least
            assert all(len(rule["apiGroups"]) == len(rule["resources"]) == 1 for rule in rules)
            binding = objects[f"RoleBinding/{team}/{role}"]
            assert binding["roleRef"]["name"] == role
            assert binding["subjects"] == [{"kind": "ServiceAccount", "name": account, "namespace": "dagster"}]


def test_webserver_and_daemon_have_the_control_plane_s_identity_in_the_cloud() -> None:
    identity = {"eks.amazonaws.com/role-arn": "arn:aws:iam::1:role/x"}
    objects = platform("prod", service_accounts={"control_plane_annotations": identity})
    for _, account, _ in ROLES.values():
        assert objects[f"ServiceAccount/dagster/{account}"]["metadata"]["annotations"] == identity


def secrets(objects: Mapping[str, Object]) -> dict[str, dict[str, str]]:
    """Return the content of every Secret."""
    return {
        label: {key: base64.b64decode(value).decode() for key, value in each["data"].items()}
        for label, each in objects.items()
        if each["kind"] == "Secret"
    }


def test_generated_passwords_are_long_new_each_time_and_a_team_s_own() -> None:
    first, second = (secrets(platform("dev")) for _ in range(2))
    assert set(first) == set(second)
    passwords = [content["password"] for content in [*first.values(), *second.values()] if "password" in content]
    assert len(set(passwords)) == len(passwords) == 2 * 5  # three teams, the control plane, the database's admin
    assert all(len(password) == 32 and password.isalnum() for password in passwords)
    everybody = first["Secret/dagster/platform-team-databases"]
    assert everybody == {
        team: first[f"Secret/{team}/database"]["password"] for team in ("fleet", "operations", "weather")
    }
    assert first["Secret/fleet/database"]["username"] == "fleet"


@pytest.mark.parametrize(("source", "kinds"), [("existing", set[str]()), ("external", {"ExternalSecret"})])
def test_passwords_from_elsewhere_leave_no_secret_in_the_chart(source: str, kinds: set[str]) -> None:
    objects = platform("prod", database={"passwords": {"source": source}})
    assert {each["kind"] for each in objects.values() if "Secret" in each["kind"]} == kinds
    if source == "external":
        wanted = {"dagster/platform-database", "dagster/platform-team-databases"}
        wanted |= {f"{team}/database" for team in environment("prod")["teams"]}
        assert {label.partition("/")[2] for label in objects if label.startswith("ExternalSecret/")} == wanted


@pytest.mark.parametrize("source", ["generated", "existing", "external"])
def test_an_embedded_database_s_admin_is_apart_from_the_passwords_of_others(source: str) -> None:
    objects = platform("dev", database={"passwords": {"source": source}})
    assert set(objects["Secret/dagster/platform-database-admin"]["data"]) == {"password"}
    assert ("Secret/dagster/platform-database" in objects) is (source == "generated")
