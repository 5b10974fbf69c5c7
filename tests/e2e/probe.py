"""Asks the webserver without a pause, from inside the cluster, and counts what went wrong, until /tmp/over is there.

Runs in a pod of the control plane's namespace. Each request has a connection of its own, as that of a new visitor has.
"""

import json
import time
import urllib.request
from pathlib import Path

URL = "http://platform-webserver.dagster.svc/graphql"
QUERY = json.dumps({"query": "{ workspaceOrError { ... on Workspace { locationEntries { name loadStatus } } } }"})


def ask() -> str | None:
    """Return what was wrong with an answer, None when nothing was."""
    request = urllib.request.Request(URL, QUERY.encode(), {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=10) as response:
            answer = json.load(response)
    except OSError as error:
        return str(error)
    return None if answer.get("data") else json.dumps(answer)


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
