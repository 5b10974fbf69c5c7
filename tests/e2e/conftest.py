"""The tests on a cluster: `make e2e`, on the current kubeconfig context.

The files run in the order of their numbers, on one installation, as making it takes longer than most tests: the first
sees it new, the second needs a store that is empty, from the fourth on there is a team more, the fifth exchanges the
images, the last takes all of it away. Each test can be chosen alone: fixtures bring what it needs.

What a failure leaves can be looked at; the next run removes it before it begins.
"""

import time
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
import yaml

from .claim import claim, remove
from .cluster import CONTROL_PLANE, ROOT, forwarded, wait_for
from .platform import (
    LOCATIONS_LOADED_SECONDS,
    OBJECT_STORE,
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
    """Return what `make images` has built, and what only the tests need: "probe", "next-platform" and its like.

    "postgres" and "object-store" are there when they have been asked for, with E2E_STAND_INS=1.
    """
    found: dict[str, Any] = {}
    for path in IMAGES:
        assert path.exists(), f"{path} is missing: `make e2e` builds all images"
        found |= yaml.safe_load(path.read_text())["images"]
    return found


@pytest.fixture(scope="session")
def claimed(request: pytest.FixtureRequest) -> Iterator[None]:
    """Have the cluster for the tests alone, without what an earlier run has left."""
    claim(CONTROL_PLANE, OBJECT_STORE)
    remove()
    yield
    if not request.session.testsfailed:
        remove()


@pytest.fixture(scope="session")
def s3(images: dict[str, Any], claimed: None) -> Iterator[Any]:
    """Return a client of the cluster's object store."""
    start_object_store(images.get("object-store"))
    with forwarded(OBJECT_STORE, f"service/{OBJECT_STORE}", 7070) as port:
        client = boto3.client(
            "s3",
            endpoint_url=f"http://127.0.0.1:{port}",
            aws_access_key_id=STORE_USER,
            aws_secret_access_key=STORE_PASSWORD,
            region_name="us-east-1",
        )
        for bucket in ("landing", "lake", "logs"):
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
