"""Environment variables as an environment's values give them: plain, or kept in a Secret."""

import re
from typing import Annotated

from pydantic import AfterValidator, Discriminator, Tag, WithJsonSchema

from tenancy.closed import Closed
from tenancy.register import matching

DNS_LABEL = "[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
DNS_NAME = rf"{DNS_LABEL}(\.{DNS_LABEL})*"
"""A name of labels with dots between them, as most of Kubernetes' names."""

_SET_BY_PLATFORM = ("ENVIRONMENT", "HOME", "LEDGER_SCHEMA", "LEDGER_URL", "LOCATION", "TEAM")
_NAMES_OF_OTHERS = ("DAGSTER_", "DATABASE_", "KUBERNETES_", "PYTHON")


def _check_variable(name: str) -> str:
    if not re.fullmatch(r"[A-Z][A-Z0-9_]{0,99}", name):
        raise ValueError("must be capital letters, digits and underscores, beginning with a letter")
    if name in _SET_BY_PLATFORM or name.startswith(_NAMES_OF_OTHERS):
        raise ValueError("is set by the platform; take it out")
    return name


VariableName = Annotated[
    str,
    AfterValidator(_check_variable),
    WithJsonSchema({"type": "string", "pattern": "^[A-Z][A-Z0-9_]*$"}),
]
SecretName = Annotated[
    str,
    *matching(rf"^{DNS_NAME}$", "must be lower case letters, digits, dashes and dots"),
]
SecretKey = Annotated[
    str,
    *matching(r"^[A-Za-z0-9._-]{1,253}$", "must be letters, digits, dashes, underscores and dots"),
]


class Secret(Closed):
    """Where a secret value is kept: a key of a Kubernetes Secret in the team's namespace."""

    name: SecretName
    """Name of the Secret."""
    key: SecretKey
    """Key in it."""


class SecretRef(Closed):
    """A value that is not written here but read from a Secret when a process starts."""

    secret: Secret
    """Where the value is kept."""


MOST_DIGITS = 2**53  # Helm reads every number as a float
Scalar = str | int | float | bool


def _check_exact(value: Scalar) -> Scalar:
    if isinstance(value, int) and abs(value) > MOST_DIGITS:
        raise ValueError("is a number that not every reader keeps exactly; put it in quotes")
    return value


Value = Annotated[
    Annotated[SecretRef, Tag("secret")] | Annotated[Scalar, AfterValidator(_check_exact), Tag("scalar")],
    Discriminator(
        lambda value: (
            "secret" if isinstance(value, dict | SecretRef) else "scalar" if isinstance(value, Scalar) else None
        ),
        custom_error_type="value",
        custom_error_message="must be text, a number, true, false, or {secret: {name: ..., key: ...}}",
    ),
]
Variables = dict[VariableName, Value]
