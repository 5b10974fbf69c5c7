"""The command lines of the platform's processes."""

import sys
from collections.abc import Mapping
from pathlib import Path

from tenancy.local import readiness
from tenancy.local.environment import inherited
from tenancy.local.instance import Instance
from tenancy.local.layout import Layout
from tenancy.local.ports import HOST
from tenancy.local.processes import Service
from tenancy.local.setup import python_of
from tenancy.register import Location

DAEMON_VARIABLES: Mapping[str, str] = {
    "DAGSTER_POSTGRES_POOL": "10",  # its sensors have eight threads; every other process keeps two connections
    # Seconds that automation conditions and backfills leave to events that are being stored when they set their
    # cursor. Without them an update that comes at that moment is never looked at.
    "DAGSTER_AUTOMATION_TICK_SETTLE_SECONDS": "1",
    "ASSET_BACKFILL_CURSOR_DELAY_TIME": "1",
}


def code_server(location: Location, layout: Layout, variables: Mapping[str, str]) -> Service:
    """Return a location's code server (`dagster api grpc`: `code-server start` takes a process more).

    It does not work in the location's folder: there Dagster would read the `.env` that is for `dg dev`, and let it win
    over the variables given here, which may be of another state directory.
    """
    name, directory = location.dagster_name, layout.root / location.directory
    socket = layout.socket(name)
    command = [str(python_of(directory)), "-m", "dagster", "api", "grpc", "--socket", str(socket)]
    command += ["--module-name", f"{location.package}.definitions", "--location-name", name]
    return Service(
        name=name,
        command=command,
        environment=inherited(layout.dagster_home) | dict(variables),
        directory=layout.state,
        log=layout.log(name),
        is_ready=readiness.code_server(socket),
        essential=False,
        socket=socket,
    )


def webserver(layout: Layout, port: int) -> Service:
    """Return the webserver."""
    command = [*_script("dagster-webserver"), "--host", HOST, "--port", str(port)]
    return Service(
        name="webserver",
        command=[*command, "--workspace", str(layout.workspace)],
        environment=inherited(layout.dagster_home),
        directory=layout.root,
        log=layout.log("webserver"),
        is_ready=readiness.web(port, "/server_info"),
    )


def daemon(layout: Layout, instance: Instance) -> Service:
    """Return the daemon; it is ready when each of its threads has given a sign of life."""
    return Service(
        name="daemon",
        command=[*_script("dagster-daemon"), "run", "--workspace", str(layout.workspace)],
        environment={**inherited(layout.dagster_home), **DAEMON_VARIABLES},
        directory=layout.root,
        log=layout.log("daemon"),
        is_ready=readiness.daemon(instance.heartbeats),
    )


def feeds(layout: Layout, database_url: str, port: int, days: int, seconds_per_day: float) -> Service:
    """Return the feeds that play real data into the outside systems; 0 seconds per day is full speed."""
    command = [sys.executable, "-m", "demo.feeds", "--state", str(layout.state), "--database-url", database_url]
    command += ["--port", str(port), "--days", str(days), "--speed", str(seconds_per_day)]
    return Service(
        name="feeds",
        command=command,
        environment=inherited(layout.dagster_home),
        directory=layout.root,
        log=layout.log("feeds"),
        is_ready=readiness.web(port, "/"),
    )


def _script(name: str) -> list[str]:
    """Return a command of this environment, run by its interpreter: its path may be too long for a shebang."""
    return [sys.executable, str(Path(sys.executable).with_name(name))]
