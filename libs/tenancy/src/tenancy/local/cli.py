"""The commands `tenancy up`, `tenancy demo` and `tenancy setup`: the local platform."""

import os
import sys
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path

import click

from tenancy import register
from tenancy.document import InvalidFileError
from tenancy.local.errors import LocalPlatformError
from tenancy.register import Location
from tenancy.signals import ending_signals_interrupt

WEB_PORT = 3000
PORT = click.IntRange(1, 65535)
UP_DAYS = 365
UP_SECONDS_PER_DAY = 20.0
DEMO_DAYS = 14
DEMO_MINUTES = 15.0

only_option = click.option(
    "--only",
    envvar="ONLY",
    default="",
    metavar="NAMES",
    help="Start only these locations, as in fleet-aircraft,weather-alerts.",
)


@click.command()
@click.pass_obj
@only_option
def setup(root: Path, only: str) -> None:
    """Make the Python environments of the code locations."""
    from tenancy.local.setup import set_up  # noqa: PLC0415

    with _messages_not_tracebacks():
        set_up(root.resolve(), _locations(root, only), click.echo)


@click.command()
@click.pass_obj
@only_option
@click.option(
    "--port", envvar="PORT", type=PORT, default=WEB_PORT, show_default=True, help="Port of the web interface."
)
@click.option(
    "--days",
    envvar="DAYS",
    type=click.IntRange(0, 365),
    default=UP_DAYS,
    show_default=True,
    help="Days of 2013 that the feeds play; 0 for none.",
)
@click.option(
    "--speed",
    envvar="SPEED",
    type=click.FloatRange(min=0),
    default=UP_SECONDS_PER_DAY,
    show_default=True,
    help="Seconds that a day takes.",
)
def up(root: Path, only: str, port: int, days: int, speed: float) -> None:
    """Run the platform on this machine until Ctrl-C."""
    from tenancy.local.up import run  # noqa: PLC0415

    root = root.resolve()
    with _messages_not_tracebacks(), ending_signals_interrupt():
        run(root, _locations(root, only), web_port=port, days=days, seconds_per_day=speed)


@click.command()
@click.pass_obj
@only_option
@click.option("--port", envvar="PORT", type=PORT, help="Port of the web interface. Default: 3000 or any free one.")
@click.option(
    "--days",
    envvar="DAYS",
    type=click.IntRange(1, 365),
    default=DEMO_DAYS,
    show_default=True,
    help="Days of 2013 that are played.",
)
@click.option("--chaos/--no-chaos", envvar="CHAOS", help="Kill the daemon, a code server and Postgres in the middle.")
@click.option("--seed", envvar="SEED", type=int, help="Repeat the chaos of an earlier run.")
@click.option(
    "--minutes",
    envvar="MINUTES",
    type=click.FloatRange(min=0),
    default=DEMO_MINUTES,
    show_default=True,
    help="Give up after so long.",
)
def demo(root: Path, only: str, port: int | None, days: int, *, chaos: bool, seed: int | None, minutes: float) -> None:
    """Play some days at full speed and compare every item with what the assets hold."""
    from tenancy.local.demo import Demo  # noqa: PLC0415

    root = root.resolve()
    with _messages_not_tracebacks(), ending_signals_interrupt():
        play = Demo(root, _locations(root, only), days=days, chaos_seed=_chaos_seed(seed, chaos=chaos), minutes=minutes)
        sys.exit(play.run(port))


def _chaos_seed(seed: int | None, *, chaos: bool) -> int | None:
    if not chaos:
        return None
    return seed if seed is not None else int.from_bytes(os.urandom(3), "big")


def _locations(root: Path, only: str) -> Sequence[Location]:
    """Return the locations to start; raises LocalPlatformError for a name that the register does not know."""
    locations = register.load(root / "tenants.yaml").locations
    wanted = [name.strip() for name in only.split(",") if name.strip()]
    known = [location.dagster_name for location in locations]
    unknown = [name for name in wanted if name not in known]
    if unknown:
        raise LocalPlatformError(f"ONLY names {', '.join(unknown)}, but the register has: {', '.join(known)}")
    return [location for location in locations if not wanted or location.dagster_name in wanted]


@contextmanager
def _messages_not_tracebacks() -> Generator[None]:
    """Turn what a person can put right into one message and exit code 1, and Ctrl-C into a quiet end."""
    try:
        yield
    except (LocalPlatformError, InvalidFileError) as error:
        click.echo(f"\n{error}", err=True)
        sys.exit(1)
    except PermissionError as error:
        click.echo(
            f"\n{error.filename} belongs to another user of this machine, who probably started the platform before: "
            "start as that user, or remove the directory .local to begin anew.",
            err=True,
        )
        sys.exit(1)
    except KeyboardInterrupt:
        click.echo("ended; nothing of it is left running", err=True)
        sys.exit(0)
