"""Dagster's Postgres storage with one connection pool per process and one statement per hot operation.

`LeanPostgresStorage` is named in dagster.yaml; `docs/reference/lean-postgres-storage.md` has its keys.
"""

from lean_postgres._database import close_pools
from lean_postgres._storage import (
    LeanPostgresEventLogStorage,
    LeanPostgresRunStorage,
    LeanPostgresScheduleStorage,
    LeanPostgresStorage,
)

__all__ = [
    "LeanPostgresEventLogStorage",
    "LeanPostgresRunStorage",
    "LeanPostgresScheduleStorage",
    "LeanPostgresStorage",
    "close_pools",
]
