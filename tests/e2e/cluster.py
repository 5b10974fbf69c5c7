"""The cluster of the current kubeconfig context, as a person at a terminal uses it: kubectl, helm, and the UI's API."""

import atexit
import json
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import httpx

ROOT = Path(__file__).parents[2]
CONTROL_PLANE = "dagster"

T = TypeVar("T")
Object = dict[str, Any]


class CommandFailedError(Exception):
    """A command ended with an error; the text is what it printed."""


def run(*command: str, stdin: str | None = None, timeout: float = 600) -> str:
    """Run a program in the repository and return its output.

    Raises:
        CommandFailedError: It ended with another code than 0.
    """
    done = subprocess.run(command, cwd=ROOT, input=stdin, capture_output=True, text=True, timeout=timeout, check=False)
    if done.returncode:
        raise CommandFailedError(f"{' '.join(command)}\n{done.stdout}{done.stderr}")
    return done.stdout


def kubectl(*arguments: str, stdin: str | None = None, timeout: float = 600) -> str:
    """Run kubectl."""
    return run("kubectl", *arguments, stdin=stdin, timeout=timeout)


def helm(*arguments: str, timeout: float = 900) -> str:
    """Run helm."""
    return run("helm", *arguments, timeout=timeout)


def apply(*objects: Mapping[str, Any]) -> None:
    """Apply objects."""
    kubectl("apply", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)}))


def objects(kind: str, namespace: str, selector: str = "") -> list[Object]:
    """Return the objects of a kind in a namespace."""
    options = ["-l", selector] if selector else []
    return json.loads(kubectl("get", kind, "-n", namespace, "-o", "json", *options))["items"]


def wait_for(what: str, ask: Callable[[], T], *, seconds: float = 180, every: float = 1.0) -> T:
    """Ask until the answer is true, and return it.

    Raises:
        AssertionError: It was not within that time; with the last answer.
    """
    over = time.monotonic() + seconds
    while not (answer := ask()):
        assert time.monotonic() < over, f"{what}: not within {seconds:.0f} s; the last answer was {answer!r}"
        time.sleep(every)
    return answer


@cache
def _proxy() -> str:
    """Return the URL of the API server as this process may ask it; `kubectl proxy` ends with the tests."""
    process = subprocess.Popen(["kubectl", "proxy", "--port=0"], stdout=subprocess.PIPE, text=True)
    atexit.register(process.terminate)
    assert process.stdout
    return f"http://{process.stdout.readline().split()[-1]}"  # "Starting to serve on 127.0.0.1:34567"


class GraphQLError(Exception):
    """The webserver answered with errors."""


def graphql(query: str, **variables: Any) -> Any:
    """Ask the webserver, through the API server's proxy, which is there wherever the tests run.

    Raises:
        GraphQLError: The answer holds errors.
        httpx.HTTPError: There is no answer.
    """
    path = f"/api/v1/namespaces/{CONTROL_PLANE}/services/platform-webserver:http/proxy/graphql"
    response = httpx.post(_proxy() + path, json={"query": query, "variables": variables}, timeout=60)
    response.raise_for_status()
    answer = response.json()
    if answer.get("errors"):
        raise GraphQLError(json.dumps(answer["errors"], indent=2))
    return answer["data"]


@contextmanager
def forwarded(namespace: str, target: str, port: int) -> Iterator[int]:
    """Forward a free port of this machine to a port of a pod or Service, and yield it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        local: int = free.getsockname()[1]
    command = ["kubectl", "port-forward", "-n", namespace, target, f"{local}:{port}"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for(f"{' '.join(command)} to listen", lambda: _listens(local), seconds=20, every=0.2)
        yield local
    finally:
        process.terminate()
        process.wait()


def _listens(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0
