"""Names of teams and locations: what every place that they end up in accepts.

A name becomes a Kubernetes namespace and label, a Helm release, a Postgres role and schema, a Python package, a folder,
a socket and the first part of an asset key, so it has to be valid in all of them.
"""

import re

LONGEST = 45
"""Characters of `<team>-<location>`: 63, the limit of a Kubernetes label and of a Postgres identifier, less 17 that a
Deployment adds to the names of its pods (`-<10>-<5>`), less one to spare. Also below Helm's limit of 53."""

PATTERN = r"^[a-z][a-z0-9]*(-[a-z0-9]+)*$"

RESERVED = (
    *("admin", "admins", "all", "dagster", "dagster-*", "default", "dev", "feeds", "fleet-reader", "kube-*", "ledger"),
    *("local", "none", "outside", "pg-*", "platform", "postgres", "prod", "public", "root", "sensor-assets", "shared"),
    *("sources", "staging", "system", "tenancy"),
)
"""Names that Kubernetes, Postgres, Dagster or the platform use themselves; `*` stands for any ending."""


def check_name(name: str) -> str:
    """Return the name of a team or a location; raises ValueError with the rule that it breaks."""
    check_label(name)
    if any(name == word or (word.endswith("*") and name.startswith(word[:-1])) for word in RESERVED):
        raise ValueError(f"is a reserved name; reserved are {', '.join(RESERVED)}")
    return name


def check_label(name: str) -> str:
    """Return a DNS label that fits with all its endings; raises ValueError with the rule that it breaks."""
    if len(name) > LONGEST:
        raise ValueError(too_long(name))
    if not re.fullmatch(PATTERN, name):
        raise ValueError("must be lower case letters, digits and single dashes, beginning with a letter")
    return name


def too_long(name: str) -> str:
    """Return what is wrong with a name that is too long."""
    return f"has {len(name)} characters; at most {LONGEST} are allowed (63 in Kubernetes less its endings)"
