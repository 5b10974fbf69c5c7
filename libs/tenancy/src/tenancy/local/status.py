"""What the teams' ledgers say about their sources."""

from collections.abc import Iterable
from dataclasses import dataclass

import psycopg
from psycopg import sql
from psycopg.rows import class_row


@dataclass(frozen=True)
class SourceStatus:
    """One source as one consumer follows it; counts are of items."""

    team: str
    source: str
    consumer: str
    seen: int
    waiting: int
    in_flight: int
    done: int
    quarantined: int
    lag_seconds: float | None
    """Age of the oldest item that is not done, 0 when all are."""
    healthy: bool
    error: str | None

    @property
    def is_settled(self) -> bool:
        """Whether everything seen is worked off and the source answers."""
        return self.waiting == 0 and self.in_flight == 0 and self.healthy


QUERY = """
SELECT {team} AS team, source, consumer, seen, waiting, in_flight, done, quarantined, lag_seconds, healthy, error
FROM {view} ORDER BY source, consumer
"""


class Ledgers:
    """Reads the view `source_status` of each team.

    Args:
        url: of the ledger database, as a role that may read every schema.
        teams: schemas of the teams.
    """

    def __init__(self, url: str, teams: Iterable[str]) -> None:
        self._url = url
        self._teams = list(teams)
        self._connection: psycopg.Connection | None = None

    def read(self) -> list[SourceStatus] | None:
        """Return the status of every source of every team, or None while the database does not answer."""
        try:
            return [status for team in self._teams for status in self._read_team(team)]
        except psycopg.OperationalError:
            self.close()
            return None

    def _read_team(self, team: str) -> list[SourceStatus]:
        if self._connection is None:
            self._connection = psycopg.connect(self._url, autocommit=True, connect_timeout=5)
        view = sql.Identifier(team, "source_status")
        found = self._connection.execute("SELECT to_regclass(%s)", [view.as_string(self._connection)]).fetchone()
        if found is None or found[0] is None:
            return []
        query = sql.SQL(QUERY).format(team=sql.Literal(team), view=view)
        return self._connection.cursor(row_factory=class_row(SourceStatus)).execute(query).fetchall()

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
