"""Whether a ledger's tables are those that this version of the library works with."""

from sensor_assets.errors import LedgerError

REVISIONS = ("0001",)
"""Revisions of the schema, oldest first; this version works with the last. A test compares them with the migrations."""

FOUND = "select version_num from alembic_version"


def check(found: str | None, schema: str) -> None:
    """Refuse a revision that this version does not work with.

    Raises:
        LedgerError: It is older, or newer.
    """
    if found == REVISIONS[-1]:
        return
    refuse_newer(found, schema)
    raise LedgerError(f"the ledger in schema '{schema}' is not migrated for this version: run `sensor-assets migrate`")


def refuse_newer(found: str | None, schema: str) -> None:
    """Refuse a revision that this version does not know.

    Raises:
        LedgerError: It is newer.
    """
    if found is not None and found not in REVISIONS:
        raise LedgerError(
            f"the ledger in schema '{schema}' was migrated by a newer version of sensor-assets (revision {found}, this "
            f"version knows {REVISIONS[-1]}): upgrade sensor-assets in this location. Nothing was changed"
        )
