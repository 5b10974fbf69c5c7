"""The commands as a page of documentation: ``python -m sensor_assets.cli.reference docs/reference/cli.md``."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from sensor_assets.cli.main import HELP_OPTIONS, sensor_assets

WIDTH = 80

_HEAD = """\
<!-- Made by `python -m sensor_assets.cli.reference docs/reference/cli.md`; a test compares it with `--help`. -->
# `sensor-assets`

What each command prints with `--help`. How they are used: [operate the ledger](../how-to/operate-the-ledger.md).

| exit code | meaning |
|---|---|
| 0 | done |
| 1 | the ledger cannot be used: not reachable, not migrated, or busy |
| 2 | wrong usage, or a name that the ledger does not hold |
| 3 | nothing matched, so nothing was shown or changed |

Errors are one line on the standard error output. With `--json` an empty list is no error, and times are ISO 8601 in
UTC. Tables are as wide as the terminal, or 80 columns.
"""


def reference() -> str:
    """Return the page."""
    return "\n".join([_HEAD, *_sections(sensor_assets, None, "sensor-assets")])


def _sections(command: click.Command, parent: click.Context | None, name: str) -> Iterator[str]:
    settings: dict[str, Any] = {"help_option_names": HELP_OPTIONS, "terminal_width": WIDTH, "max_content_width": WIDTH}
    context = click.Context(command, parent=parent, info_name=name, **settings)
    if parent is not None:
        yield f"## `{context.command_path}`\n"
    yield f"```text\n{command.get_help(context)}\n```\n"
    if isinstance(command, click.Group):
        for each in command.list_commands(context):
            yield from _sections(command.commands[each], context, each)


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(reference())
