"""The tests on a cluster: `make e2e`, on the current kubeconfig context."""

import time
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
import yaml

from .cluster import CONTROL_PLANE, ROOT, forwarded, wait_for
from .platform import (
    LOCATIONS_LOADED_SECONDS,
    STORE_PASSWORD,
    STORE_USER,
    Release,
    bring_secrets,
    create_namespace,
    locations,
    start_object_store,
)
from .team import Newcomer, installed

IMAGES = (ROOT / ".local/images.yaml", ROOT / ".local/e2e/images.yaml")


@pytest.fixture(scope="session")
def images() -> dict[str, Any]:
    """Return what `make images` has built, and what only the tests need: "probe", "postgres", "object-store"."""
    found: dict[str, Any] = {}
    for path in IMAGES:
        assert path.exists(), f"{path} is missing: `make e2e` builds all images"
        found |= yaml.safe_load(path.read_text())["images"]
    return found


@pytest.fixture(scope="session")
def s3(images: dict[str, Any]) -> Iterator[Any]:
    """Return a client of the cluster's object store."""
    start_object_store(images["object-store"])
    with forwarded("object-store", "service/object-store", 7070) as port:
        client = boto3.client(
            "s3",
            endpoint_url=f"http://127.0.0.1:{port}",
            aws_access_key_id=STORE_USER,
            aws_secret_access_key=STORE_PASSWORD,
            region_name="us-east-1",
        )
        existing = {bucket["Name"] for bucket in client.list_buckets()["Buckets"]}
        for bucket in {"landing", "lake", "logs"} - existing:
            client.create_bucket(Bucket=bucket)
        yield client


@pytest.fixture(scope="session")
def release(images: dict[str, Any], s3: Any) -> Release:
    """Return the platform of the register as it is, installed once for all tests."""
    release = Release(images)
    began = time.monotonic()
    create_namespace(CONTROL_PLANE)
    bring_secrets(CONTROL_PLANE)
    release.upgrade()
    bring_secrets(*release.register.teams)
    for location in release.register.locations:
        release.upgrade_location(location)
    wait_for(
        "all locations to be loaded",
        lambda: set(locations().values()) == {"LOADED"},
        seconds=LOCATIONS_LOADED_SECONDS,
    )
    print(f"from an empty cluster to all locations loaded: {time.monotonic() - began:.0f} s")
    return release


@pytest.fixture(scope="session")
def newcomer(release: Release) -> Iterator[Newcomer]:
    """Return the tests' own team, installed once; test_7_uninstall takes it away."""
    with installed(release) as newcomer:
        yield newcomer


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give pods the time that they take: the setup of the first test installs everything."""
    for item in items:
        item.add_marker(pytest.mark.timeout(1200))
