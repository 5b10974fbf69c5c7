"""Die at a chosen point, as a process does that is killed there."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from sensor_assets.ledger import Ledger

Point = Literal["after recording", "before commit", "after commit"]

_STEPS: Mapping[Point, tuple[str, ...]] = {
    "after recording": ("record",),
    "before commit": ("emit", "finish"),
    "after commit": ("emit", "finish"),
}


class Crashed(BaseException):
    """The process was killed here. Not an Exception, so that nobody who handles errors handles it."""


@dataclass(frozen=True)
class Crash:
    """A point of an evaluation or a run at which it is killed; see `Crash.at`."""

    point: Point

    @classmethod
    def at(cls, point: Point) -> "Crash":
        """Return the crash at a point.

        Args:
            point: ``"after recording"`` of a page of a scan; ``"before commit"`` of what an evaluation decided or of a
                run's end, whose outputs are all stored by then; ``"after commit"`` of the same, so that the ledger has
                it and Dagster never hears.

        Raises:
            ValueError: There is no such point.
        """
        if point not in get_args(Point):
            raise ValueError(f"'{point}' is no point to crash at; there are {', '.join(get_args(Point))}")
        return cls(point)

    @classmethod
    def of_a_run(cls) -> tuple["Crash", ...]:
        """Return the points of a run, for ``pytest.mark.parametrize``."""
        return (cls("before commit"), cls("after commit"))

    def inside(self, ledger: Ledger) -> Ledger:
        """Return the ledger with the crash in it."""
        return _Crashing(ledger, self)  # type: ignore[return-value]

    def __str__(self) -> str:
        return self.point


class _Crashing:
    """A ledger whose user dies at the point."""

    def __init__(self, ledger: Ledger, crash: Crash) -> None:
        self._ledger = ledger
        self._crash = crash

    def __getattr__(self, name: str) -> Any:
        found: Callable[..., Any] = getattr(self._ledger, name)
        if name not in _STEPS[self._crash.point]:
            return found

        def call(*args: Any, **kwargs: Any) -> Any:
            if self._crash.point.startswith("after"):
                found(*args, **kwargs)
            raise Crashed(str(self._crash))

        return call
