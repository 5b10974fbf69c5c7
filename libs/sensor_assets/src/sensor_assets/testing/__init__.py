"""Test sensor assets without a daemon: on a real ledger, with the outside world in memory and crashes where wanted.

The fixtures ``context``, ``lake``, ``ledger`` and ``make_location`` come by themselves; see
`sensor_assets.testing.plugin`.
"""

from typing import TYPE_CHECKING, Any

from sensor_assets.testing._crash import Crash, Crashed
from sensor_assets.testing._location import Location, Tick, TurnedClock, evaluate
from sensor_assets.testing._settings import set_environment, settings_for

if TYPE_CHECKING:
    from obstore.store import MemoryStore

__all__ = [
    "Crash",
    "Crashed",
    "Location",
    "MemoryStore",
    "Tick",
    "TurnedClock",
    "evaluate",
    "set_environment",
    "settings_for",
]


def __getattr__(name: str) -> Any:
    if name != "MemoryStore":
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    from obstore.store import MemoryStore  # noqa: PLC0415 - an extra

    return MemoryStore
