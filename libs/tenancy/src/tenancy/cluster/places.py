"""Where the runs of each location belong: the platform's own word on it, which no code server can change.

The chart renders it from the register into a ConfigMap that only the control plane mounts:

    locations:
      operations-departures: {team: operations, namespace: operations, service_account: run, cpu: "2", memory: 4Gi}
    teams:
      operations: {concurrent_runs: 4}
"""

from typing import Annotated

import yaml
from pydantic import Field, ValidationError

from tenancy.closed import Closed


class Place(Closed):
    """Where the runs of one location go, and how much one of them may ask for."""

    team: str
    """The team that owns the location."""
    namespace: str
    """Namespace of the team."""
    service_account: str
    """Service account of the team's runs."""
    cpu: str
    """Most cores of one run, as Kubernetes writes them."""
    memory: str
    """Most memory of one run, as Kubernetes writes it."""


class TeamLimits(Closed):
    """What a team may do at the same time."""

    concurrent_runs: Annotated[int, Field(ge=1)]
    """Runs at once."""


class Places(Closed):
    """Places of all locations and limits of all teams, by name."""

    locations: dict[str, Place]
    """By the location's Dagster name."""
    teams: dict[str, TeamLimits]
    """By the team's name."""

    @classmethod
    def read(cls, text: str) -> "Places":
        """Return the places that a YAML text holds; raises ValueError with what is wrong."""
        try:
            return cls.model_validate(yaml.safe_load(text))
        except (yaml.YAMLError, ValidationError) as error:
            raise ValueError(str(error)) from None
