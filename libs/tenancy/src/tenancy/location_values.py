"""What one code location sees, and what it has on a cluster in place of what all have."""

from typing import Annotated

from pydantic import Field

from tenancy.closed import Closed
from tenancy.cluster_values import Resources, Scheduling
from tenancy.variables import Variables


class LocationCodeServers(Closed):
    """What differs for the code servers of one location."""

    replicas: Annotated[int, Field(ge=1, le=10)] | None = None
    """Pods."""
    start_seconds: Annotated[int, Field(ge=10, le=3600)] | None = None
    """How long a pod may take until it serves."""
    resources: Resources | None = None
    """Of each pod."""


class LocationRunPods(Closed):
    """What differs for the runs of one location."""

    resources: Resources | None = None
    """Of each run that asks for nothing else by its tag tenancy/resources."""


class LocationValues(Closed):
    """What one code location sees beside the variables of all."""

    variables: Variables
    """Environment variables of this location only; they win over those of all locations."""


class LocationOnCluster(LocationValues):
    """What one code location sees and has on a cluster, beside what all have."""

    code_servers: LocationCodeServers = LocationCodeServers()
    """What differs for its code servers."""
    run_pods: LocationRunPods = LocationRunPods()
    """What differs for its runs."""
    scheduling: Scheduling | None = None
    """Which nodes its pods may be put on, in place of what is said for all."""
