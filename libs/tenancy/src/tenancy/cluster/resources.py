"""What one run may ask for by its tag, within what its team has.

    tags={"tenancy/resources": '{"cpu": "2", "memory": "4Gi"}'}

The amounts become both request and limit of the run's container.
"""

import json
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation

from tenancy.cluster.places import Place

RESOURCES_TAG = "tenancy/resources"
NAMES = ("cpu", "memory")

_UNITS = {"": 1, "m": Decimal("0.001"), "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}


def quantity(text: str) -> Decimal:
    """Return the number behind a Kubernetes quantity, cores or bytes; raises ValueError."""
    number = text.rstrip("mKiMGT")
    try:
        return Decimal(number) * _UNITS[text[len(number) :]]
    except (InvalidOperation, KeyError):
        raise ValueError(f'{text!r} is no quantity such as "500m", "2" or "4Gi"') from None


def requested(tag: str | None) -> Mapping[str, str]:
    """Return the resources that a tag asks for; raises ValueError with what is wrong with it."""
    if tag is None:
        return {}
    try:
        asked = json.loads(tag)
    except json.JSONDecodeError as error:
        raise ValueError(f"tag {RESOURCES_TAG} is no JSON: {error}") from None
    known = isinstance(asked, dict) and set(asked) <= set(NAMES) and all(isinstance(v, str) for v in asked.values())
    if not known:
        raise ValueError(f'tag {RESOURCES_TAG} must be as in {{"cpu": "2", "memory": "4Gi"}}, not {tag}')
    return asked


def bounded(asked: Mapping[str, str], place: Place) -> dict[str, dict[str, str]] | None:
    """Return the container's resources, or None when nothing is asked for; raises ValueError beyond the bounds."""
    most = {"cpu": place.cpu, "memory": place.memory}
    for name, text in asked.items():
        if not 0 < quantity(text) <= quantity(most[name]):
            raise ValueError(
                f"tag {RESOURCES_TAG} asks for {name} {text}; a run of team {place.team} may have {most[name]}"
            )
    return {"requests": dict(asked), "limits": dict(asked)} if asked else None
