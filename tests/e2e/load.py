"""Asks the webserver without a pause, from inside the cluster, and counts what went wrong, until /tmp/over is there.

Runs in a pod of the control plane's namespace. Each request has a connection of its own, as that of a new visitor has.
"""

import json
import time
import urllib.request
from pathlib import Path
from typing import Any

URL = "http://platform-webserver.dagster.svc/graphql"
QUERY = """
{ workspaceOrError { __typename ... on PythonError { message } ... on Workspace { locationEntries {
  name loadStatus locationOrLoadError { __typename ... on PythonError { message } } } } } }
"""


def ask() -> str | None:
    """Return what was wrong with an answer, None when nothing was."""
    body = json.dumps({"query": QUERY}).encode()
    request = urllib.request.Request(URL, body, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=10) as response:
            answer = json.load(response)
    except (OSError, ValueError) as error:
        return repr(error)
    return None if serves(answer) else json.dumps(answer)


def serves(answer: dict[str, Any]) -> bool:
    """Say whether an answer has locations, and each is there to work with."""
    entries = ((answer.get("data") or {}).get("workspaceOrError") or {}).get("locationEntries")
    loaded = {"loadStatus": "LOADED", "locationOrLoadError": {"__typename": "RepositoryLocation"}}
    return not answer.get("errors") and bool(entries) and all(entry | loaded == entry for entry in entries)


def main() -> None:
    """Ask until it is over, and print the counts."""
    requests, failures = 0, []
    while not Path("/tmp/over").exists():
        requests += 1
        if failure := ask():
            failures.append(f"{time.strftime('%X')} {failure}")
        time.sleep(0.05)
    print(json.dumps({"requests": requests, "failed": len(failures), "failures": failures[:5]}))


if __name__ == "__main__":
    main()
