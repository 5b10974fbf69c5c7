"""What a person reads who wrote something wrong: the key, and what to do."""

import copy
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

import pytest
from tenancy.charts import CodeLocationValues, PlatformValues
from tenancy.closed import Closed, schema_of
from tenancy.cluster_values import ClusterValues

from tests.helm.releases import environment, laid_over
from tests.helm.rendering import ROOT, RenderError, Values, read_one, render

NAMES = {"platform": ("platform", "dagster"), "code-location": ("fleet-aircraft", "fleet")}
MANY = {
    "network": {"egress": {"hole": {"cidrs": ["10.0.0.0/8"], "namespace": "x", "ports": [1]}}},
    "scheduling": {"tolerations": [{"key": "a", "operator": "Equal", "value": "b"}]},
}
FREE = ("annotations", "control_plane_annotations", "node_selector", "pod_annotations", "pod_labels")
"""Maps whose keys are the cluster's."""


def good(chart: str, name: str = "prod") -> Values:
    """Return values that a chart takes."""
    location = {"location": NAMES[chart][0]} if chart == "code-location" else {}
    return {**environment(name), **location}


def message(chart: str, values: Values, name: str = "", namespace: str = "") -> str:
    """Return what whoever installs reads."""
    with pytest.raises(RenderError) as refused:
        render(chart, values, name=name or NAMES[chart][0], namespace=namespace or NAMES[chart][1])
    return str(refused.value)


def _closed(schema: Mapping[str, Any], values: Any, path: tuple[str, ...], whole: Mapping[str, Any]) -> Iterator[Any]:
    """Yield the path of each mapping in values that the schema closes."""
    if "$ref" in schema:
        schema = whole["$defs"][schema["$ref"].rsplit("/", 1)[-1]]
    if not isinstance(values, dict) or (path and path[-1] in FREE):
        return
    if "properties" in schema:
        yield path
    for key, below in values.items():
        yield from _closed(_below(schema, key), below, (*path, key), whole)


def _below(schema: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    of_any = [*schema.get("patternProperties", {}).values(), schema["additionalProperties"]]
    part = schema.get("properties", {}).get(key) or of_any[0]
    return next((choice for choice in part.get("oneOf", ()) if "$ref" in choice), part)


def _at(path: tuple[str, ...], value: Any) -> dict[str, Any]:
    return {path[0]: _at(path[1:], value)} if path else value


@pytest.mark.parametrize("chart", NAMES)
def test_a_typo_at_any_level_is_refused_by_name(chart: str) -> None:
    model = PlatformValues if chart == "platform" else CodeLocationValues
    values = laid_over(good(chart), MANY)
    whole = model.model_validate(values).model_dump(mode="json", exclude_none=True)
    schema = cast("Mapping[str, Any]", schema_of(model))
    paths = list(_closed(schema, whole, (), schema))
    assert {
        (),
        ("network", "egress", "hole"),
        ("teams", "fleet", "quota"),
        ("webserver", "resources", "limits"),
    } <= set(paths)
    assert ("locations", "fleet-aircraft", "variables", "FLEET_DATABASE_URL", "secret") in paths
    for path in paths:
        said = message(chart, laid_over(values, _at((*path, "replcas"), "x")))
        assert "'replcas' not allowed" in said, path
        assert f"at '{''.join(f'/{step}' for step in path)}'" in said, path


@pytest.mark.parametrize("chart", NAMES)
@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"teams": {"fleet": {"quota": None}}}, ["/teams/fleet", "missing property 'quota'"]),
        ({"teams": {"fleet": {"quota": {"memory": None}}}}, ["/teams/fleet/quota", "missing property 'memory'"]),
        ({"teams": {"Fleet": {}}}, ["/teams", "'Fleet' not allowed"]),
        ({"teams": None}, ["missing property 'teams'"]),
        ({"images": None}, ["missing property 'images'"]),
        ({"images": {"platform": "registry.example/platform"}}, ["/images/platform"]),
        ({"images": {"platform": "registry.example/platform@sha256:12"}}, ["/images/platform"]),
        ({"images": {"locations": {"fleet-aircraft": f"a/b@sha256:{'g' * 64}"}}}, ["/images/locations/fleet-aircraft"]),
        ({"webserver": {"replicas": "2"}}, ["/webserver/replicas", "integer"]),
        ({"webserver": {"replicas": 0}}, ["/webserver/replicas", "minimum"]),
        ({"database": {"port": 70000}}, ["/database/port", "maximum"]),
        ({"database": {"passwords": {"source": "plain"}}}, ["/database/passwords/source", "'generated'"]),
        ({"network": {"egress": {"x": {"cidrs": ["10.0.0.300/8"], "ports": [1]}}}}, ["/network/egress/x/cidrs/0"]),
        ({"network": {"egress": {"x": {"namespace": "y", "ports": []}}}}, ["/network/egress/x/ports", "minItems"]),
        ({"scheduling": {"tolerations": [{"keyy": "x"}]}}, ["/scheduling/tolerations/0", "'keyy' not allowed"]),
        ({"variables": {"lower": "x"}}, ["/variables", "'lower' not allowed"]),
        ({"variables": {"LIST": ["x"]}}, ["/variables/LIST"]),
        ({"daemon": {"run_coordinator": {"module": "a b"}}}, ["/daemon/run_coordinator/module"]),
        ({"environment": "qa"}, ["/environment", "'prod'"]),
    ],
    ids=lambda value: str(value)[:60],
)  # fmt: skip
def test_the_schema_names_the_key(chart: str, change: dict[str, Any], words: list[str]) -> None:
    said = message(chart, laid_over(good(chart), change))
    assert [word for word in words if word not in said] == []


