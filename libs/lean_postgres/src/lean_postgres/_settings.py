"""How many connections this process keeps."""

from collections.abc import Mapping

from dagster import DagsterInvariantViolationError

POOL_VARIABLE = "DAGSTER_POSTGRES_POOL"
DEFAULT_POOL_SIZE = 2
"""For a code server or a run, of which there are many. The daemon, of which there is one, gets 10 by the variable."""


def pool_size(configured: int | None, environment: Mapping[str, str]) -> int:
    """Return the number of connections to keep: the process's variable, else dagster.yaml, else 2.

    Args:
        configured: `pool_size` of dagster.yaml, which all processes of an instance share.
        environment: of this process.

    Raises:
        DagsterInvariantViolationError: the number is not a whole one of at least 1.
    """
    text = environment.get(POOL_VARIABLE, "").strip()
    if not text and configured is None:
        return DEFAULT_POOL_SIZE
    value, place = (text, POOL_VARIABLE) if text else (str(configured), "pool_size in dagster.yaml")
    if not value.isascii() or not value.isdigit() or int(value) < 1:
        raise DagsterInvariantViolationError(
            f"{place} is {value!r}: it must be the number of Postgres connections that a process keeps, 1 or more"
        )
    return int(value)
