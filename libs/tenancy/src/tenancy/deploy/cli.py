"""The command `tenancy deploy`."""

import re
import shlex
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import click

from tenancy import environments, register
from tenancy.deploy.deploying import Cluster, Watch, deploy, helm_version
from tenancy.deploy.errors import DeployError
from tenancy.deploy.releases import planned
from tenancy.document import InvalidFileError
from tenancy.environments import ENVIRONMENTS, EnvironmentOnCluster, values_path
from tenancy.signals import ending_signals_interrupt

ON_CLUSTERS = [name for name in ENVIRONMENTS if name != "local"]
FILE = click.Path(path_type=Path, exists=True, dir_okay=False)


def _duration(context: click.Context, parameter: click.Parameter, value: str) -> str:  # noqa: ARG001
    if not re.fullmatch(r"[1-9][0-9]{0,5}[smh]", value):
        raise click.BadParameter("must be as in 90s, 10m or 1h")
    return value


@click.command("deploy")
@click.pass_obj
@click.argument("environment", type=click.Choice(ON_CLUSTERS))
@click.argument("releases", nargs=-1)
@click.option("--images", type=FILE, help="What runs where. Default: environments/<environment>/images.yaml.")
@click.option("--values", multiple=True, type=FILE, help="Laid over the environment's values; can be repeated.")
@click.option("--context", default="", help="Of the kubeconfig. Default: the current one.")
@click.option("--timeout", default="10m", show_default=True, callback=_duration, help="For each release.")
@click.option(
    "--patience",
    type=click.FloatRange(min=0),
    default=30,
    show_default=True,
    metavar="SECONDS",
    help="How long an image may not be there, a Secret be missing or a container end again and again.",
)
def command(
    root: Path,
    environment: str,
    releases: Sequence[str],
    images: Path | None,
    values: Sequence[Path],
    context: str,
    timeout: str,
    patience: float,
) -> None:
    """Install or upgrade the control plane and all locations with Helm, or the RELEASES that are named.

    A release that does not come up is undone, and why is said: an image that is nowhere, a Secret that is missing, the
    last words of a pod. Then those that are left are deployed, unless it was the control plane.
    """
    file = values_path(root, environment)
    images = images or file.with_name("images.yaml")
    try:
        known = register.load(root / "tenants.yaml")
        found = environments.load(file)
        if not isinstance(found, EnvironmentOnCluster):
            raise DeployError(f"{file} is not of a cluster")
        if not images.is_file():
            raise DeployError(
                f"{images} is missing: it names the image of each release. What `make images` has built stands in "
                ".local/images.yaml: copy it there, or give --images .local/images.yaml"
            )
        plan = planned(root, known, found.control_plane, releases)
        helm = helm_version()
        cluster = Cluster.of(context)
    except (InvalidFileError, DeployError) as error:
        click.echo(str(error), err=True)
        sys.exit(1)
    files = [root / "tenants.yaml", file, images, *values]
    failed: list[str] = []
    click.echo(f"cluster: {cluster.context}")
    try:
        with ending_signals_interrupt():
            for release in plan:
                line = release.command(files, timeout, helm=helm, context=cluster.context)
                click.echo(f"$ {shlex.join(line)}")
                began = time.monotonic()
                try:
                    deploy(Watch(cluster, release, file, images, patience), line)
                except DeployError as error:
                    click.echo(f"{release.name} is not deployed:\n{error}\n", err=True)
                    failed.append(release.name)
                    if release.name == found.control_plane.release:
                        break
                else:
                    click.echo(f"{release.name}: deployed in {time.monotonic() - began:.0f} s")
    except KeyboardInterrupt:
        click.echo("ended; what was not yet deployed is undone", err=True)
        sys.exit(130)
    if failed:
        click.echo(f"not deployed: {', '.join(failed)}", err=True)
        sys.exit(1)
