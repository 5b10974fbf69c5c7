"""The command `sensor-assets`."""

import os
import sys
from pathlib import Path

import click

from sensor_assets.cli.again import rebuild, replay, retry
from sensor_assets.cli.connection import Connection
from sensor_assets.cli.explain import explain
from sensor_assets.cli.look import batches, items, status
from sensor_assets.cli.output import NothingMatchedError
from sensor_assets.cli.quarantine import quarantine
from sensor_assets.cli.upkeep import migrate, prune
from sensor_assets.errors import SensorAssetsError, UnknownNameError

FAILED, WRONG, NOTHING = 1, 2, 3
HELP_OPTIONS = ["-h", "--help"]


@click.group(
    context_settings={"help_option_names": HELP_OPTIONS, "max_content_width": 80},
    epilog="Exit codes: 0 done; 1 the ledger cannot be used; 2 wrong usage or an unknown name; 3 nothing matched.",
)
@click.option(
    "--location",
    "folder",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    help="Folder of a code location; its .env says where the ledger is. Default: LEDGER_URL and LEDGER_SCHEMA from the "
    "environment, else the .env of the current folder.",
)
@click.pass_context
def sensor_assets(context: click.Context, folder: Path | None) -> None:
    """Look into a team's ledger and operate it: safe while monitors and runs work."""
    context.obj = Connection(folder)


for command in (status, items, batches, explain, quarantine, replay, rebuild, retry, migrate, prune):
    sensor_assets.add_command(command)


def main() -> int:
    """Run one command; errors are one line. Returns the exit code."""
    try:
        # As the ledger holds a key that is no text, so that it is found.
        arguments = [text.encode("utf-8", "backslashreplace").decode() for text in sys.argv[1:]]
        sensor_assets.main(arguments, prog_name="sensor-assets", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message())
        return WRONG
    except (click.ClickException, click.Abort, SensorAssetsError, NothingMatchedError) as error:
        message = error.format_message() if isinstance(error, click.ClickException) else str(error) or "interrupted"
        click.echo(f"sensor-assets: {' '.join(message.split())}", err=True)
        return _code(error)
    except BrokenPipeError:
        # Whoever read has seen enough; Python would complain about it once more when it flushes at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def _code(error: Exception) -> int:
    match error:
        case click.ClickException() | UnknownNameError():
            return WRONG
        case NothingMatchedError():
            return NOTHING
        case _:
            return FAILED
