"""An upgrade from the last release goes through, and one that changes values as well."""

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.helm import immutable, releases, strategies
from tests.helm.fuzzing import few
from tests.helm.releases import environment, laid_over

FREE = ("scheduling", "image_pull_secrets", "service_accounts", "webserver", "daemon", "compute_logs", "variables")
"""Values that may be changed at any time."""


def test_an_upgrade_from_the_last_release_changes_nothing_that_cannot_be_changed() -> None:
    last = json.loads(immutable.OBJECTS.read_text())
    now = immutable.rendered()
    assert set(last) == set(now)
    assert [problem for case in last for problem in immutable.broken(last[case], now[case])] == []


@few(8)
@given(strategies.values(), strategies.values(), st.sets(st.sampled_from(FREE), min_size=1))
def test_other_values_change_nothing_that_cannot_be_changed(
    before: dict[str, Any], other: dict[str, Any], chosen: set[str]
) -> None:
    after = {**before, **{key: other[key] for key in chosen if key in other}}
    after = laid_over(after, {"service_accounts": {"team_annotations": None}})  # they name the teams of the others
    old, new = (immutable.of(releases.everything(values)) for values in (before, after))
    assert immutable.broken(old, new) == []


def test_another_image_or_another_team_makes_another_migration() -> None:
    values = environment("prod")
    others = [
        values,
        laid_over(values, {"images": {"platform": values["images"]["platform"].replace("0123", "3210")}}),
        laid_over(values, {"teams": {"hr": {**values["teams"]["fleet"], "locations": {}}}}),
        laid_over(values, {"database": {"port": 6432}}),
        laid_over(values, {"scheduling": {"node_selector": {"pool": "data"}}}),
    ]
    names = [
        [each["metadata"]["name"] for each in releases.platform(other).objects if each["kind"] == "Job"]
        for other in others
    ]
    assert len({name for own in names for name in own}) == len(others) + 1  # and the hook's, which is the same


def _set(path: str, value: Any) -> Callable[[dict[str, Any]], None]:
    def change(thing: dict[str, Any]) -> None:
        *steps, last = path.split(".")
        for step in steps:
            thing = thing[step]
        thing[last] = value

    return change


@pytest.mark.parametrize(
    ("kind", "change", "found"),
    [
        ("Deployment", _set("spec.selector.matchLabels.a", "b"), "spec.selector has changed"),
        ("StatefulSet", _set("spec.serviceName", "other"), "spec.serviceName has changed"),
        ("StatefulSet", _set("spec.volumeClaimTemplates", []), "spec.volumeClaimTemplates has changed"),
        ("StatefulSet", _set("spec.podManagementPolicy", "Parallel"), "spec.podManagementPolicy has changed"),
        ("StatefulSet", _set("metadata.name", "other"), "is gone, with what is in it"),
        ("Namespace", _set("metadata.name", "other"), "is gone, with what is in it"),
        ("Job", _set("spec.template.spec.restartPolicy", "OnFailure"), "spec.template has changed"),
        ("Service", _set("spec.clusterIP", "None"), "spec.clusterIP has changed"),
        ("RoleBinding", _set("roleRef.name", "other"), "roleRef has changed"),
        ("Secret", _set("type", "kubernetes.io/basic-auth"), "type has changed"),
        ("Secret", _set("immutable", value=True), "immutable has changed"),
    ],
)
def test_a_change_that_kubernetes_refuses_is_found(
    kind: str, change: Callable[[dict[str, Any]], None], found: str
) -> None:
    objects = list(releases.everything(environment("dev")))
    changed = copy.deepcopy(objects)
    change(next(each for each in changed if each["kind"] == kind))
    (only,) = immutable.broken(immutable.of(objects), immutable.of(changed))
    assert found in only


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        ("Deployment", _set("spec.replicas", 9)),
        ("Deployment", _set("spec.template.spec.hostname", "x")),
        ("StatefulSet", _set("spec.template.spec.hostname", "x")),
        ("Service", _set("spec.ports", [])),
        ("ConfigMap", _set("data", {})),
        ("NetworkPolicy", _set("metadata.name", "other")),
    ],
)
def test_a_change_that_kubernetes_takes_is_not(kind: str, change: Callable[[dict[str, Any]], None]) -> None:
    objects = list(releases.everything(environment("dev")))
    changed = copy.deepcopy(objects)
    change(next(each for each in changed if each["kind"] == kind))
    assert immutable.broken(immutable.of(objects), immutable.of(changed)) == []
