"""What one run may ask for, by a tag of its own or through its code server, within what the platform allows.

    tags={"tenancy/resources": '{"cpu": "2", "memory": "4Gi"}'}

The amounts become both request and limit of the run's container.
"""

import json
from collections.abc import Mapping
from typing import Any

from tenancy.cluster.places import Place
from tenancy.quantities import quantity

RESOURCES_TAG = "tenancy/resources"
AMOUNTS = ("cpu", "memory")


def requested(tag: str | None) -> Mapping[str, str]:
    """Return the resources that a tag asks for; raises ValueError with what is wrong with it."""
    if tag is None:
        return {}
    try:
        asked: Any = json.loads(tag)
    except json.JSONDecodeError as error:
        raise ValueError(f"tag {RESOURCES_TAG} is no JSON: {error}") from None
    known = isinstance(asked, dict) and set(asked) <= set(AMOUNTS) and all(isinstance(v, str) for v in asked.values())
    if not known:
        raise ValueError(f'tag {RESOURCES_TAG} must be as in {{"cpu": "2", "memory": "4Gi"}}, not {tag}')
    return asked


def bounds(place: Place) -> Mapping[str, str]:
    """Return what a run may ask for, and the most of each."""
    most = {"cpu": place.cpu, "memory": place.memory}
    return most if place.ephemeral_storage is None else {**most, "ephemeral-storage": place.ephemeral_storage}


def beyond(asked: Mapping[str, str], place: Place) -> list[tuple[str, str, str]]:
    """Return what is more than a run may have, or nothing at all: name, amount and most; raises ValueError.

    Args:
        asked: amounts of what has bounds.
        place: with the bounds.
    """
    most = bounds(place)
    return [
        (name, amount, most[name]) for name, amount in asked.items() if not 0 < quantity(amount) <= quantity(most[name])
    ]


def bounded(asked: Mapping[str, str], place: Place) -> dict[str, dict[str, str]]:
    """Return a container's resources, empty when nothing is asked for; raises ValueError beyond the bounds."""
    for name, amount, most in beyond(asked, place):
        raise ValueError(
            f"tag {RESOURCES_TAG} asks for {name} {amount}; a run of team {place.team} may have more than 0 and up to "
            f"{most}"
        )
    return {"requests": dict(asked), "limits": dict(asked)} if asked else {}