def _empty(model: Closed, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for name in type(model).model_fields:
        below = getattr(model, name)
        yield (*path, name)
        if isinstance(below, Closed):
            yield from _empty(below, (*path, name))


@pytest.mark.parametrize("path", _empty(ClusterValues()), ids=".".join)
def test_a_key_with_nothing_after_it_is_refused_by_name(path: tuple[str, ...]) -> None:
    """For Helm it takes the default away, and a template would render nothing there: a hole, or no bound."""
    chart = "code-location" if path[0] in {"code_servers", "run_pods", "scheduling"} else "platform"
    values = cast("dict[str, Any]", copy.deepcopy(good(chart)))
    place = values
    for step in path[:-1]:
        place = place.setdefault(step, {})
    place[path[-1]] = None
    said = message(chart, values)
    assert f"missing property '{path[-1]}'" in said
    assert f"at '{''.join(f'/{step}' for step in path[:-1])}'" in said


@pytest.mark.parametrize("chart", NAMES)
def test_a_chart_can_be_part_of_another(chart: str) -> None:
    name, namespace = NAMES[chart]
    assert render(chart, {**good(chart), "global": {}}, name=name, namespace=namespace).objects


CASES = [
    {**case, "chart": chart}
    for case in cast("list[dict[str, Any]]", read_one((Path(__file__).parent / "guards.yaml").read_text()))
    for chart in case["charts"]
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case['chart']}-{case['message'][:50]}")
def test_a_guard_names_the_key_and_says_what_to_do(case: Mapping[str, Any]) -> None:
    assert case["message"] in message(case["chart"], guarded(case), case.get("release", ""))


def guarded(case: Mapping[str, Any]) -> Values:
    """Return the values of a case; a team that is only there by name gets what a team needs."""
    values = good(case["chart"], case["environment"])
    for team in set(case["values"].get("teams", {})) - set(values["teams"]):
        values = laid_over(values, {"teams": {team: {**values["teams"]["fleet"], "locations": {}}}})
    return laid_over(values, case["values"])


def test_every_guard_has_its_case() -> None:
    found = 0
    for chart in NAMES:
        for file in (ROOT / "helm" / chart / "templates").glob("**/*.*"):
            for text in re.findall(r'fail (?:\(printf )?"((?:[^"\\]|\\.)*)"', file.read_text()):
                if "exists and is not of this release" in text or "removed_teams" in text:
                    continue  # it asks the cluster: tests/e2e
                pattern = re.sub("%[sq]", ".*", re.escape(text).replace("\\%", "%"))
                assert any(re.fullmatch(pattern, case["message"]) for case in CASES if case["chart"] == chart), text
                found += 1
    assert found > 30
