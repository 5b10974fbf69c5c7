"""Connections to the database for what the control plane does by itself, and words for what keeps it from one."""

import logging
import time
from collections.abc import Mapping
from typing import Any

import psycopg
from psycopg import errors

from tenancy.cluster.environment import Login, Server
from tenancy.cluster.errors import ControlPlaneError, one_line

CONNECT_SECONDS = 5
AGAIN_SECONDS = 1.0
TELL_SECONDS = 15.0

ADMIN_KEY = "database.admin_secret"

logger = logging.getLogger("tenancy.cluster")

# libpq gives a text only when no session comes about. What the server itself refuses begins with FATAL, and is final;
# but for these, which pass.
PASSING = ("starting up", "shutting down", "recovery", "too many", "remaining connection slots")

CHECKS: tuple[tuple[tuple[str, ...], str], ...] = (
    (("password authentication failed", "no password supplied"), "check user name and password ({key})"),
    (
        ("no pg_hba.conf entry", "SSL", "certificate", "encryption"),
        "check the values key database.sslmode, and whom the server lets in",
    ),
    (("permission denied for database", "is not permitted to log in"), "the migration gives that right: let it run"),
    (("does not exist",), "the migration makes it: let it run; for the migration's own login check {key}"),
    (PASSING, "the server is busy or just starting: wait, or look at its log"),
)
UNREACHABLE = (
    "check the values keys database.host and database.port, that the server runs, and that the network (policies, "
    "security groups) lets this pod reach it"
)


def explain(error: psycopg.OperationalError, server: Server, database: str, login: Login, key: str) -> str:
    """Return why there is no session, where, and what to check; one line without a password.

    Args:
        error: what psycopg raised.
        server: that was to be reached.
        database: on it.
        login: that was to be used.
        key: key of the values that leads to the login.
    """
    said = one_line(error)
    advice = next((text for words, text in CHECKS if any(word in said for word in words)), UNREACHABLE)
    where = f"database {database!r} on {server} as {login.username!r}"
    return f"cannot connect to {where}: {said}. What to do: {advice.format(key=key)}"


def is_final(error: psycopg.OperationalError) -> bool:
    """Tell whether trying again is of no use: the server answered, and does not want this login or this database."""
    said = str(error)
    return "FATAL" in said and not any(word in said for word in PASSING)


def connect(
    server: Server,
    database: str,
    login: Login,
    *,
    key: str,
    application: str,
    seconds: float = 0.0,
    settings: Mapping[str, Any] | None = None,
) -> psycopg.Connection:
    """Open a session in autocommit mode.

    Args:
        server: to connect to.
        database: on it.
        login: to use.
        key: key of the values that leads to the login, for messages.
        application: shown in pg_stat_activity.
        seconds: how long to try again while the server is away or starting; 0 for one attempt.
        settings: parameters of libpq.

    Raises:
        ControlPlaneError: with what to check.
    """
    deadline = time.monotonic() + seconds
    told = time.monotonic()
    options: dict[str, Any] = {"connect_timeout": CONNECT_SECONDS, "application_name": application, **(settings or {})}
    while True:
        try:
            return psycopg.connect(server.url(database, login), autocommit=True, **options)
        except psycopg.OperationalError as error:
            message = explain(error, server, database, login, key)
            if is_final(error) or time.monotonic() >= deadline:
                raise ControlPlaneError(message) from error
            if time.monotonic() - told > TELL_SECONDS:
                told = time.monotonic()
                logger.warning("%s. Trying again", message)
        time.sleep(AGAIN_SECONDS)


def explain_refusal(error: psycopg.Error, server: Server, login: Login) -> str:
    """Return what kept a statement of the migration from being executed, and what to do; one line."""
    said = one_line(error.diag.message_primary or error)
    detail = f" ({one_line(error.diag.message_detail)})" if error.diag.message_detail else ""
    where = f"on {server} as {login.username!r}"
    if isinstance(error, errors.InsufficientPrivilege):
        return (
            f"the migration lacks a right {where}: {said}{detail}. The login of {ADMIN_KEY} must be a superuser, or "
            "have CREATEROLE and CREATEDB, own the databases dagster and ledger when they exist already, and hold the "
            "ADMIN OPTION of roles that it did not make itself (GRANT role TO login WITH ADMIN OPTION)"
        )
    return f"the migration was interrupted {where}: {said}{detail}. It can be started again as it is"
