"""What a person gets wrong: one message that names it, and everything goes on as before."""

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from .cluster import CONTROL_PLANE, CommandFailedError, apply, helm, kubectl, run
from .platform import HERE, LAPTOP, Release, create_namespace, locations, pods, secret
from .team import Newcomer, with_team

LOCATION = "operations-departures"


@pytest.fixture
def grown(newcomer: Newcomer) -> Release:
    """Return what is installed."""
    return newcomer.release


@contextmanager
def unchanged(release: Release) -> Generator[None]:
    """Hold that every pod is the same afterwards, and every location loaded."""
    namespaces = (CONTROL_PLANE, *release.register.teams)
    selector = "app.kubernetes.io/component in (webserver,daemon,database,code-server)"

    def running() -> dict[str, str]:
        return {name: uid for namespace in namespaces for name, uid in pods(namespace, selector).items()}

    before = running()
    yield
    assert running() == before
    assert set(locations().values()) == {"LOADED"}


def test_a_namespace_that_is_somebody_elses_is_not_taken(grown: Release) -> None:
    create_namespace("taken")
    message = "namespace taken exists and is not of this release"
    try:
        with (
            unchanged(grown),
            with_team(grown, team="taken") as larger,
            pytest.raises(CommandFailedError, match=message),
        ):
            larger.upgrade()
    finally:
        kubectl("delete", "namespace", "taken", "--wait=false")


def refused_by_the_migration(release: Release, **database: str) -> str:
    """Upgrade to another database, and return what the hook's log says of it."""
    wrong = {"embedded": {"enabled": False}, "migration_seconds": 60, **database}
    with unchanged(release), pytest.raises(CommandFailedError, match="pre-upgrade hooks failed"):
        replace(release, extra={**(release.extra or {}), "database": wrong}).upgrade()
    log = kubectl("logs", "-n", CONTROL_PLANE, "job/platform-migrate")
    assert "Traceback" not in log
    return log


def test_a_secret_that_is_missing_stops_the_upgrade(grown: Release) -> None:
    log = refused_by_the_migration(grown, host="platform-database.dagster.svc", sslmode="disable")
    assert "DATABASE_ADMIN_USERNAME (the Secret of values key database.admin_secret)" in log


def test_a_database_that_cannot_be_reached_stops_the_upgrade(grown: Release) -> None:
    apply(secret("database-admin", CONTROL_PLANE, username="postgres", password="none"))
    try:
        log = refused_by_the_migration(grown, host="nowhere.invalid")
    finally:
        kubectl("delete", "secret", "database-admin", "-n", CONTROL_PLANE)
    assert "nowhere.invalid" in log
    assert "database.host" in log


def test_a_typo_is_refused_by_name(grown: Release) -> None:
    with unchanged(grown), pytest.raises(CommandFailedError, match="'replica' not allowed"):
        replace(grown, extra={**(grown.extra or {}), "webserver": {"replica": 2}}).upgrade()


def test_a_namespace_that_the_release_does_not_belong_to_is_refused(grown: Release) -> None:
    with pytest.raises(CommandFailedError, match="install it with --namespace operations"):
        helm(
            *("upgrade", "--install", LOCATION, "helm/code-location", "-n", "weather", "--set", f"location={LOCATION}"),
            *(part for path in grown.files() for part in ("-f", str(path))),
            *("--set", f"images.platform={grown.images['platform']}"),
            *("--set", f"images.locations.{LOCATION}={grown.images['locations'][LOCATION]}"),
        )


def deployed(release: Release, directory: Path, over: Mapping[str, Any], *options: str) -> str:
    """Deploy a location as a person does, with values laid over, and return what `tenancy deploy` says of it."""
    images, values = directory / "images.yaml", directory / "over.yaml"
    images.write_text(yaml.safe_dump({"images": {key: release.images[key] for key in ("platform", "locations")}}))
    values.write_text(yaml.safe_dump(dict(over)))
    files = [
        part for path in (LAPTOP / "values.yaml", HERE / "values.yaml", values) for part in ("--values", str(path))
    ]
    return run("tenancy", "deploy", "dev", LOCATION, "--images", str(images), "--patience", "10", *files, *options)


def test_what_is_in_order_is_deployed(grown: Release, tmp_path: Path) -> None:
    with unchanged(grown):
        assert f"{LOCATION}: deployed in " in deployed(grown, tmp_path, {})


def test_a_digest_that_does_not_exist_is_undone_and_named(grown: Release, tmp_path: Path) -> None:
    image = grown.images["locations"][LOCATION].partition("@")[0] + "@sha256:" + "0" * 64
    with unchanged(grown), pytest.raises(CommandFailedError) as failed:
        deployed(grown, tmp_path, {"images": {"locations": {LOCATION: image}}})
    assert f"images.locations.{LOCATION} in " in str(failed.value)
    assert f"{image} cannot be pulled: " in str(failed.value)
    assert "has been rolled back" in str(failed.value)


def test_a_secret_that_a_location_lacks_is_named(grown: Release, tmp_path: Path) -> None:
    wrong = {"variables": {"LAKE_URL": {"secret": {"name": "nowhere", "key": "url"}}}}
    with unchanged(grown), pytest.raises(CommandFailedError, match=r"make the Secret nowhere .*\(LAKE_URL=url\)"):
        deployed(grown, tmp_path, wrong)


def test_a_location_that_does_not_start_says_why(grown: Release, tmp_path: Path) -> None:
    with unchanged(grown), pytest.raises(CommandFailedError) as failed:
        deployed(grown, tmp_path, {"variables": {"FIRST_DAY": "soon"}})
    assert "code-server of pod " in str(failed.value)
    assert "FIRST_DAY" in str(failed.value)


def test_a_pod_that_fits_on_no_node_is_told(grown: Release, tmp_path: Path) -> None:
    most = {"cpu": "3", "memory": "512Mi"}
    wrong = {"code_servers": {"resources": {"requests": most, "limits": most}}}
    with unchanged(grown), pytest.raises(CommandFailedError, match=r"Insufficient cpu|exceeded quota"):
        deployed(grown, tmp_path, wrong, "--timeout", "20s")
