"""The command `tenancy`: check what people wrote, and write what follows from it."""

import difflib
import os
import sys
from pathlib import Path
from typing import NoReturn

import click

from tenancy import environments, layout, register, render
from tenancy.deploy.cli import command as deploy
from tenancy.document import InvalidFileError, Problem
from tenancy.local import cli as local


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--root",
    type=click.Path(path_type=Path),
    default=Path(),
    help="Root of the repository. Default: the current directory.",
)
@click.pass_context
def main(context: click.Context, root: Path) -> None:
    """Look after the register of teams (tenants.yaml) and what is derived from it."""
    context.obj = root


for command in (local.setup, local.up, local.demo, deploy):
    main.add_command(command)


@main.command()
@click.pass_obj
def check(root: Path) -> None:
    """Check the register, the environments and the folders of the locations."""
    problems: list[Problem] = []
    teams = None
    try:
        teams = register.load(root / "tenants.yaml")
        problems += layout.check(root, teams)
    except InvalidFileError as error:
        problems += error.problems
    problems += environments.check(root, teams)
    if problems or teams is None:
        _give_up(str(InvalidFileError(problems)))
    names = ", ".join(environments.ENVIRONMENTS)
    click.echo(f"teams: {len(teams.teams)}, locations: {len(teams.locations)}, environments: {names}; no problems")


@main.command("render")
@click.option("--check", "only_check", is_flag=True, help="Write nothing; print what differs and exit with 1.")
@click.pass_obj
def render_files(root: Path, *, only_check: bool) -> None:
    """Write the files that follow from the register."""
    try:
        files = render.derived(register.load(root / "tenants.yaml"))
    except InvalidFileError as error:
        _give_up(str(error))
    drifted = False
    for path, text in files.items():
        try:
            present = _present(root / path)
            if present == text:
                continue
            drifted = True
            if only_check:
                before, after = (present or "").splitlines(), text.splitlines()
                names = (str(path), f"{path} (rendered)")
                click.echo("\n".join(difflib.unified_diff(before, after, *names, lineterm="")))
            else:
                _write(root / path, text)
                click.echo(f"wrote {path}")
        except OSError as error:
            _give_up(f"{path}: {error.strerror}")
    if only_check and drifted:
        _give_up("derived files differ from tenants.yaml; run: tenancy render")


def _present(path: Path) -> str | None:
    try:
        return path.read_bytes().decode("utf-8", errors="replace")
    except FileNotFoundError:
        return None


def _write(path: Path, text: str) -> None:
    """Write the whole file or nothing: a reader never sees half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        beside.write_bytes(text.encode())
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def _give_up(message: str) -> NoReturn:
    click.echo(message, err=True)
    sys.exit(1)


if __name__ == "__main__":
    main()
