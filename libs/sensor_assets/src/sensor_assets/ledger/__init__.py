"""The ledger: Postgres tables in which every item is recorded once, in order of arrival."""

from typing import TYPE_CHECKING, Any

from sensor_assets.ledger._api import Emission, Following, Ledger, Scan, ScanEnd, ScanSupersededError

if TYPE_CHECKING:
    from sensor_assets.ledger._postgres import PostgresLedger

__all__ = ["Emission", "Following", "Ledger", "PostgresLedger", "Scan", "ScanEnd", "ScanSupersededError", "migrate"]


def __getattr__(name: str) -> Any:
    if name != "PostgresLedger":
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    # psycopg and its pool are ninety modules, which a process that only declares assets does not need.
    from sensor_assets.ledger._postgres import PostgresLedger  # noqa: PLC0415

    return PostgresLedger


def migrate(url: str, schema: str) -> None:
    """Create or upgrade the ledger in a schema that exists and that the role owns; safe to run twice and at once.

    Args:
        url: ``postgresql://role@host/database``.
        schema: The team's schema.

    Raises:
        LedgerError: The database cannot be reached or the schema does not exist.
    """
    from sensor_assets.ledger._migrate import upgrade  # noqa: PLC0415 - Alembic, which only a migration needs

    upgrade(url, schema)
