"""Keep a Postgres server until standard input ends, then remove its directory.

    python -I _postgres_keeper.py BINARIES DIRECTORY [UID:GID]

A process of its own, so that a test process that is killed leaves no server behind: the kernel closes the pipe.
"""

import shutil
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

START_SECONDS = 30.0
SETTINGS = {
    "listen_addresses": "",
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "off",
    "shared_buffers": "32MB",
    "max_connections": "60",
    "timezone": "UTC",
}


def main(binaries: Path, directory: Path, account: str) -> str | None:
    """Keep the server; returns what went wrong."""
    other: dict[str, Any] = {}
    if account:
        user, group = map(int, account.split(":"))
        other = {"user": user, "group": group, "extra_groups": []}
        shutil.chown(directory, user)
        binaries = _reachable(binaries, directory)
    data = directory / "data"
    options = ["-D", str(data), "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-locale", "--no-sync"]
    command = [binaries / "initdb", *options]
    made = subprocess.run(command, check=False, cwd=directory, capture_output=True, text=True, **other)
    if made.returncode:
        return made.stderr
    settings = {**SETTINGS, "unix_socket_directories": str(directory)}
    log = (directory / "log").open("wb+")
    server = subprocess.Popen(
        [binaries / "postgres", "-D", data, *(part for item in settings.items() for part in ("-c", "=".join(item)))],
        cwd=directory,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        **other,
    )
    try:
        deadline = time.monotonic() + START_SECONDS
        while not _is_ready(data):
            if server.poll() is not None or time.monotonic() > deadline:
                log.seek(0)
                return log.read().decode(errors="replace")
            time.sleep(0.01)
        print("ready", flush=True)
        sys.stdin.read()
    finally:
        server.send_signal(signal.SIGQUIT)  # there is nothing to save
        server.wait()
    return None


def _reachable(binaries: Path, directory: Path) -> Path:
    """Return the programs where any user may run them: a copy (38 MB) when they are below a closed directory."""
    if all(above.stat().st_mode & stat.S_IXOTH for above in binaries.parents):
        return binaries
    installed, package = binaries.parent, binaries.parent.parent
    for part in (installed, package.with_name(f"{package.name}.libs")):  # as the wheel lays them out
        if part.exists():
            shutil.copytree(part, directory / part.relative_to(package.parent), symlinks=True)
    return directory / binaries.relative_to(package.parent)


def _is_ready(data: Path) -> bool:
    """Read the server's own statement of its state, line 8 of postmaster.pid, as pg_ctl does."""
    try:
        lines = (data / "postmaster.pid").read_text().splitlines()
    except OSError:
        return False
    return [line.strip() for line in lines[7:8]] == ["ready"]


if __name__ == "__main__":
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    place = Path(sys.argv[2])
    try:
        problem = main(Path(sys.argv[1]), place, sys.argv[3])
    except OSError as error:
        problem = str(error)
    finally:
        shutil.rmtree(place, ignore_errors=True)
    if problem:
        print(problem, flush=True)
        sys.exit(1)
