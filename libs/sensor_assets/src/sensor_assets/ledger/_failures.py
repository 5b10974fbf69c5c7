"""What keeps Postgres from serving the ledger, in words that say what to do."""

import psycopg
from psycopg import errors
from psycopg.conninfo import conninfo_to_dict, make_conninfo

NOT_MIGRATED = (errors.UndefinedTable, errors.UndefinedColumn, errors.UndefinedFunction)

# The first that fits counts; the last one fits what is left: the server is away, or goes away.
_EXPLANATIONS: tuple[tuple[tuple[type[psycopg.Error], ...], str], ...] = (
    (NOT_MIGRATED, "the ledger in schema '{schema}' is not migrated for this version: run `sensor-assets migrate`"),
    (
        (errors.ReadOnlySqlTransaction,),
        "{ledger} is read-only: {said}. Name the primary server, or switch default_transaction_read_only off",
    ),
    ((errors.DiskFull,), "{ledger} has no space left on its disk: {said}. Free space or enlarge the volume"),
    (
        (errors.TooManyConnections,),
        "{ledger} takes no more connections: {said}. Raise max_connections, or stop what holds them",
    ),
    (
        (errors.InsufficientPrivilege,),
        "{ledger} refuses the role: {said}. Let the role own the schema and all that is in it",
    ),
    (
        (errors.DataCorrupted, errors.IndexCorrupted),
        "{ledger} is damaged: {said}. Restore it from a backup",
    ),
    (
        (errors.QueryCanceled, errors.LockNotAvailable, errors.DeadlockDetected),
        "{ledger} did not answer in time: {said}. The next tick tries again",
    ),
    ((psycopg.OperationalError,), "the ledger's database cannot be reached ({place}): {said}"),
)

# What else Postgres may say would be an error of this library, and keeps its traceback.
FAILURES = tuple(kind for kinds, _ in _EXPLANATIONS for kind in kinds)


def explain(error: psycopg.Error, url: str, schema: str) -> str:
    """Return what happened, where, and what to do; one line, and never a password."""
    where = conninfo_to_dict(url)
    where.pop("password", None)
    place = make_conninfo("", **where)
    said = " ".join((error.diag.message_primary or str(error)).split())
    template = next(text for kinds, text in _EXPLANATIONS if isinstance(error, kinds))
    return template.format(ledger=f"the ledger in schema '{schema}' ({place})", schema=schema, place=place, said=said)
