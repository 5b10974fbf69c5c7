"""Every object of every environment, and of whatever else the models take."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from hypothesis import given

from tests.helm import checks, releases, schemas, strategies
from tests.helm.fuzzing import few
from tests.helm.releases import CLUSTERS
from tests.helm.rendering import CHARTS, ROOT, Object, read_one


@pytest.mark.parametrize("environment", CLUSTERS)
@pytest.mark.parametrize("check", checks.CHECKS, ids=lambda check: check.__name__)
def test_an_environment_of_ours_is_as_it_should_be(
    environment: str, check: Callable[[Sequence[Object]], Iterator[str]]
) -> None:
    assert list(check(list(releases.everything(releases.environment(environment))))) == []


@pytest.mark.parametrize("environment", CLUSTERS)
def test_the_oldest_kubernetes_that_the_charts_admit_takes_every_object(environment: str) -> None:
    (oldest,) = {read_one((ROOT / "helm" / chart / "Chart.yaml").read_text())["kubeVersion"] for chart in CHARTS}
    version = oldest.removeprefix(">=").removesuffix("-0")
    objects = releases.everything(releases.environment(environment))
    assert [problem for thing in objects for problem in schemas.invalid(thing, version)] == []


@few(30)
@given(strategies.values())
def test_whatever_the_models_take_renders_and_is_as_it_should_be(values: dict[str, Any]) -> None:
    assert checks.problems(list(releases.everything(values))) == []
