"""Whether a team's quota has room for what runs all the time, and for a run beside it."""

from collections.abc import Iterator, Mapping
from decimal import Decimal

from tenancy.cluster_values import ClusterValues
from tenancy.location_values import LocationOnCluster
from tenancy.quantities import quantity
from tenancy.register import Register


def shortages(register: Register, values: ClusterValues, locations: Mapping[str, LocationOnCluster]) -> Iterator[str]:
    """Yield what quotas lack in an environment, one sentence each.

    A quota must hold the code servers of all locations, one more while a location is upgraded, and one run. With less,
    pods are not made and nothing says why; with just that, runs come one after the other.
    """
    for name, team in register.teams.items():
        own = [locations[full] for each in team.locations if (full := f"{name}-{each}") in locations]
        servers = [each.code_servers.resources or values.code_servers.resources for each in own]
        replicas = [each.code_servers.replicas or values.code_servers.replicas for each in own]
        runs = [each.run_pods.resources or values.run_pods.resources for each in own]
        # As the namespace's ResourceQuota counts: requests of processor, limits of memory.
        for what, kind in (("cpu", "requests"), ("memory", "limits")):
            of_servers = [quantity(getattr(getattr(each, kind), what)) for each in servers]
            of_runs = [quantity(getattr(getattr(each, kind), what)) for each in runs]
            always = sum((count * one for count, one in zip(replicas, of_servers, strict=True)), Decimal())
            needed = always + max(of_servers, default=Decimal()) + max(of_runs, default=Decimal())
            quota = getattr(team.quota, what)
            if needed > quantity(quota):
                yield (
                    f"team {name} has a quota of {what} {quota} in tenants.yaml, too little for {sum(replicas) + 1} "
                    f"code servers (one of them during an upgrade) and a run, which need {_shown(needed, what)}: raise "
                    "it, or lower code_servers.resources or run_pods.resources"
                )


def _shown(amount: Decimal, what: str) -> str:
    return f"{amount.normalize():f}" if what == "cpu" else f"{amount / 2**20:f}Mi"
