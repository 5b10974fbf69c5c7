"""The Python environments of the code locations, each made from the location's own lock."""

import hashlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import IO

from tenancy.local.environment import NOT_INHERITED
from tenancy.local.errors import LocalPlatformError
from tenancy.local.processes import CHILD
from tenancy.register import Location

AT_ONCE = 2
STAMP = ".synced"
SYNC = ("sync", "--frozen", "--no-dev", "--inexact")
"""`--inexact` keeps what the team's engineer has added: the development tools, for `dg dev`."""


def python_of(directory: Path) -> Path:
    """Return the interpreter of a location's environment."""
    return directory / ".venv" / "bin" / "python"


def set_up(root: Path, locations: Iterable[Location], report: Callable[[str], None]) -> None:
    """Bring the environments up to date with their locks; does nothing, at once, for those that are.

    Raises:
        LocalPlatformError: a folder or lock is missing, uv is missing, or uv fails (with what it printed).
    """
    directories = [root / location.directory for location in locations]
    waiting = [directory for directory in directories if not _is_up_to_date(directory)]
    if not waiting:
        return
    uv = _uv()
    running: list[tuple[Path, subprocess.Popen[bytes], IO[bytes]]] = []
    try:
        while waiting or running:
            while waiting and len(running) < AT_ONCE:
                directory = waiting.pop(0)
                report(f"installing the environment of {directory.relative_to(root)}")
                running.append((directory, *_start(uv, directory)))
            for entry in [entry for entry in running if entry[1].poll() is not None]:
                running.remove(entry)
                _finish(*entry)
            time.sleep(0.05)
    finally:
        for _, process, output in running:
            process.kill()
            process.wait()
            output.close()


def _is_up_to_date(directory: Path) -> bool:
    stamp = _stamp(directory)
    return _stamp_path(directory).exists() and _stamp_path(directory).read_text() == stamp


def _start(uv: str, directory: Path) -> tuple[subprocess.Popen[bytes], IO[bytes]]:
    not_inherited = {*NOT_INHERITED, "UV_PROJECT_ENVIRONMENT"}
    environment = {name: value for name, value in os.environ.items() if name not in not_inherited}
    die_with_us = ["--parent", str(os.getpid()), "--death-signal", str(int(signal.SIGTERM))]
    output = tempfile.TemporaryFile()  # noqa: SIM115 - closed by _finish, or by set_up when it is interrupted
    process = subprocess.Popen(
        [sys.executable, "-I", "-S", str(CHILD), *die_with_us, "--", uv, *SYNC],
        cwd=directory,
        env=environment | {"UV_COMPILE_BYTECODE": "1"},
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
    )
    return process, output


def _finish(directory: Path, process: subprocess.Popen[bytes], output: IO[bytes]) -> None:
    with output:
        output.seek(0)
        printed = output.read().decode(errors="replace").strip()
    if process.returncode:
        raise LocalPlatformError(f"uv could not install the environment of {directory}:\n{printed}")
    _stamp_path(directory).write_text(_stamp(directory))


def _stamp_path(directory: Path) -> Path:
    return directory / ".venv" / STAMP


def _stamp(directory: Path) -> str:
    """Return what the environment depends on: the lock, the project file, the Python that it should be like."""
    digest = hashlib.sha256(sys.version.encode())
    for name in ("pyproject.toml", "uv.lock"):
        try:
            digest.update((directory / name).read_bytes())
        except FileNotFoundError:
            raise LocalPlatformError(
                f"{directory / name} is missing: the register names this location. Make the folder, or take the "
                "location out of tenants.yaml."
            ) from None
    return digest.hexdigest()


def _uv() -> str:
    uv = os.environ.get("UV") or shutil.which("uv") or shutil.which("uv", path=str(Path(sys.executable).parent))
    if uv is None:
        raise LocalPlatformError("uv is not on PATH: run this by `make up` or `make setup`, which bring it.")
    return uv
