"""The passwords of the teams' roles: a mounted directory with one file for each role, named as the role."""

import re
from collections.abc import Iterable
from pathlib import Path

from tenancy.cluster.errors import ControlPlaneError
from tenancy.names import check_name

SAFE = re.compile(r"[A-Za-z0-9._~-]+")
"""What needs no quoting in a URL (RFC 3986, unreserved): teams' code gets the URL of its ledger put together by
Kubernetes, which cannot quote."""


def check_password(key: str, password: str) -> str:
    """Return a password; refuse one that a URL could not hold, naming its key and never the password.

    Raises:
        ControlPlaneError: it is empty or has other characters.
    """
    if SAFE.fullmatch(password):
        return password
    what = "has a line break" if "\n" in password else "has other characters" if password else "is empty"
    raise ControlPlaneError(
        f"the password {key} {what}: it becomes part of a URL and may have letters, digits and - . _ ~ only. "
        "Set another one in the Secret that it comes from"
    )


def refuse_missing(teams: Iterable[str], found: Iterable[str], password: str | None, secrets: tuple[str, str]) -> None:
    """Refuse to begin when not everybody's password is there.

    Args:
        teams: roles that must have one, beside role dagster.
        found: roles of teams that have one.
        password: of role dagster.
        secrets: where passwords come from, that of role dagster and those of the teams; for the message.

    Raises:
        ControlPlaneError: with the keys and their Secrets, all at once.
    """
    of_dagster, of_teams = secrets
    missing = [] if password else [f"key password of Secret {of_dagster}"]
    if lacking := sorted(set(teams) - set(found)):
        missing.append(f"{'keys' if lacking[1:] else 'key'} {', '.join(lacking)} of Secret {of_teams}")
    if missing:
        raise ControlPlaneError(
            f"passwords are missing: {'; '.join(missing)}. With database.passwords.source: existing make these Secrets "
            "with these keys, and begin again; with external look at the ExternalSecrets of these names"
        )


def read(directory: Path) -> dict[str, str]:
    """Return the password of each team's role.

    Raises:
        ControlPlaneError: there is no such directory, or a file of it is no role's or holds no usable password.
    """
    try:
        # A mounted Secret has directories besides, which begin with two dots.
        files = sorted(path for path in directory.iterdir() if not path.name.startswith("..") and path.is_file())
        found = {path.name: path.read_bytes().decode(errors="replace") for path in files}
    except OSError as error:
        raise ControlPlaneError(f"the passwords cannot be read: {directory}: {error.strerror}") from error
    for role, password in found.items():
        try:
            check_name(role.replace("_", "-"))
            if "-" in role:
                raise ValueError("must have _ in place of -")
        except ValueError as error:
            raise ControlPlaneError(f"{directory / role}: the file is named as no team's role: {error}") from None
        check_password(role, password)
    return found
