"""The library renders as the programs do that people install with: the one that HELM names, or that of the PATH."""

import os
import shutil

import pytest

from tests.helm import releases
from tests.helm.releases import CLUSTERS, laid_over, without_passwords
from tests.helm.rendering import RenderError, by_program, in_process
from tests.helm.test_messages import CASES, NAMES, good, guarded

PROGRAM = os.environ.get("HELM") or shutil.which("helm") or ""
NUMBERS = {
    "variables": {"BIG": 1_000_000, "LARGE": 2**53, "SMALL": 1e-7, "HALF": 0.5, "TRUE": True, "TEXT": "$(A) \"'"}
}

pytestmark = pytest.mark.skipif(not PROGRAM, reason="no helm on the PATH to compare the library with; HELM names one")


@pytest.mark.parametrize("environment", CLUSTERS)
@pytest.mark.parametrize("chart", NAMES)
def test_a_program_renders_the_same_as_the_library(chart: str, environment: str) -> None:
    name, namespace = NAMES[chart]
    values = laid_over(good(chart, environment), NUMBERS)
    theirs = without_passwords(by_program(PROGRAM, chart, values, name=name, namespace=namespace).objects)
    ours = without_passwords(in_process(chart, values, name=name, namespace=namespace).objects)
    assert releases.by_label(theirs) == releases.by_label(ours)


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case['chart']}-{case['message'][:50]}")
def test_a_program_refuses_with_the_message_of_the_library(case: dict[str, str]) -> None:
    name, namespace = NAMES[case["chart"]]
    with pytest.raises(RenderError) as refused:
        by_program(PROGRAM, case["chart"], guarded(case), name=case.get("release", name), namespace=namespace)
    assert case["message"] in str(refused.value)
