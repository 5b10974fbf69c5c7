"""Settings for tests: what the platform sets for every location, and what a location needs besides."""

import os
from typing import Any, TypeVar

from sensor_assets._settings import Settings

S = TypeVar("S", bound=Settings)


def settings_for(kind: type[S], **fields: Any) -> S:
    """Return settings of a class with the fields that every location has filled in.

    Args:
        kind: The location's class of settings.
        fields: Values of its own fields.

    Example:
        >>> settings_for(ShopSettings, landing_url="file:///tmp/landing").team
        'tested'
    """
    return kind.model_validate(_base("tested", "tested-location") | fields)


def set_environment(*, location: str, team: str | None = None, **variables: str) -> None:
    """Set the environment variables of a location's settings, before its modules are imported.

    For the first lines of a `conftest.py`. The ledger's URL leads nowhere: a test that needs one takes the fixture.

    Args:
        location: Name of the location in Dagster, such as ``operations-departures``.
        team: The team; what stands before the first dash of the location unless told.
        variables: What the location needs besides, by name of the variable.

    Example:
        >>> set_environment(location="shop-orders", LANDING_URL="memory:///landing")
    """
    base = _base(team or location.partition("-")[0], location)
    os.environ.update({name.upper(): value for name, value in base.items()} | variables)


def _base(team: str, location: str) -> dict[str, str]:
    return {
        "environment": "local",
        "team": team,
        "location": location,
        "ledger_url": "postgresql://nobody@/no-ledger-in-this-test",
        "ledger_schema": team.replace("-", "_"),
    }
