"""`tenancy demo`: play some days at full speed, wait until everything settled, compare, take everything down."""

import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from tenancy import environments
from tenancy.local.chaos import Chaos
from tenancy.local.display import Display, display
from tenancy.local.environment import inherited
from tenancy.local.errors import LocalPlatformError
from tenancy.local.layout import Layout
from tenancy.local.lock import only_launcher
from tenancy.local.ports import any_free, require_free
from tenancy.local.settled import activity, feeds_end, outstanding
from tenancy.local.stack import POLL_SECONDS, LocalPlatform, Options
from tenancy.local.usage import Meter
from tenancy.register import Location

WEB_PORT = 3000
ASK_SECONDS = 2.0
TELL_SECONDS = 30.0
"""How often the person is told what is still waited for."""
STEADY_POLLS = 2
"""How often in a row nothing may be outstanding: the questions are not asked at one instant."""


class Demo:
    """One demonstration in a state directory of its own, `.local/demo`, which starts empty.

    Args:
        root: of the repository.
        locations: those to start.
        days: how many days are played.
        chaos_seed: when not None, processes are killed in the middle, by this seed.
        minutes: how long everything may take to settle.
    """

    def __init__(
        self, root: Path, locations: Sequence[Location], *, days: int, chaos_seed: int | None, minutes: float
    ) -> None:
        self._layout = Layout(root, root / ".local" / "demo")
        self._locations = locations
        self._days = days
        self._chaos_seed = chaos_seed
        self._minutes = minutes
        self._meter = Meter()

    def run(self, port: int | None) -> int:
        """Play, compare and print; return the comparison's exit code.

        Args:
            port: of the webserver; None for 3000, or any that is free.

        Raises:
            LocalPlatformError: the platform does not start, or not everything settles in time.
        """
        begin = time.monotonic()
        environment = environments.load(environments.values_path(self._layout.root, "local"))
        web_port = (
            any_free(WEB_PORT) if port is None else require_free(port, what="the demo", change="make demo PORT=3100")
        )
        options = Options(
            locations=self._locations,
            web_port=web_port,
            feeds_port=any_free(web_port + 1),
            days=self._days,
            seconds_per_day=0.0,
            dotenv=False,
        )
        with only_launcher(self._layout.lock):
            shutil.rmtree(self._layout.state, ignore_errors=True)
        with ExitStack() as stack:
            shown = stack.enter_context(display())
            platform = stack.enter_context(LocalPlatform(self._layout, environment, options, shown))
            cost = f"{time.monotonic() - begin:.0f} s, {self._meter.so_far():.1f} s of processor time"
            shown.message(f"the platform is up after {cost}")
            self._wait_until_settled(platform, shown, begin + self._minutes * 60)
            shown.message(f"everything settled after {time.monotonic() - begin:.0f} s; comparing")
            code, last_line = self._compare(platform)
        print(f"{self._meter.finish()} wall={time.monotonic() - begin:.0f}s")
        print(last_line)
        return code

    def _wait_until_settled(self, platform: LocalPlatform, shown: Display, deadline: float) -> None:
        chaos = None if self._chaos_seed is None else Chaos(self._chaos_seed, shown.message)
        steady, next_question, next_word = 0, 0.0, time.monotonic() + TELL_SECONDS
        while steady < STEADY_POLLS:
            platform.poll()
            self._meter.sample()
            if chaos is not None:
                chaos.poll(platform, platform.statuses)
            if time.monotonic() >= next_question:
                next_question = time.monotonic() + ASK_SECONDS
                left = self._outstanding(platform)
                if chaos is not None and not chaos.is_over:
                    left.append("not every blow of the chaos has been dealt")
                steady = 0 if left else steady + 1
                if left and time.monotonic() >= next_word:
                    next_word = time.monotonic() + TELL_SECONDS
                    shown.message(f"waiting: {'; '.join(left)}")
                if left and time.monotonic() > deadline:
                    raise LocalPlatformError(
                        f"not settled within {self._minutes:g} minutes:\n  "
                        + "\n  ".join(left)
                        + f"\nLogs are in {self._layout.logs}; more time: make demo MINUTES={2 * self._minutes:g}"
                    )
            time.sleep(POLL_SECONDS)

    def _outstanding(self, platform: LocalPlatform) -> list[str]:
        feeds = feeds_end(self._layout.state)
        statuses = platform.ledgers.read() if feeds else None
        return outstanding(feeds, statuses, lambda: activity(platform.instance), len(self._locations))

    def _compare(self, platform: LocalPlatform) -> tuple[int, str]:
        """Run the comparison, pass on all that it prints but the last line, and return that with its exit code."""
        command = [sys.executable, "-m", "demo.compare", "--state", str(self._layout.state)]
        command += ["--database-url", platform.postgres.url(), "--days", str(self._days)]
        environment = inherited(self._layout.dagster_home)
        process = subprocess.run(
            command, cwd=self._layout.root, env=environment, stdout=subprocess.PIPE, text=True, check=False
        )
        *lines, last = process.stdout.rstrip().splitlines() or ["the comparison printed nothing"]
        print("\n".join(lines), flush=True)
        return process.returncode, last
