"""Object stores to test against: in memory, on disk, and two servers that speak S3 over the wire."""

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import httpx
import obstore
import pytest
from obstore.store import LocalStore, MemoryStore, ObjectStore, S3Store
from sensor_assets import ObjectSource
from sensor_assets._sources import object_places
from sensor_assets.ledger import PostgresLedger

from .scanning import NOW, Scanner

KEY, SECRET = "tester", "tester-secret"

KINDS = ("memory", "directory", "s3", "s3 through obstore", "versitygw")


@dataclass(frozen=True)
class Place:
    """Where objects lie: the URL that a source is told, and a store to put them there."""

    kind: str
    url: str
    store: ObjectStore

    @property
    def is_s3(self) -> bool:
        return self.url.startswith("s3:")

    def put(self, key: str, body: bytes = b"") -> None:
        obstore.put(self.store, key, body)

    def delete(self, key: str) -> None:
        obstore.delete(self.store, key)


def free_port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def serving(command: list[str], url: str, **environment: str) -> Generator[None]:
    """Run a server in a process of its own until the block ends."""
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env={**os.environ, **environment}
    )
    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                httpx.get(url)
                break
            except httpx.TransportError:
                assert process.poll() is None, f"{command[0]} ended"
                assert time.monotonic() < deadline, f"{command[0]} does not answer"
                time.sleep(0.1)
        yield
    finally:
        process.terminate()
        process.wait()


@contextmanager
def moto_server() -> Generator[str]:
    """Run moto's server; yields its URL."""
    url = f"http://127.0.0.1:{(port := free_port())}"
    with serving([sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)], url):
        yield url


@contextmanager
def versitygw(home: Path) -> Generator[str]:
    """Run versitygw over a folder `data` below `home`; yields its URL. The test is skipped where there is none."""
    program = shutil.which("versitygw")
    if program is None:
        pytest.skip("versitygw is not on PATH")
    for name in ("data", "versions"):
        (home / name).mkdir(parents=True, exist_ok=True)
    url = f"http://127.0.0.1:{(port := free_port())}"
    backend = ["posix", "--versioning-dir", str(home / "versions"), str(home / "data")]
    command = [program, "--port", f"127.0.0.1:{port}", "--keep-alive", "-q", *backend]
    with serving(command, url, ROOT_ACCESS_KEY=KEY, ROOT_SECRET_KEY=SECRET):
        yield url


def s3_environment(monkeypatch: pytest.MonkeyPatch, endpoint: str) -> None:
    """Let the process find a server and the keys to it, and nothing of the machine that it runs on."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    monkeypatch.setenv("AWS_ALLOW_HTTP", "true")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)


def client(service: str) -> Any:
    """Return a boto3 client of the server that the environment names."""
    return boto3.client(service)  # pyright: ignore[reportUnknownMemberType, reportCallIssue, reportArgumentType, reportUnknownVariableType]


def placed(kind: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Place:
    """Return an empty place of a kind."""
    if kind == "memory":
        store = MemoryStore()
        monkeypatch.setattr(object_places, "open_store", lambda url: store)
        return Place(kind, "memory:///landing", store)
    if kind == "directory":
        directory: Path = request.getfixturevalue("tmp_path") / "landing"
        directory.mkdir()
        return Place(kind, f"file://{directory}", LocalStore(directory))
    request.getfixturevalue("s3" if kind.startswith("s3") else "versity")
    if kind == "s3 through obstore":
        monkeypatch.setattr(object_places, "speaks_s3", lambda _: False)
    return Place(kind, "s3://bucket/landing", S3Store("bucket", prefix="landing"))


def scanner(ledger: PostgresLedger, place: Place | str, **source: Any) -> Scanner:
    url = place if isinstance(place, str) else place.url
    made = Scanner(ledger, ObjectSource("objects", url=url, **source))
    made.now = NOW
    return made


def lists(scanner: Scanner, *, pages: int | None = None) -> tuple[int, int]:
    """Scan, and return the numbers of LIST calls and of new arrivals."""
    client: Any = scanner.client
    calls = client.lister.calls
    new = scanner.scan(pages=pages)
    return client.lister.calls - calls, new
