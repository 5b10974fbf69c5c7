"""How the properties of the charts are tried: each example renders some ten releases."""

import os
from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, Phase, settings

TIMES = int(os.environ.get("EXAMPLES", "1"))
SLOW = (HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example, HealthCheck.filter_too_much)


def few(examples: int) -> Callable[[Any], Any]:
    """Return a decorator for a property that is tried with so many examples, or EXAMPLES times as many.

    What a test finds names the object and the key; to shrink a register to it takes many minutes.
    """
    phases = (Phase.explicit, Phase.reuse, Phase.generate)
    return settings(max_examples=examples * TIMES, deadline=None, phases=phases, suppress_health_check=SLOW)
