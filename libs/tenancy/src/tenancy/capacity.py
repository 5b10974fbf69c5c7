"""Whether a team's quota has room for what runs all the time, and for a run beside it."""

from collections.abc import Iterator

from tenancy.cluster_values import ClusterValues
from tenancy.quantities import quantity
from tenancy.register import Register


def shortages(register: Register, values: ClusterValues) -> Iterator[str]:
    """Yield what quotas lack in an environment, one sentence each.

    A quota must hold the code servers of all locations, one more while a location is upgraded, and one run. With less,
    pods are not made and nothing says why; with just that, runs come one after the other.
    """
    servers, run = values.code_servers, values.run_pods.resources
    for name, team in register.teams.items():
        pods = servers.replicas * len(team.locations) + 1
        # As the namespace's ResourceQuota counts: requests of processor, limits of memory.
        for what, server, one in (
            ("cpu", servers.resources.requests.cpu, run.requests.cpu),
            ("memory", servers.resources.limits.memory, run.limits.memory),
        ):
            quota = getattr(team.quota, what)
            if team.locations and pods * quantity(server) + quantity(one) > quantity(quota):
                yield (
                    f"team {name} has a quota of {what} {quota} in tenants.yaml, too little for {pods} code servers of "
                    f"{server} (one of them during an upgrade) and a run of {one}: raise it, or lower "
                    "code_servers.resources or run_pods.resources"
                )
