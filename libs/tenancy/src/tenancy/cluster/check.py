"""Ask the webserver whether every location of the workspace is loaded and every daemon is healthy."""

import json
import time
import urllib.error
import urllib.request
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from tenancy.cluster.errors import ControlPlaneError, one_line

ASK_SECONDS = 10.0
AGAIN_SECONDS = 2.0

QUERY = """
query Check {
  workspaceOrError {
    __typename
    ... on PythonError { message }
    ... on Workspace {
      locationEntries {
        name
        loadStatus
        locationOrLoadError { __typename ... on PythonError { message } }
      }
    }
  }
  instance {
    daemonHealth { allDaemonStatuses { daemonType required healthy lastHeartbeatErrors { message } } }
  }
}
"""


def locations(workspace: Path) -> list[str]:
    """Return the names of the locations that a workspace file names.

    Raises:
        ControlPlaneError: the file cannot be read.
    """
    try:
        content: Any = yaml.safe_load(workspace.read_text(encoding="utf-8"))
        return [entry["grpc_server"]["location_name"] for entry in content["load_from"]]
    except OSError as error:
        raise ControlPlaneError(f"{workspace} cannot be read: {error.strerror}") from error
    except (yaml.YAMLError, KeyError, TypeError) as error:
        raise ControlPlaneError(f"{workspace} is no workspace of code servers: {one_line(error)}") from error


def problems(expected: Iterable[str], answer: Mapping[str, Any]) -> list[str]:
    """Return what is not as it should be in the webserver's answer, a line each."""
    workspace = answer["workspaceOrError"]
    if workspace["__typename"] != "Workspace":
        return [f"workspace: {one_line(workspace.get('message', workspace['__typename']))}"]
    entries = {entry["name"]: entry for entry in workspace["locationEntries"]}
    of_locations = [(name, _problem(entries.get(name))) for name in expected]
    daemons = answer["instance"]["daemonHealth"]["allDaemonStatuses"]
    ill = [status for status in daemons if status["required"] and not status["healthy"]]
    return [f"location {name}: {problem}" for name, problem in of_locations if problem] + [
        f"daemon {status['daemonType']}: {_said(status['lastHeartbeatErrors'])}" for status in ill
    ]


def _problem(entry: Mapping[str, Any] | None) -> str | None:
    if entry is None:
        return "is not in the webserver's workspace"
    if entry["loadStatus"] != "LOADED":
        return f"is {entry['loadStatus']}"
    loaded = entry["locationOrLoadError"]
    if not loaded or loaded["__typename"] != "RepositoryLocation":
        return one_line((loaded or {}).get("message", "is not loaded"))
    return None


def _said(errors: Iterable[Mapping[str, Any]] | None) -> str:
    return "; ".join(one_line(error["message"]) for error in errors or ()) or "has given no sign of life lately"


def check(workspace: Path, webserver: str, *, seconds: float) -> int:
    """Ask until all is well; returns the number of locations.

    Args:
        workspace: the workspace file.
        webserver: URL of the webserver, with its path prefix.
        seconds: how long to ask.

    Raises:
        ControlPlaneError: what is not well after that time, a line each.
    """
    deadline = time.monotonic() + seconds
    expected = locations(workspace)
    while True:
        try:
            found = problems(expected, ask(webserver))
        except ControlPlaneError as error:
            found = [str(error)]
        if not found:
            return len(expected)
        if time.monotonic() > deadline:
            raise ControlPlaneError("\n".join(found))
        time.sleep(AGAIN_SECONDS)


def ask(webserver: str) -> Mapping[str, Any]:
    """Return the webserver's answer to the query.

    Raises:
        ControlPlaneError: there is none.
    """
    url = f"{webserver.rstrip('/')}/graphql"
    request = urllib.request.Request(  # noqa: S310 - the URL is the operator's
        url, data=json.dumps({"query": QUERY}).encode(), headers={"Content-Type": "application/json"}
    )
    try:
        with urllib.request.urlopen(request, timeout=ASK_SECONDS) as response:  # noqa: S310
            answer: Any = json.load(response)
        if answer.get("errors"):
            raise ControlPlaneError(f"webserver {url}: {one_line(answer['errors'][0].get('message'))}")
        return answer["data"]
    except urllib.error.HTTPError as error:
        raise ControlPlaneError(f"webserver {url}: answers {error.code} {error.reason}") from error
    except (OSError, ValueError, KeyError, AttributeError) as error:
        raise ControlPlaneError(f"webserver {url}: does not answer as a webserver of Dagster: {error}") from error
