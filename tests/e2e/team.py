"""A team that exists for the tests: its runs sleep and eat memory as they are told, and its schedule ticks."""

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml
from tenancy.register import Location

from .cluster import CONTROL_PLANE, objects, wait_for
from .platform import LOCATIONS_LOADED_SECONDS, Release, bring_secrets, locations

TEAM = "probe"
LOCATION = Location(TEAM, "runs")
NAME = LOCATION.dagster_name
SCHEDULE = "every_minute"
BODY: dict[str, Any] = {
    "description": "Runs for the tests",
    "isolation": "shared",
    "groups": {"acme-everyone": "viewer"},
    "quota": {"cpu": "1", "memory": "4Gi", "concurrent_runs": 3},
    "contact": {"alerts": "#none", "email": "none@acme.example"},
    "locations": {"runs": {}},
}


@contextmanager
def with_team(release: Release, *, team: str = TEAM, body: dict[str, Any] | None = None) -> Generator[Release]:
    """Yield the release with one team more; nothing is installed."""
    content = yaml.safe_load(release.tenants.read_text())
    content["teams"][team] = body or BODY
    name = Location(team, "runs").dagster_name
    images = {**release.images["locations"], name: release.images["probe"]}
    with TemporaryDirectory() as directory:
        tenants = Path(directory) / "tenants.yaml"
        tenants.write_text(yaml.safe_dump(content, sort_keys=False))
        yield replace(
            release,
            tenants=tenants,
            images={**release.images, "locations": images},
            extra={"locations": {**(release.extra or {}).get("locations", {}), name: {"variables": {}}}},
        )


def fingerprints(release: Release) -> dict[str, Any]:
    """Return what may not change for the teams that stay: their objects, and the pods of all."""
    pods = {
        pod["metadata"]["uid"]: [status["restartCount"] for status in pod["status"]["containerStatuses"]]
        for namespace in (CONTROL_PLANE, *release.register.teams)
        for pod in objects("pods", namespace, "app.kubernetes.io/component in (webserver,daemon,database,code-server)")
    }
    kinds = "deployments,services,networkpolicies,resourcequotas,limitranges,roles,rolebindings,secrets,serviceaccounts"
    specs = {
        f"{namespace}/{found['kind']}/{found['metadata']['name']}": {
            part: found.get(part) for part in ("spec", "data", "rules", "roleRef", "subjects")
        }
        | {"labels": found["metadata"].get("labels")}
        for namespace in release.register.teams
        for found in objects(kinds, namespace)
        if not found["metadata"]["name"].startswith("sh.helm.release")
    }
    return {"pods": pods, "specs": specs}


@dataclass(frozen=True)
class Newcomer:
    """The tests' own team, which came while the others worked.

    Args:
        release: with it.
        others_before: fingerprints of the others before it came.
        others_after: and when it was there.
    """

    release: Release
    others_before: dict[str, Any]
    others_after: dict[str, Any]


@contextmanager
def installed(release: Release) -> Generator[Newcomer]:
    """Add the team and its location; they stay."""
    before = fingerprints(release)
    with with_team(release) as grown:
        grown.upgrade()
        bring_secrets(TEAM)
        grown.upgrade_location(LOCATION)
        wait_for(
            "the new location to be loaded by itself",
            lambda: locations().get(NAME) == "LOADED",
            seconds=LOCATIONS_LOADED_SECONDS,
        )
        yield Newcomer(grown, before, fingerprints(release))
