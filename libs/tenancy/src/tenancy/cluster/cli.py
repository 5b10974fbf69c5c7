"""The program of the control plane: `python -m tenancy.cluster COMMAND`.

Everything that takes long to import is imported by the command that needs it.
"""

import logging
import os
import sys
from collections.abc import Generator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path

import click

from tenancy.cluster import environment, log
from tenancy.cluster import passwords as passwords_module
from tenancy.cluster.errors import ControlPlaneError

workspace_option = click.option(
    "--workspace",
    type=click.Path(path_type=Path),
    required=True,
    help="The workspace file; its directory is a mounted ConfigMap.",
)
PORT = click.IntRange(1, 65535)
SECONDS = click.FloatRange(min=0)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
def main() -> None:
    """Run one part of the platform on a cluster.

    The database: DATABASE_HOST, DATABASE_PORT, DATABASE_SSLMODE, DATABASE_USERNAME, DATABASE_PASSWORD. The instance:
    DAGSTER_HOME, the directory with dagster.yaml.
    """


@main.command()
@workspace_option
@click.option("--port", type=PORT, default=3000, help="On all interfaces.")
@click.option("--path-prefix", default="", help="Path under which the UI is reached, as in /dagster.")
@click.option(
    "--module", default="tenancy.cluster.webserver", help="Module whose run(workspace, port, path_prefix) serves."
)
def webserver(workspace: Path, port: int, path_prefix: str, module: str) -> None:
    """Serve the UI and GraphQL, following the workspace.

    GET /server_info answers as soon as it serves; after SIGTERM it finishes what has begun, for at most 20 s.
    """
    with _messages_not_tracebacks():
        environment.require(os.environ, ["DAGSTER_HOME", *environment.SERVER, *environment.LOGIN])
        from tenancy.cluster.connecting import wait_for_instance  # noqa: PLC0415

        wait_for_instance(environment.server(os.environ), environment.login(os.environ))
        try:
            run = import_module(module).run
        except (ImportError, AttributeError) as error:
            raise ControlPlaneError(f"--module {module}: {error}") from error
        run(workspace, port, path_prefix)


@main.command()
@workspace_option
@click.option("--health-port", type=PORT, default=8080, help="Where /healthz and /readyz are answered.")
@click.option(
    "--stale-seconds",
    type=SECONDS,
    default=600,
    help="A part of the daemon that gives no sign of life for so long counts as hanging.",
)
@click.option("--grace-seconds", type=SECONDS, default=45, help="After SIGTERM, what has not ended by then is cut off.")
def daemon(workspace: Path, health_port: int, stale_seconds: float, grace_seconds: float) -> None:
    """Run the daemon, following the workspace: the only one of its database, as long as it holds a lock in it.

    GET /healthz is 200 while it waits for the lock, and while every part of it gives signs of life; 503 otherwise: a
    liveness probe. GET /readyz is 200 when it holds the lock and every part has given a sign of life since: a
    readiness probe.
    """
    with _messages_not_tracebacks():
        environment.require(os.environ, ["DAGSTER_HOME", *environment.SERVER, *environment.LOGIN])
        from tenancy.cluster.daemon import run  # noqa: PLC0415

        run(
            workspace,
            environment.server(os.environ),
            environment.login(os.environ),
            health_port=health_port,
            stale_seconds=stale_seconds,
            grace_seconds=grace_seconds,
        )


@main.command()
@click.option(
    "--passwords",
    type=click.Path(path_type=Path),
    required=True,
    help="Directory with a file for each team's role, named as the role, that holds its password. "
    "With no file in it, the teams are left as they are.",
)
@click.option(
    "--owner",
    metavar="NAME",
    required=True,
    help="Control plane whose server this must be, or becomes when it is nobody's: environment/namespace/release.",
)
@click.option(
    "--teams",
    metavar="ROLES",
    help="Roles of all teams that there are, as in weather,night_shift: each must have a password, and so must role "
    "dagster. Without it, nobody is missing.",
)
@click.option("--lock-out-others", is_flag=True, help="Teams that are not among --teams may log in no more.")
@click.option(
    "--secrets",
    nargs=2,
    metavar="DAGSTER TEAMS",
    default=("<release>-database", "<release>-team-databases"),
    help="Secrets that the passwords come from, for messages.",
)
@click.option(
    "--keep-newer", is_flag=True, help="Leave a schema alone that is newer than this image, as after a rollback."
)
@click.option("--seconds", type=SECONDS, default=60, help="How long to try while the database does not answer.")
def migrate(
    passwords: Path,
    owner: str,
    teams: str | None,
    secrets: tuple[str, str],
    *,
    lock_out_others: bool,
    keep_newer: bool,
    seconds: float,
) -> None:
    """Make or upgrade databases, roles, schemas and rights, Dagster's tables and every team's ledger.

    Needs DATABASE_ADMIN_USERNAME and DATABASE_ADMIN_PASSWORD: a superuser, or a login with CREATEROLE and CREATEDB.
    Without DATABASE_PASSWORD the role dagster gets no new password. Can be run again at any time, also twice at once.
    """
    if lock_out_others and teams is None:
        raise click.UsageError("--lock-out-others: give --teams too, that says who is no other")
    with _messages_not_tracebacks():
        environment.require(os.environ, [*environment.SERVER, *environment.ADMIN])
        server, admin = environment.server(os.environ), environment.login(os.environ, environment.ADMIN)
        of_teams, password = passwords_module.read(passwords), os.environ.get("DATABASE_PASSWORD") or None
        expected = [team for team in (teams or "").split(",") if team]
        if teams is not None:
            passwords_module.refuse_missing(expected, of_teams, password, secrets)
        os.environ["TQDM_DISABLE"] = "1"  # Dagster draws bars of progress
        from tenancy.cluster.migration import migrate as run  # noqa: PLC0415

        run(
            server,
            admin,
            of_teams,
            password,
            owner=owner,
            teams=expected if lock_out_others else None,
            keep_newer=keep_newer,
            seconds=seconds,
        )
        click.echo("the database is as this image wants it")


@main.command()
@click.option("--seconds", type=SECONDS, default=600, help="How long to wait.")
@click.option("--migration", default="", help="What `kubectl logs` finds the migration by.")
def wait(seconds: float, migration: str) -> None:
    """Wait until the instance's database is as this image wants it, or newer."""
    with _messages_not_tracebacks():
        from tenancy.cluster import waiting  # noqa: PLC0415

        server, login = environment.server(os.environ), environment.login(os.environ)
        waiting.wait(server, login, seconds=seconds, migration=migration)


@main.command()
@workspace_option
@click.option("--webserver", required=True, help="URL of the webserver, with its path prefix.")
@click.option("--seconds", type=SECONDS, default=300, help="How long to ask.")
def check(workspace: Path, webserver: str, seconds: float) -> None:
    """Ask the webserver until every location of the workspace is loaded and all daemons are healthy."""
    with _messages_not_tracebacks():
        from tenancy.cluster.check import check as run  # noqa: PLC0415

        count = run(workspace, webserver, seconds=seconds)
        click.echo(f"all {count} locations are loaded, and all daemons are healthy")


@contextmanager
def _messages_not_tracebacks() -> Generator[None]:
    log.configure()
    try:
        yield
    except ControlPlaneError as error:
        click.echo(str(error), err=True)
        sys.exit(1)
    except Exception:
        # What nobody foresaw keeps its traceback, as one record.
        logging.getLogger("tenancy.cluster").exception("this should not happen")
        sys.exit(1)
