"""Kill the daemon and a code server, and crash Postgres, in the middle of a demonstration."""

import random
import time
from collections.abc import Callable, Sequence

from tenancy.local.stack import LocalPlatform
from tenancy.local.status import SourceStatus


class Chaos:
    """A plan of three blows, made from a seed, that begins once batches are in flight.

    Args:
        seed: makes the same order, pauses and choice again.
        report: is given a line for each blow.
        first_seconds: shortest and longest time from the first batch in flight to the first blow.
        between_seconds: shortest and longest time between blows.
    """

    def __init__(
        self,
        seed: int,
        report: Callable[[str], None],
        *,
        first_seconds: tuple[float, float] = (1.0, 6.0),
        between_seconds: tuple[float, float] = (2.0, 6.0),
    ) -> None:
        self._random = random.Random(seed)  # noqa: S311 - repeatable on purpose
        self._report = report
        self._first_seconds, self._between_seconds = first_seconds, between_seconds
        self._blows = self._random.sample(["daemon", "code server", "postgres"], 3)
        self._next: float | None = None
        report(f"chaos: seed {seed} (repeat with SEED={seed})")

    @property
    def is_over(self) -> bool:
        """Whether every blow has been dealt."""
        return not self._blows

    def poll(self, platform: LocalPlatform, statuses: Sequence[SourceStatus]) -> None:
        """Deal the next blow if it is time."""
        if self.is_over:
            return
        if self._next is None:
            if any(status.in_flight for status in statuses):
                self._next = time.monotonic() + self._random.uniform(*self._first_seconds)
            return
        if time.monotonic() >= self._next:
            self._deal(self._blows.pop(0), platform)
            self._next = time.monotonic() + self._random.uniform(*self._between_seconds)

    def _deal(self, blow: str, platform: LocalPlatform) -> None:
        if blow == "postgres":
            self._report("chaos: immediate restart of Postgres")
            platform.crash_postgres()
            return
        name = "daemon" if blow == "daemon" else self._random.choice(platform.code_servers)
        process = platform.supervisor.process(name)
        self._report(f"chaos: SIGKILL of {name} (process {process.pid})")
        process.kill()
