"""Teams whose runs are left in the queue for a while, because the cluster took none lately."""

from collections.abc import Callable
from threading import Lock
from time import monotonic

FIRST_SECONDS = 10.0
LONGEST_SECONDS = 60.0


class Pauses:
    """How long the queue leaves the runs of a team where they are; longer each time, until one is taken. For threads.

    Every look costs a run three events, so it is not to be looked at all the time.
    """

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._lock = Lock()
        self._pauses: dict[str, tuple[float, float]] = {}

    def begin(self, team: str) -> None:
        """Pause a team, unless it is paused already."""
        with self._lock:
            now = self._clock()
            end, length = self._pauses.get(team, (now, 0.0))
            if end <= now:
                length = min(max(2 * length, FIRST_SECONDS), LONGEST_SECONDS)
                self._pauses[team] = (now + length, length)

    def end(self, team: str) -> None:
        """Note that a run of a team was taken."""
        with self._lock:
            self._pauses.pop(team, None)

    def teams(self) -> set[str]:
        """Return the teams that are paused now."""
        with self._lock:
            now = self._clock()
            return {team for team, (end, _) in self._pauses.items() if end > now}
