"""Conditions: where the waiting items go, or why they wait."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from sensor_assets._batching import seconds
from sensor_assets._items import Item, counted
from sensor_assets._state import Arrival
from sensor_assets.errors import DefinitionError, SensorAssetsError

if TYPE_CHECKING:
    from sensor_assets._sources.base import Source


class RouteError(SensorAssetsError):
    """A route function broke its contract; its items stay waiting."""


@dataclass(frozen=True, kw_only=True)
class Waiting:
    """What waits for a decision, oldest first.

    Args:
        items: The waiting items, at most as many as one decision may take.
        oldest_seconds: Age of the oldest, seconds since it was first seen.
        forced: True once the oldest waits longer than `max_hold`: what is held for longer is then overruled.
        more: True when more wait behind these, which are shown once some of these have gone.
        now: The time (UTC). A route function that asks this instead of the clock can be tested.
    """

    items: tuple[Item, ...]
    oldest_seconds: float
    forced: bool = False
    more: bool = False
    now: datetime = field(default_factory=lambda: datetime.now(UTC))

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
    """Process these items on the route `to`; without `items`, all that are not yet named."""

    to: str
    items: Sequence[Item] | None = None


@dataclass(frozen=True)
class Hold:
    """Leave these items waiting, without `items` all that are not yet named; the reason is shown on the tick."""

    reason: str
    items: Sequence[Item] | None = None


@dataclass(frozen=True)
class Skip:
    """Do not process these items, without `items` all that are not yet named; the ledger keeps the reason.

    Args:
        reason: Why.
        items: What is skipped.
        to: The outlet whose asset still finds the items when a person launches or backfills it; without it none does.
    """

    reason: str
    items: Sequence[Item] | None = None
    to: str | None = None


Outcome = Send | Skip | Hold
Route = Callable[[Waiting], Outcome | Sequence[Outcome]]


@dataclass(frozen=True)
class Target:
    """One outlet of a router, for ``@sensor_asset(router["name"])``."""

    router: "Router"
    name: str


class Router:
    """Share the items of one source between several sensor assets by a pure function.

    Args:
        source: The source (or several) that is followed.
        decide: Pure function of what waits. It returns `Send`s, `Skip`s and `Hold`s; what none of them names waits, and
            is shown again together with what is new. A single `Hold` of everything leaves all of it where it is.
        name: Name of the consumer in the ledger; keep it, it carries the position.
        targets: Names of the outlets.
        max_hold: How long items may be held, seconds or timedelta; then `decide` is asked with ``forced=True``, and
            what it still holds for longer goes to `otherwise` (everything, when it holds everything).
        otherwise: The outlet for that case, the first target unless told.
        max_waiting: Most items that may wait while others go. When `decide` leaves more, the oldest go to `otherwise`,
            a tenth of them at once: it could not be shown all of them together.
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
        max_waiting: int = 10_000,
    ) -> None:
        self.sources: tuple[Source, ...] = tuple(source) if isinstance(source, Sequence) else (source,)
        self.decide = decide
        self.name = name
        self.targets = tuple(targets)
        self.max_hold = max_hold
        self.otherwise = otherwise if otherwise is not None else (self.targets[0] if self.targets else "")
        self.max_waiting = max_waiting
        if not self.targets or self.otherwise not in self.targets:
            raise DefinitionError(f"Router '{name}': otherwise='{self.otherwise}' is not among targets {self.targets}")
        if max_waiting < 1:
            raise DefinitionError(f"Router '{name}': max_waiting must be at least 1, not {max_waiting}")

    def __getitem__(self, target: str) -> Target:
        """Return the outlet of that name."""
        if target not in self.targets:
            raise DefinitionError(f"Router '{self.name}' has no target '{target}'; it has {', '.join(self.targets)}")
        return Target(self, target)


@dataclass(frozen=True)
class Way:
    """Where arrivals go: to an outlet; with `skipped`, no further, for that reason."""

    to: str | None
    skipped: str | None = None


@dataclass(frozen=True, kw_only=True)
class Routed:
    """What became of the arrivals: the ways of some, the others wait; `held` tells that nothing is to move at all."""

    ways: dict[Way, list[Arrival]]
    left: list[Arrival] = field(default_factory=list[Arrival])
    reason: str | None = None
    held: bool = False


def route(router: Router, arrivals: Sequence[Arrival], now: datetime, *, more: bool, unseen: int, batch: int) -> Routed:
    """Ask the route function, overrule what it holds for too long, and hold it to its contract.

    Args:
        router: The router.
        arrivals: What waits, oldest first.
        now: The time.
        more: Whether more waits than these.
        unseen: How many of those that earlier answers left waiting are not among these, as far as that is known.
        batch: Most items in a batch.

    Raises:
        RouteError: An item was named twice or does not wait, or something was sent to an unknown outlet.
    """
    limit = None if router.max_hold is None else now - timedelta(seconds=seconds(router.max_hold))
    oldest = (now - arrivals[0].seen_at).total_seconds()
    forced = limit is not None and arrivals[0].seen_at <= limit
    items = tuple(arrival.item for arrival in arrivals)
    answer = router.decide(Waiting(items=items, oldest_seconds=oldest, forced=forced, more=more, now=now))
    if isinstance(answer, Hold) and answer.items is None:
        if forced:
            return Routed(ways={Way(router.otherwise): list(arrivals)})
        return Routed(ways={}, reason=answer.reason, held=True)
    ways, left, reasons = _sort(router, arrivals, answer if isinstance(answer, Sequence) else [answer])
    due = sum(1 for arrival in left if limit is not None and arrival.seen_at <= limit)
    if (too_many := len(left) + unseen - router.max_waiting) > 0:
        # Some at once, so that not every further item sends the next one off alone.
        due = max(due, too_many, min(batch, router.max_waiting // 10))
        reasons = [f"more than {router.max_waiting} items wait, the oldest go to '{router.otherwise}'", *reasons]
    if due:
        ways[Way(router.otherwise)] = [*ways.get(Way(router.otherwise), []), *left[:due]]
    return Routed(ways=ways, left=left[due:], reason="; ".join(reasons) or None)


def _sort(
    router: Router, arrivals: Sequence[Arrival], outcomes: Sequence[Outcome]
) -> tuple[dict[Way, list[Arrival]], list[Arrival], list[str]]:
    unnamed = {id(arrival.item): arrival for arrival in arrivals}
    ways: dict[Way, list[Arrival]] = defaultdict(list)
    held: list[Arrival] = []
    reasons: list[str] = []
    for outcome in outcomes:
        chosen: list[Arrival] = []
        for key in list(unnamed) if outcome.items is None else [id(item) for item in outcome.items]:
            if key not in unnamed:
                raise RouteError(f"route '{router.name}' named an item twice, or one that does not wait")
            chosen.append(unnamed.pop(key))
        if not chosen:
            continue
        if isinstance(outcome, Hold):
            held += chosen
            reasons.append(f"{counted(len(chosen))}: {outcome.reason}")
            continue
        if outcome.to not in router.targets and not (isinstance(outcome, Skip) and outcome.to is None):
            known = ", ".join(router.targets)
            raise RouteError(f"route '{router.name}' sent items to '{outcome.to}'; it has {known}")
        ways[Way(outcome.to, outcome.reason if isinstance(outcome, Skip) else None)] += chosen
    if unnamed:
        reasons.append(f"{counted(len(unnamed))} left out by the route")
    waiting = {id(arrival) for arrival in (*held, *unnamed.values())}
    return dict(ways), [arrival for arrival in arrivals if id(arrival) in waiting], reasons
