"""Where the runs of each location belong: the platform's own word on it, which no code server can change.

The chart renders it from the register and its values into a ConfigMap that only the control plane mounts:

    locations:
      operations-departures:
        team: operations
        namespace: operations
        service_account: run
        cpu: "2"
        memory: 4Gi
        ephemeral_storage: 10Gi
        scheduling: {node_selector: {pool: data}, tolerations: [{key: pool, operator: Exists}]}
    teams:
      operations:
        concurrent_runs: 4
        reserve: {requests: {cpu: 100m, memory: 256Mi}, limits: {cpu: "1", memory: 512Mi}}
"""

from typing import Annotated

import yaml
from pydantic import AfterValidator, Field, ValidationError

from tenancy.closed import Closed
from tenancy.cluster_values import Resources, Scheduling
from tenancy.quantities import quantity


def _checked(text: str) -> str:
    quantity(text)
    return text


Amount = Annotated[str, AfterValidator(_checked)]
"""As Kubernetes writes it."""


class Place(Closed):
    """Where the runs of one location go, and how much one of them may ask for."""

    team: str
    """The team that owns the location."""
    namespace: str
    """Namespace of the team."""
    service_account: str
    """Service account of the team's runs."""
    cpu: Amount
    """Most cores of one run."""
    memory: Amount
    """Most memory of one run."""
    ephemeral_storage: Amount | None = None
    """Most of a node's disk that one run may ask for; none may when it is not given."""
    scheduling: Scheduling = Scheduling()
    """Where a run's pod may be put; it does not choose."""


class TeamLimits(Closed):
    """What a team may do at the same time."""

    concurrent_runs: Annotated[int, Field(ge=1)]
    """Runs at once."""
    reserve: Resources | None = None
    """What runs leave of the team's quota: one code server more, which replaces another."""


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
