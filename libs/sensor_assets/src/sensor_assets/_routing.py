"""Conditions: where the waiting items go, or why they wait."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from sensor_assets._items import Item
from sensor_assets.errors import DefinitionError

if TYPE_CHECKING:
    from sensor_assets._sources.base import Source


@dataclass(frozen=True, kw_only=True)
class Waiting:
    """What waits for a decision, oldest first.

    Args:
        items: The waiting items, at most as many as one decision may take.
        oldest_seconds: Age of the oldest, seconds since it was first seen.
        forced: True once the oldest waits longer than `max_hold`: a `Hold` is then overruled.
    """

    items: tuple[Item, ...]
    oldest_seconds: float
    forced: bool = False

    @property
    def count(self) -> int:
        """Number of waiting items."""
        return len(self.items)

    @property
    def bytes(self) -> int:
        """Their size together."""
        return sum(item.size for item in self.items)


@dataclass(frozen=True, kw_only=True)
class Send:
    """Process these items on the route `to`; without `items`, all that wait."""

    to: str
    items: Sequence[Item] | None = None


@dataclass(frozen=True)
class Hold:
    """Leave everything waiting; the reason is shown on the tick."""

    reason: str


Route = Callable[[Waiting], Hold | Send | Sequence[Send]]


@dataclass(frozen=True)
class Target:
    """One outlet of a router, for ``@sensor_asset(router["name"])``."""

    router: "Router"
    name: str


class Router:
    """Share the items of one source between several sensor assets by a pure function.

    Args:
        source: The source (or several) that is followed.
        decide: Pure function of what waits. It returns a `Hold`, or `Send`s that together take every waiting item.
        name: Name of the consumer in the ledger; keep it, it carries the position.
        targets: Names of the outlets.
        max_hold: How long items may be held, seconds or timedelta; then `decide` is asked with ``forced=True`` and,
            when it still holds, everything goes to `otherwise`.
        otherwise: The outlet for that case, the first target unless told.
    """

    def __init__(
        self,
        source: "Source | Sequence[Source]",
        decide: Route,
        *,
        name: str,
        targets: Sequence[str],
        max_hold: timedelta | float | None = None,
        otherwise: str | None = None,
    ) -> None:
        self.sources: tuple[Source, ...] = tuple(source) if isinstance(source, Sequence) else (source,)
        self.decide = decide
        self.name = name
        self.targets = tuple(targets)
        self.max_hold = max_hold
        self.otherwise = otherwise if otherwise is not None else (self.targets[0] if self.targets else "")
        if not self.targets or self.otherwise not in self.targets:
            raise DefinitionError(f"Router '{name}': otherwise='{self.otherwise}' is not among targets {self.targets}")

    def __getitem__(self, target: str) -> Target:
        """Return the outlet of that name."""
        if target not in self.targets:
            raise DefinitionError(f"Router '{self.name}' has no target '{target}'; it has {', '.join(self.targets)}")
        return Target(self, target)
