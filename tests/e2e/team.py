"""A team that exists for the tests: its runs sleep and eat memory as they are told, and its schedule ticks."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml
from tenancy.register import Location

from .cluster import ROOT, helm, wait_for
from .platform import LOCATIONS_LOADED_SECONDS, Release, bring_secrets, locations

TEAM = "probe"
LOCATION = Location(TEAM, "runs")
NAME = LOCATION.dagster_name
BODY: dict[str, Any] = {
    "description": "Runs for the tests",
    "isolation": "shared",
    "groups": {"acme-everyone": "viewer"},
    "quota": {"cpu": "1", "memory": "4Gi", "concurrent_runs": 3},
    "contact": {"alerts": "#none", "email": "none@acme.example"},
    "locations": {"runs": {}},
}


@contextmanager
def with_team(release: Release, *, team: str = TEAM, body: dict[str, Any] | None = None) -> Iterator[Release]:
    """Yield the release with one team more; nothing is installed."""
    content = yaml.safe_load((ROOT / "tenants.yaml").read_text())
    content["teams"][team] = body or BODY
    images = {**release.images["locations"], NAME: release.images["probe"]}
    with TemporaryDirectory() as directory:
        tenants = Path(directory) / "tenants.yaml"
        tenants.write_text(yaml.safe_dump(content, sort_keys=False))
        yield replace(
            release,
            tenants=tenants,
            images={**release.images, "locations": images},
            extra={"locations": {NAME: {"variables": {}}}},
        )


@contextmanager
def installed(release: Release) -> Iterator[Release]:
    """Add the team and its location, and take both away in the end."""
    with with_team(release) as grown:
        grown.upgrade()
        bring_secrets(TEAM)
        grown.upgrade_location(LOCATION)
        wait_for(
            "the new location to be loaded by itself",
            lambda: locations().get(NAME) == "LOADED",
            seconds=LOCATIONS_LOADED_SECONDS,
        )
        yield grown
    helm("uninstall", NAME, "-n", TEAM, "--wait")
    release.upgrade()
