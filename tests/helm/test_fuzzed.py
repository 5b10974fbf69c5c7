"""What holds for whatever the models take."""

from typing import Any

from hypothesis import HealthCheck, Phase, given, settings

from tests.helm import checks, releases, strategies

# What is found names the object and the key; to make a register smaller takes many minutes.
PHASES = (Phase.explicit, Phase.reuse, Phase.generate)
few = settings(max_examples=60, deadline=None, phases=PHASES, suppress_health_check=list(HealthCheck))


@few
@given(strategies.values())
def test_whatever_the_models_take_renders_and_is_as_it_should_be(values: dict[str, Any]) -> None:
    assert checks.problems(list(releases.everything(values))) == []
