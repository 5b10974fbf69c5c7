"""The charts as files: what Helm's own linter says of them, and what they say when they are installed."""

from collections import Counter
from typing import Any

import helm_python
import pytest

from tests.helm import releases
from tests.helm.releases import CLUSTERS, environment, laid_over
from tests.helm.rendering import CHARTS, KUBERNETES, ROOT, Values, in_process
from tests.helm.test_messages import NAMES, good


def test_what_the_charts_have_in_common_is_the_same_file() -> None:
    for name in ("templates/_common.tpl", "values.yaml"):
        platform, location = ((ROOT / "helm" / chart / name).read_bytes() for chart in CHARTS)
        assert platform == location, name


@pytest.mark.parametrize("name", CLUSTERS)
@pytest.mark.parametrize("chart", CHARTS)
def test_helm_lint_has_nothing_to_say(chart: str, name: str) -> None:
    # It calls the release test-release, and lets guards pass.
    values = dict(good(chart, name))
    said = helm_python.lint(ROOT / "helm" / chart, values, strict=True, kube_version=f"v{KUBERNETES}")
    assert [each for each in said["messages"] if "icon is recommended" not in each["error"]] == []
    assert said["errors"] == []


def notes(chart: str, values: Values) -> str:
    """Return what is printed after an installation."""
    name, namespace = NAMES[chart]
    return in_process(chart, values, name=name, namespace=namespace).notes


@pytest.mark.parametrize("name", CLUSTERS)
def test_after_the_control_plane_come_the_locations_and_then_the_test(name: str) -> None:
    values = environment(name)
    said = notes("platform", values)
    for team, location in releases.locations(values):
        install = f"helm upgrade --install {team}-{location} helm/code-location -n {team}"
        assert f"{install} --set location={team}-{location} " in said
    assert f"-f tenants.yaml -f environments/{name}/values.yaml -f <file with the images> --rollback-on-failure" in said
    assert f".venv/bin/tenancy deploy {name}" in said
    assert "helm test platform -n dagster --logs" in said


@pytest.mark.parametrize(
    ("change", "url"),
    [
        ({"ingress": {"host": "a.example"}}, "a.example"),
        ({"ingress": {"host": ""}, "gateway": {"host": "b.example", "name": "x"}}, "b.example"),
        ({"ingress": {"host": "a.example"}, "webserver": {"path_prefix": "/dagster"}}, "a.example/dagster"),
        ({"ingress": {"host": ""}}, "kubectl port-forward -n dagster service/platform-webserver 3000:80"),
    ],
)
def test_the_notes_say_where_the_ui_is(change: dict[str, Any], url: str) -> None:
    assert f"\n   {url}\n" in notes("platform", laid_over(environment("prod"), change)) + "\n"


def test_after_a_location_comes_a_look_at_its_pods() -> None:
    said = notes("code-location", good("code-location"))
    assert "kubectl get pods -n fleet -l tenancy/location=fleet-aircraft" in said
    assert "helm test platform -n dagster --logs" in said


def test_a_team_is_twelve_objects_whatever_its_locations_and_however_many_there_are() -> None:
    few, none, more = (
        Counter(each["kind"] for each in releases.platform(releases.many(teams, locations)).objects)
        for teams, locations in ((10, 0), (1, 0), (100, 5))
    )
    assert sum((few - none).values()) == 9 * 12
    assert sum((more - few).values()) == 90 * 12
    assert (more["Deployment"], more["Job"], more["ConfigMap"]) == (2, 2, 2)
