"""The variables that a location's code server, its runs and `dg dev` see on this machine."""

import os
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

from tenancy.environments import Environment, filled
from tenancy.local.errors import LocalPlatformError
from tenancy.local.layout import Layout
from tenancy.local.postgres import Postgres
from tenancy.local.provision import LEDGER
from tenancy.register import Location

NOT_INHERITED = ("PYTHONDONTWRITEBYTECODE", "PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "DAGSTER_HOME")
"""Variables of the launcher's own environment that its children must not see. Without bytecode files every process
and every run compiles Dagster again, which triples the processor time of a start."""

MADE_BY = "# Made by `make up` from tenants.yaml and environments/local/values.yaml; made again at every start."


def inherited(home: Path) -> dict[str, str]:
    """Return this process's environment, without what would change a child's Python, for an instance's processes."""
    rest = {name: value for name, value in os.environ.items() if name not in NOT_INHERITED}
    return rest | {"DAGSTER_HOME": str(home), "DAGSTER_DISABLE_TELEMETRY": "yes"}


def variables_of(
    location: Location, environment: Environment, layout: Layout, postgres: Postgres, *, feeds_port: int
) -> dict[str, str]:
    """Return the variables of one location, as `environments/local/values.yaml` and the platform set them.

    Raises:
        LocalPlatformError: the file names a secret, which only a cluster can read.
    """
    places = {
        "state": quote(str(layout.state)),
        "postgres_socket": quote(str(layout.postgres_socket)),
        "feeds_port": str(feeds_port),
    }
    try:
        values = filled(environment.variables_for(location.dagster_name), places)
    except (LookupError, ValueError) as error:
        raise LocalPlatformError(f"environments/local/values.yaml: {location.dagster_name}: {error}") from None
    return values | {
        "ENVIRONMENT": environment.environment,
        "TEAM": location.team,
        "LOCATION": location.dagster_name,
        "LEDGER_URL": postgres.url(LEDGER, location.ledger_schema),
        "LEDGER_SCHEMA": location.ledger_schema,
    }


def write_dotenv(path: Path, variables: Mapping[str, str]) -> None:
    """Write the file from which `dg dev` in a location's folder takes its variables; only its owner may read it."""
    lines = [MADE_BY, *(f"{name}={_quoted(value)}" for name, value in sorted(variables.items()))]
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        os.fchmod(descriptor, 0o600)
        file.write("\n".join(lines) + "\n")


def _quoted(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
