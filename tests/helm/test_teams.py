"""What one team has does not depend on another, and knows nothing of it."""

from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.helm import checks, releases, strategies
from tests.helm.fuzzing import few
from tests.helm.releases import CLUSTERS, by_label, label, without_passwords
from tests.helm.rendering import Object, Values

# Words that stand nowhere else: with teams a and a-b, an `a` somewhere would say nothing.
ANIMALS = ["aardvark", "bison", "capybara", "dugong"]
PLACES = st.sampled_from(["xanadu", "yosemite", "zanzibar"])
IN_CONTROL_PLANE = {("ConfigMap", "workspace"), ("Secret", "team-databases"), ("ExternalSecret", "team-databases")}
"""What of the control plane changes with the teams, beside the Jobs that make their logins: no pod is made of it."""


def rendered(values: Values) -> dict[str, Object]:
    """Return every object by its label."""
    return by_label(without_passwords(releases.everything(values)))


def of_teams(objects: Mapping[str, Object], values: Values) -> Iterator[tuple[str, Object]]:
    """Yield the objects of each team: its namespace, and what is in it."""
    for thing in objects.values():
        namespace = thing["metadata"].get("namespace") or thing["metadata"]["name"]
        if namespace in values["teams"]:
            yield namespace, thing


@few(12)
@given(strategies.values(st.permutations(ANIMALS).map(lambda names: names[:3]), PLACES))
def test_no_object_of_a_team_names_another_team(values: dict[str, Any]) -> None:
    seen = list(of_teams(rendered(values), values))
    assert {team for team, _ in seen} == set(values["teams"])
    for team, thing in seen:
        others = [name for name in ANIMALS if name != team]
        for text in checks.strings(thing):
            assert not [name for name in others if name in text.lower()], f"{label(thing)} of {team}: {text}"


@few(12)
@given(strategies.values(st.permutations(ANIMALS).map(lambda names: names[:3]), PLACES))
def test_no_pod_of_the_control_plane_knows_the_teams(values: dict[str, Any]) -> None:
    plane = values["control_plane"].get("namespace", "dagster")
    for pod in checks.pods(releases.platform(values).objects):
        assert pod.owner["metadata"]["namespace"] == plane
        for text in checks.strings(pod):
            assert not [name for name in ANIMALS if name in text.lower()], f"{label(pod.owner)}: {text}"


def changed_without(values: Values, team: str) -> None:
    """Expect that nothing but the team's own goes when it leaves, and that nothing else changes."""
    before, after = rendered(values), rendered(releases.without_team(values, team))
    own = {team, releases.for_team(values, team).get("control_plane", {}).get("namespace")}
    own -= {values.get("control_plane", {}).get("namespace", "dagster"), None}
    gone = [thing for name, thing in before.items() if name not in after]
    for thing in gone:
        namespace = thing["metadata"].get("namespace") or thing["metadata"]["name"]
        assert namespace in own or _in_control_plane(thing), f"{label(thing)} is gone with {team}"
    for name, thing in after.items():
        if before.get(name) != thing:
            assert _in_control_plane(thing), f"{name} is another without {team}"


def _in_control_plane(thing: Object) -> bool:
    component = thing["metadata"]["labels"].get("app.kubernetes.io/component", "")
    name = thing["metadata"]["name"]
    return (thing["kind"] == "Job" and component == "migration") or any(
        thing["kind"] == kind and name.endswith(f"-{suffix}") for kind, suffix in IN_CONTROL_PLANE
    )


@few(12)
@given(strategies.values(), st.data())
def test_a_team_that_leaves_changes_nothing_of_the_others(values: dict[str, Any], data: st.DataObject) -> None:
    if len(values["teams"]) > 1:
        changed_without(values, data.draw(st.sampled_from(sorted(values["teams"]))))


@pytest.mark.parametrize("environment", CLUSTERS)
@pytest.mark.parametrize("team", ["operations", "weather", "fleet"])
def test_a_team_of_ours_that_leaves_changes_nothing_of_the_others(environment: str, team: str) -> None:
    changed_without(releases.environment(environment), team)


def test_teams_whose_names_begin_alike_are_apart() -> None:
    values = releases.environment("prod")
    body = values["teams"]["fleet"]
    names = {"a": {"b-c": {}}, "a-b": {"d": {}}, "a-b-c": {"e": {}}}
    full = {f"{team}-{name}": {"variables": {}} for team, own in names.items() for name in own}
    values = releases.laid_over({**values, "teams": {}, "locations": {}}, {"locations": full})
    values = releases.laid_over(values, {"teams": {team: {**body, "locations": own} for team, own in names.items()}})
    values = releases.laid_over(values, {"images": {"locations": dict.fromkeys(full, values["images"]["platform"])}})
    for team in names:
        changed_without(values, team)
    assert {team for team, _ in of_teams(rendered(values), values)} == set(names)
