"""Where the runs of each location belong: the platform's own word on it, which no code server can change.

The chart renders it from the register into a ConfigMap that only the control plane mounts:

    locations:
      operations-departures: {team: operations, namespace: operations, service_account: run, cpu: "2", memory: 4Gi}
    teams:
      operations: {concurrent_runs: 4}
"""

from collections.abc import Mapping
from dataclasses import dataclass
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


POD_FIELDS = frozenset(
    {
        "affinity",
        "automount_service_account_token",
        "image_pull_secrets",
        "node_selector",
        "security_context",
        "service_account_name",
        "termination_grace_period_seconds",
        "tolerations",
        "topology_spread_constraints",
        "volumes",
    }
)
"""What a code server may say about the pods of its runs. The rest could take what is not the team's (a priority class
that evicts others, a node by name, another scheduler) and is refused."""


@dataclass(frozen=True)
class Refusal:
    """A code server asked for what is not its team's."""

    location: str
    asked: str
    instead: str

    def __str__(self) -> str:
        return (
            f"location {self.location}: its code server asks for {self.asked} in the container context of its runs; "
            f"{self.instead}. The platform decides that, from tenants.yaml: take it out of the container context"
        )


def refusals(location: str, place: Place, namespace: str | None, pod_spec: Mapping[str, object]) -> list[Refusal]:
    """Return what a code server asks for that is not its team's to have.

    Args:
        location: Dagster name of the location.
        place: where its runs belong.
        namespace: the namespace that the code server names, if it names one.
        pod_spec: the pod specification that it asks for, keys in snake case.
    """
    found: list[Refusal] = []
    if namespace not in (None, place.namespace):
        found.append(Refusal(location, f"namespace {namespace!r}", f"its runs belong to {place.namespace!r}"))
    account = pod_spec.get("service_account_name")
    if account not in (None, place.service_account):
        found.append(Refusal(location, f"service account {account!r}", f"its runs have {place.service_account!r}"))
    for field in sorted(set(pod_spec) - POD_FIELDS):
        found.append(Refusal(location, f"the pod field {field!r}", f"it may set {', '.join(sorted(POD_FIELDS))}"))
    return found
