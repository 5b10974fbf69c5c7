"""What keeps a pod from coming up, in words that name the key and what to do. No effects."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from tenancy.deploy.pods import Kind, Object, Trouble
from tenancy.deploy.releases import Release

NOT_MADE = {"FailedCreate", "FailedMount"}
"""Reasons of events that say why a pod is not made, or does not get its volumes."""


def explained(trouble: Trouble, release: Release, environment: Path, images: Path, log: Sequence[str] = ()) -> str:
    """Return why a pod does not come up.

    Args:
        trouble: what Kubernetes says.
        release: that the pod is of.
        environment: file with the environment's values.
        images: file with the images.
        log: lines of the container that say why, where it has any.
    """
    match trouble.kind:
        case Kind.IMAGE:
            key = _key_of_image(trouble, release)
            where = environment if key.startswith("database") else images
            reason = trouble.said.rpartition(": ")[2]
            return (
                f"{key} in {where}: {trouble.image} cannot be pulled: {reason}. Is it pushed, to this registry? "
                "May the nodes read there (image_pull_secrets)?"
            )
        case Kind.CONFIGURATION:
            return f"{trouble.said}, in namespace {release.namespace}{_wanted_of_it(trouble)}"
        case Kind.NO_NODE:
            return (
                f"no node for pod {trouble.pod}: {trouble.said} It needs another node, or smaller "
                f"resources.requests or another scheduling in {environment}"
            )
        case Kind.ENDED | Kind.NOT_READY:
            lines = "".join(f"\n    {line}" for line in log)
            return f"{trouble.container} of pod {trouble.pod} {trouble.said}" + (f"; its log:{lines}" * bool(log))


def _key_of_image(trouble: Trouble, release: Release) -> str:
    match trouble.component:
        case "code-server":
            return f"images.locations.{release.name}"
        case "database":
            return "database.embedded.image"
        case _:
            return "images.platform"


def _wanted_of_it(trouble: Trouble) -> str:
    """Return what the container takes from the Secret that is missing, and the command that makes it."""
    for name, wanted in (trouble.secrets or {}).items():
        if f'"{name}"' in trouble.said or f"/{name}" in trouble.said:
            return f": make the Secret {name} with what the pod takes from it ({', '.join(wanted)})"
    return ""


def not_made(events: Iterable[Object], release: Release, since: str) -> list[str]:
    """Return why pods of a release were not made or not started, as events tell it.

    Args:
        events: of the release's namespace.
        release: that is deployed.
        since: time in UTC, as Kubernetes writes it; what was said before is not meant.
    """
    said = {
        event["message"]: None
        for event in events
        if event["reason"] in NOT_MADE
        and event["involvedObject"]["name"].startswith(release.name)
        and (event.get("lastTimestamp") or event.get("eventTime") or "") >= since
    }
    return [f"{_place(message, release)}: {' '.join(message.split())}" for message in said]


def _place(message: str, release: Release) -> str:
    if "exceeded quota" in message:
        return f"quota of team {release.namespace} in tenants.yaml"
    if "violates PodSecurity" in message:
        return f"namespace {release.namespace} takes restricted pods only"
    return f"namespace {release.namespace}"
