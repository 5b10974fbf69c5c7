"""The event log storage: answers quickly, and keeps the one delay on which Dagster's readers rely.

Dagster writes an event and the record of its asset in two transactions, and ids become visible in another order than
they were given out. Automation conditions and asset backfills first read the newest id, which becomes their cursor,
and then what happened up to it: what is still on its way at that moment is never looked at again. Over stock's storage
opening the next connection takes so long that this hardly ever shows.
"""

import time

from lean_postgres._dagster import PooledEventLogStorage

SETTLE_SECONDS = 0.25
"""How long whoever asks for the newest id waits for what is on its way: many times what storing an event takes.
Dagster's own remedy, `DAGSTER_AUTOMATION_TICK_SETTLE_SECONDS`, comes on top of it and is off by default."""


class SettledEventLogStorage(PooledEventLogStorage):
    """Stock's event log storage with a pool, and with time between reading the newest id and using it."""

    _settle_seconds = SETTLE_SECONDS

    def optimize_for_webserver(self, statement_timeout: int, pool_recycle: int, max_overflow: int) -> None:
        super().optimize_for_webserver(statement_timeout, pool_recycle, max_overflow)
        self._settle_seconds = 0.0  # a page is drawn anew, and nothing is remembered

    def get_maximum_record_id(self) -> int | None:
        newest = super().get_maximum_record_id()
        time.sleep(self._settle_seconds)
        return newest
