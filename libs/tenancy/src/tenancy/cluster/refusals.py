"""What a code server may say about the Jobs of its runs, and what is refused.

A container context is whatever a team's code reports. Within the team's namespace it may name what it likes: images,
variables, secrets, volumes can only be the team's own. It may not leave that namespace, take another identity, or ask
for what would cost others something: a priority class that evicts them, a node of its choice, another scheduler, a
device or a disk that nobody counts.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tenancy.cluster.places import Place
from tenancy.cluster.resources import beyond, bounds

POD_FIELDS = frozenset(
    {
        "automount_service_account_token",
        "enable_service_links",
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
JOB_FIELDS = frozenset({"active_deadline_seconds", "backoff_limit", "ttl_seconds_after_finished"})
SCHEDULING = ("node_selector", "tolerations")
"""Those of the pod's fields that may only be as the platform has them."""
VOLUMES = frozenset({"config_map", "csi", "downward_api", "empty_dir", "projected", "secret"})
"""Those of Kubernetes' restricted Pod Security without claims, of which the quota allows none; the namespace enforces
both as well, but tells nobody."""
METADATA_FIELDS = frozenset({"annotations", "labels"})


@dataclass(frozen=True)
class Asked:
    """What a code server asks for, keys in snake case as dagster-k8s has them."""

    namespace: str | None = None
    pod: Mapping[str, Any] = field(default_factory=dict[str, Any])
    pod_metadata: Mapping[str, Any] = field(default_factory=dict[str, Any])
    container: Mapping[str, Any] = field(default_factory=dict[str, Any])
    job: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """The object itself beside its metadata and its specification."""
    job_metadata: Mapping[str, Any] = field(default_factory=dict[str, Any])
    job_spec: Mapping[str, Any] = field(default_factory=dict[str, Any])


def refusals(location: str, place: Place, asked: Asked, scheduling: Mapping[str, Any]) -> list[str]:
    """Return a message for everything that a code server asks for and may not have.

    Args:
        location: Dagster name of the location.
        place: where its runs belong.
        asked: what its code server asks for.
        scheduling: the place's, in the words of `asked`.
    """
    found: list[tuple[str, str]] = []
    if asked.namespace not in (None, place.namespace):
        found.append((f"namespace {asked.namespace!r}", f"its runs belong to {place.namespace!r}"))
    account = asked.pod.get("service_account_name")
    if account not in (None, place.service_account):
        found.append((f"service account {account!r}", f"its runs have {place.service_account!r}"))
    found += _not_among("the pod field", asked.pod, POD_FIELDS)
    for name in SCHEDULING:
        if (value := asked.pod.get(name)) and value != scheduling.get(name):
            found.append((f"the pod field {name!r} {value}", f"its runs have {scheduling.get(name) or 'none'}"))
    for volume in asked.pod.get("volumes") or ():
        kinds = {kind: None for kind in volume if kind != "name"}
        found += _not_among(f"the volume {volume.get('name')!r} of kind", kinds, VOLUMES)
    found += _not_among("the field of the Job's specification", asked.job_spec, JOB_FIELDS)
    found += _not_among("the field of the Job", asked.job, ())
    for kind, metadata in (("pod", asked.pod_metadata), ("Job", asked.job_metadata)):
        found += _not_among(f"the field of the {kind}'s metadata", metadata, METADATA_FIELDS)
    found += _too_much(place, asked.container.get("resources") or {})
    ports = [port["host_port"] for port in asked.container.get("ports") or () if port.get("host_port")]
    found += [(f"port {port} of the node", "its runs have none there") for port in ports]
    return [
        f"location {location}: its code server asks for {what}, but {instead}. The platform decides that, from "
        "tenants.yaml and its values: take it out of the container context of the location's runs"
        for what, instead in found
    ]


def _not_among(kind: str, asked: Mapping[str, Any], allowed: Iterable[str]) -> list[tuple[str, str]]:
    may = ", ".join(sorted(allowed)) or "none"
    return [(f"{kind} {name!r}", f"it may set {may} there") for name in sorted(set(asked) - set(allowed))]


def _too_much(place: Place, resources: Mapping[str, Any]) -> list[tuple[str, str]]:
    found = _not_among("the field of its resources", resources, ("limits", "requests"))
    most = bounds(place)
    for kind in ("requests", "limits"):
        amounts = {name: str(amount) for name, amount in (resources.get(kind) or {}).items()}
        others = sorted(set(amounts) - set(most))
        found += [(f"{kind}.{name} {amounts[name]}", f"a run may have {', '.join(most)} only") for name in others]
        try:
            within = {name: amount for name, amount in amounts.items() if name in most}
            found += [
                (f"{kind}.{name} {amount}", f"a run may have {up_to}") for name, amount, up_to in beyond(within, place)
            ]
        except ValueError as error:
            found.append((f"{kind} {amounts}", str(error)))
    return found
