"""`tenancy up`: the platform for a person to look at and work with."""

import time
from collections.abc import Sequence
from pathlib import Path

from tenancy import environments
from tenancy.local.display import display
from tenancy.local.layout import Layout
from tenancy.local.ports import any_free, require_free
from tenancy.local.stack import POLL_SECONDS, LocalPlatform, Options
from tenancy.register import Location


def run(root: Path, locations: Sequence[Location], *, web_port: int, days: int, seconds_per_day: float) -> None:
    """Bring the platform up and look after it until the process is told to end.

    Args:
        root: of the repository.
        locations: those to start.
        web_port: of the webserver.
        days: how many days the feeds play; 0 for no feeds.
        seconds_per_day: how long a played day takes.

    Raises:
        LocalPlatformError: it cannot start, or something that it needs does not stay up.
    """
    environment = environments.load(environments.values_path(root, "local"))
    require_free(web_port, what="the web interface", change=f"make up PORT={web_port + 100}")
    options = Options(
        locations=locations,
        web_port=web_port,
        feeds_port=any_free(web_port + 1),
        days=days,
        seconds_per_day=seconds_per_day,
        dotenv=True,
    )
    with display() as shown, LocalPlatform(Layout(root, root / ".local"), environment, options, shown) as platform:
        while True:
            platform.poll()
            time.sleep(POLL_SECONDS)
