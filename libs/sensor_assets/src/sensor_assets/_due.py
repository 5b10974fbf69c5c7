"""When a source is scanned, and how much of a tick it may take. Pure: no clock, no I/O."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from math import ceil, floor
from typing import Literal

from sensor_assets._state import SourceState

# Sources of one interval are spread over several ticks when there are more of them than this.
SOURCES_IN_A_TICK = 100
MOST_TICKS_IN_AN_INTERVAL = 4

# The daemon gives up on a sensor after 60 s; half of it is left for looking after runs and deciding.
MOST_SCAN_SECONDS = 30.0
# A tick of a second is too short to tell a source that hangs from one that is far away.
LEAST_SCAN_SECONDS = 6.0
MOST_PATIENCE = 25.0
# Of the time between two ticks, so that the next one begins in time.
SCAN_SHARE = 0.8

# A source that failed once is asked again within a minute, however long its interval is: most failures are short.
FIRST_RETRY = 60.0
MOST_SLOWDOWN = 8
LONGEST_RETRY = 900.0

# A scan that is later than this part of its interval was missed; the next one is not to follow on its heels. A tick
# that waits for sources that hang makes the next one late by up to three quarters of an interval.
LATE = 0.9
# A source that fails stands behind the others as if it had fallen due so much later: it may use its whole patience.
BEHIND_SECONDS = 30.0

Breaker = Literal["closed", "open", "half-open"]


def tick_seconds(intervals: Sequence[float]) -> float:
    """Return the seconds between two ticks of a monitor whose sources have these intervals in seconds.

    It is the shortest interval, or a part of it where many sources have one as short, so that they do not all fall due
    at the same tick.
    """
    shortest = min(intervals)
    crowd = sum(interval < 2 * shortest for interval in intervals)
    return shortest / min(ceil(crowd / SOURCES_IN_A_TICK), MOST_TICKS_IN_AN_INTERVAL)


def next_due(name: str, interval: float, now: datetime, due_at: datetime | None = None) -> datetime:
    """Return when a source that was scanned now is to be scanned next.

    The moments lie on a grid of one interval, shifted by a hash of the name: the interval holds on average whenever
    the ticks come, and sources with the same interval fall due at different times. The first gap is between half and
    one and a half intervals long.

    Args:
        name: The source.
        interval: Seconds between two scans.
        now: The time (UTC).
        due_at: The moment that this scan was for, if there was one. A scan that came much too late begins anew.
    """
    on_time = due_at if due_at is not None and (now - due_at).total_seconds() < LATE * interval else now
    after = on_time.timestamp() + interval / 2
    phase = _fraction(name) * interval
    step = floor((after - phase) / interval) + 1
    return datetime.fromtimestamp(phase + step * interval, UTC)


def _fraction(name: str) -> float:
    return int.from_bytes(blake2b(name.encode(), digest_size=6).digest()) / 2**48


def retry_at(failures: int, interval: float, now: datetime) -> datetime:
    """Return when a source is asked again after its n-th failure in a row, n from 1.

    The delay doubles with each failure, up to eight intervals or a quarter of an hour, or the interval if that is
    longer.
    """
    longest = max(interval, min(MOST_SLOWDOWN * interval, LONGEST_RETRY))
    delay = min(interval, FIRST_RETRY) * 2 ** min(failures - 1, 30)
    return now + timedelta(seconds=min(delay, longest))


def breaker(state: SourceState, now: datetime) -> Breaker:
    """Return the state of a source's circuit breaker.

    Closed: the last scan succeeded. Open: the last scan failed, and the source is left alone until it is due.
    Half-open: it is due, and the next scan is the trial that closes the breaker or opens it for longer.
    """
    if state.failures == 0:
        return "closed"
    return "open" if state.due_at is not None and state.due_at > now else "half-open"


def due(states: Mapping[str, SourceState], now: datetime, tick: float, *, retry: bool = False) -> list[SourceState]:
    """Return the sources to scan in a tick, longest overdue first, those that fail behind the others.

    Args:
        states: Sources by name.
        now: The time (UTC).
        tick: Seconds between two ticks. What falls due before half of that has passed is due now: the next tick would
            be later than this one is early.
        retry: Whether sources that fail are asked now, however long their breaker would stay open.
    """
    latest = now + timedelta(seconds=tick / 2)
    # What was never scanned has waited longest.
    waiting = {
        name: (state.due_at.timestamp() if state.due_at else 0.0) + (BEHIND_SECONDS if state.failures else 0.0)
        for name, state in states.items()
        if state.due_at is None or state.due_at <= latest or (retry and state.failures > 0)
    }
    return [states[name] for name in sorted(waiting, key=lambda name: (waiting[name], name))]


@dataclass(frozen=True, kw_only=True)
class Budget:
    """The time that the scans of one tick have.

    Args:
        seconds: From the tick's beginning, after which no scan goes on.
        patience: Seconds without an answer after which a source counts as failed, unless it says otherwise.
    """

    seconds: float
    patience: float

    def may_start(self, elapsed: float, patience: float) -> bool:
        """Tell whether a scan that begins now can be given its whole patience."""
        return elapsed <= self.seconds - patience


def budget(tick: float, patiences: Sequence[float] = ()) -> Budget:
    """Return the budget of a tick: as long as the next tick is not kept waiting, or as sources ask for.

    Args:
        tick: Seconds between two ticks.
        patiences: What sources say themselves, in seconds.
    """
    wanted = max(LEAST_SCAN_SECONDS, SCAN_SHARE * tick)
    patience = min(wanted, MOST_SCAN_SECONDS) / 2
    return Budget(seconds=min(max(wanted, 1.2 * max(patiences, default=0.0)), MOST_SCAN_SECONDS), patience=patience)


def share(left: int, others: int) -> int:
    """Return how many of a tick's launches one consumer may take when so many others after it want some too.

    What a consumer does not take goes to those after it.
    """
    return ceil(left / (others + 1))
