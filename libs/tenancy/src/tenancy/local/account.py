"""The user as whom Postgres runs: this one, or for root (as whom Postgres refuses to run) an unprivileged one."""

import os
import pwd
import stat
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tenancy.local.errors import LocalPlatformError


@dataclass(frozen=True)
class Account:
    """A user and group to run as; None means as this process."""

    user: tuple[int, int] | None = None
    traverse: bool = False
    """Whether that user needs help to pass the directories above its files."""

    def make_directory(self, path: Path) -> None:
        """Make a directory that only this account may read; leave the directories above it as they are."""
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self.user is not None and path.stat().st_uid != self.user[0]:
            os.chown(path, *self.user)

    def child_options(self) -> list[str]:
        """Return the options of `child.py` that start a command as this account."""
        if self.user is None:
            return []
        options = ["--user", str(self.user[0]), str(self.user[1])]
        return [*options, "--traverse"] if self.traverse else options


def account_for(data_dir: Path, needed: Iterable[Path]) -> Account:
    """Choose who runs Postgres: this user, or for root the owner of the data, or `nobody` for data yet to be made.

    Args:
        data_dir: the data directory, which may not exist yet.
        needed: paths that the account must be able to reach.

    Raises:
        LocalPlatformError: the account cannot reach a path and the system offers no way to let it.
    """
    if os.geteuid() != 0:
        return Account()
    user = _owner(data_dir) or _nobody()
    unreachable = [
        directory for path in needed for directory in path.absolute().parents if not _passes(user, directory)
    ]
    if unreachable and sys.platform != "linux":
        name = pwd.getpwuid(user[0]).pw_name
        raise LocalPlatformError(
            f"Postgres does not run as root, and the user {name} may not enter {unreachable[-1]}. "
            f"Start as another user, move the clone, or allow it: chmod o+x {unreachable[-1]}"
        )
    return Account(user, traverse=bool(unreachable))


def _owner(path: Path) -> tuple[int, int] | None:
    if not path.exists():
        return None
    status = path.stat()
    return (status.st_uid, status.st_gid) if status.st_uid != 0 else None


def _nobody() -> tuple[int, int]:
    try:
        entry = pwd.getpwnam("nobody")
    except KeyError:
        return 65534, 65534  # the kernel's own number for a user that is nobody
    return entry.pw_uid, entry.pw_gid


def _passes(user: tuple[int, int], directory: Path) -> bool:
    if not directory.exists():
        return True
    status = directory.stat()
    if status.st_uid == user[0]:
        return bool(status.st_mode & stat.S_IXUSR)
    if status.st_gid == user[1]:
        return bool(status.st_mode & stat.S_IXGRP)
    return bool(status.st_mode & stat.S_IXOTH)
