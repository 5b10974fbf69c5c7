"""What an operation is about: names and bounds that a person gave, checked against what the ledger holds."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from difflib import get_close_matches
from typing import Any, TypeAlias

import psycopg
from psycopg.rows import DictRow

from sensor_assets.errors import UnknownNameError
from sensor_assets.ledger import _sql_operations

Connection: TypeAlias = psycopg.Connection[DictRow]

MOST_NAMES_SHOWN = 5


@dataclass(frozen=True, kw_only=True)
class Selection:
    """Items or batches; what is None does not narrow.

    Args:
        consumer: Consumer, as `status` shows it.
        source: Source.
        route: Outlet of a router.
        partition: Partition key of the asset.
        key: Key of items; ``*`` stands for any text, ``?`` for one character.
        since: Items first seen at or after this time (UTC).
        until: Items first seen before this time (UTC).
    """

    consumer: str | None = None
    source: str | None = None
    route: str | None = None
    partition: str | None = None
    key: str | None = None
    since: datetime | None = None
    until: datetime | None = None

    @property
    def by_item(self) -> bool:
        """Whether items are to be looked at one by one."""
        return any(value is not None for value in (self.source, self.key, self.since, self.until))

    def values(self) -> dict[str, Any]:
        """Return the parameters of the statements."""
        return {
            "consumer": self.consumer,
            "source": self.source,
            "route": self.route,
            "partition": self.partition,
            "key": None if self.key is None else like(self.key),
            "since": self.since,
            "until": self.until,
            "by_item": self.by_item,
        }


def like(glob: str) -> str:
    r"""Return the pattern of SQL's LIKE for a glob.

    Example:
        >>> like("2013-01-*.csv"), like("100%_?")
        ('2013-01-%.csv', '100\\%\\__')
    """
    escaped = glob.replace("\\", r"\\").replace("%", r"\%").replace("_", r"\_")
    return escaped.replace("*", "%").replace("?", "_")


def check(connection: Connection, selection: Selection) -> None:
    """Refuse names that the ledger does not hold.

    Raises:
        UnknownNameError: With the nearest names.
    """
    names = connection.execute(_sql_operations.NAMES).fetchall()
    for kind in ("consumer", "source"):
        if (given := getattr(selection, kind)) is not None:
            known(kind, given, [row["name"] for row in names if row["kind"] == kind])
    for kind in ("route", "partition"):
        if (given := getattr(selection, kind)) is not None:
            statement = _sql_operations.ROUTES if kind == "route" else _sql_operations.PARTITIONS
            rows = connection.execute(statement, selection.values()).fetchall()
            known(kind, given, [row["name"] for row in rows])


def known(kind: str, given: str, names: Sequence[str]) -> None:
    """Raise `UnknownNameError` unless the name is among those."""
    if given in names:
        return
    near = get_close_matches(given, names, n=MOST_NAMES_SHOWN, cutoff=0.5) or sorted(names)[:MOST_NAMES_SHOWN]
    hint = f"did you mean {', '.join(near)}?" if near else f"the ledger holds no {kind} yet"
    raise UnknownNameError(f"there is no {kind} '{given}' in the ledger; {hint}")
