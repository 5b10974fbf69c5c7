"""What a person gets wrong: one message that names it, and everything goes on as before."""

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from .cluster import CONTROL_PLANE, CommandFailedError, apply, helm, kubectl, objects
from .platform import Release, create_namespace, locations, pods, secret
from .team import with_team

LOCATION = "operations-departures"


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


def test_a_namespace_that_is_somebody_elses_is_not_taken(release: Release) -> None:
    create_namespace("taken")
    message = "namespace taken exists and is not of this release"
    with (
        unchanged(release),
        with_team(release, team="taken") as grown,
        pytest.raises(CommandFailedError, match=message),
    ):
        grown.upgrade()
    kubectl("delete", "namespace", "taken", "--wait=false")


def refused_by_the_migration(release: Release, **database: str) -> str:
    """Upgrade to another database, and return what the hook's log says of it."""
    wrong = {"embedded": {"enabled": False}, "migration_seconds": 60, **database}
    with unchanged(release), pytest.raises(CommandFailedError, match="pre-upgrade hooks failed"):
        replace(release, extra={"database": wrong}).upgrade()
    log = kubectl("logs", "-n", CONTROL_PLANE, "job/platform-migrate")
    assert "Traceback" not in log
    return log


def test_a_secret_that_is_missing_stops_the_upgrade(release: Release) -> None:
    log = refused_by_the_migration(release, host="platform-database.dagster.svc", sslmode="disable")
    assert "DATABASE_ADMIN_USERNAME (the Secret of values key database.admin_secret)" in log


def test_a_database_that_cannot_be_reached_stops_the_upgrade(release: Release) -> None:
    apply(secret("database-admin", CONTROL_PLANE, username="postgres", password="none"))
    log = refused_by_the_migration(release, host="nowhere.invalid")
    kubectl("delete", "secret", "database-admin", "-n", CONTROL_PLANE)
    assert "nowhere.invalid" in log
    assert "database.host" in log


def test_a_digest_that_does_not_exist_is_undone(release: Release) -> None:
    image = release.images["locations"][LOCATION].partition("@")[0] + "@sha256:" + "0" * 64
    wrong = replace(release, images={**release.images, "locations": {**release.images["locations"], LOCATION: image}})
    (location,) = (each for each in release.register.locations if each.dagster_name == LOCATION)
    with unchanged(release), pytest.raises(CommandFailedError, match=f"Deployment/operations/{LOCATION} not ready"):
        wrong.upgrade_location(location, timeout="45s")
    events = [event["message"] for event in objects("events", "operations") if image in event.get("message", "")]
    assert any("not found" in message or "Failed to pull image" in message for message in events), events


def test_a_typo_is_refused_by_name(release: Release) -> None:
    with unchanged(release), pytest.raises(CommandFailedError, match="'replica' not allowed"):
        replace(release, extra={"webserver": {"replica": 2}}).upgrade()


def test_a_namespace_that_the_release_does_not_belong_to_is_refused(release: Release) -> None:
    with pytest.raises(CommandFailedError, match="install it with --namespace operations"):
        helm(
            *("upgrade", "--install", LOCATION, "helm/code-location", "-n", "weather", "--set", f"location={LOCATION}"),
            *(part for path in release.files() for part in ("-f", str(path))),
            *("--set", f"images.platform={release.images['platform']}"),
            *("--set", f"images.locations.{LOCATION}={release.images['locations'][LOCATION]}"),
        )
