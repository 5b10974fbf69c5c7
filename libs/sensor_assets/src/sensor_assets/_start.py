"""Where a consumer starts in what a source holds already: with all of it, behind it, or at a day."""

from datetime import date, datetime
from typing import Literal

from sensor_assets.errors import DefinitionError

Start = Literal["all", "now"] | date


def parse_start(start: "Start | str", where: str) -> Start:
    """Return where to start.

    Raises:
        DefinitionError: It is none of "all", "now", a date, or a date as text.
    """
    match start:
        case "all" | "now":
            return start
        case str():
            try:
                return date.fromisoformat(start)
            except ValueError:
                pass
        case date() if not isinstance(start, datetime):
            return start
        case _:
            pass
    raise DefinitionError(f"{where}: start_from must be 'all', 'now' or a date such as 2024-01-31, not '{start}'")
