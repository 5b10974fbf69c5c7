"""Leave nothing behind when the launcher is killed.

Run as a script (`python -I -S guard.py FD`), never imported, in a session of its own. FD is the reading end of a pipe
whose writing end only the launcher holds (and, for a moment, a child that announces itself; see `child.py`). Each line
is "KIND pid": a process group to end, "postgres pid" for the server, "gone pid" for one that has ended. "done", or the
end of the pipe when the launcher was killed, has the guardian end whatever is not gone by then.
"""

import os
import signal
import sys
import time

POSTGRES_SECONDS = 1.0
"""How long Postgres may take for an orderly stop: nothing is to be left 2 s after the launcher was killed."""


def _signal(group: int, number: int) -> bool:
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def _clear_up(groups: dict[int, str]) -> None:
    for group, kind in groups.items():
        _signal(group, signal.SIGINT if kind == "postgres" else signal.SIGKILL)
    servers = [group for group, kind in groups.items() if kind == "postgres"]
    deadline = time.monotonic() + POSTGRES_SECONDS
    while time.monotonic() < deadline and any(_signal(group, 0) for group in servers):
        time.sleep(0.02)
    for group in servers:
        _signal(group, signal.SIGKILL)


def main(descriptor: int) -> None:
    """Read what the launcher says until it is done or gone, then clear up."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # it ends with its launcher, not before
    groups: dict[int, str] = {}
    with os.fdopen(descriptor) as lines:
        for line in lines:
            kind, _, pid = line.strip().partition(" ")
            if kind == "done":
                break
            if kind == "gone":
                groups.pop(int(pid), None)
            elif pid:
                groups[int(pid)] = kind
    _clear_up(groups)


if __name__ == "__main__":
    main(int(sys.argv[1]))
