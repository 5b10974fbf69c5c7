"""Whether a namespace's quota has room for one more run.

A Job counts little; its pod is what a quota refuses, and then the Job waits for room without the run's knowing it,
until the run fails because it has not begun. So the launcher looks first, and the run waits in the queue.

The same holds for code servers, which have no queue: one that is upgraded, or that a node's drain takes away, could not
be replaced while runs use all that there is. So runs leave room for one, as `tenancy.capacity` reckons; but a run that
would then find none, even alone, is taken when it is alone.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from threading import Lock
from time import monotonic
from typing import Any

from tenancy.cluster_values import Resources
from tenancy.quantities import quantity

SETTLE_SECONDS = 10.0
"""How long a pod may take to appear in the quota after its Job was made; until then its run is counted here."""

COUNTED = ("cpu", "memory", "ephemeral-storage")

Amounts = Mapping[str, Decimal]
"""By the names that quotas have: requests.cpu, limits.memory, pods."""


@dataclass(frozen=True)
class Quota:
    """One ResourceQuota as it is now."""

    hard: Mapping[str, str]
    used: Mapping[str, str]


@dataclass(frozen=True)
class Lack:
    """Something of which a quota has too little left."""

    name: str
    wanted: str
    left: str
    hard: str
    ever: bool
    """Whether it will never do: the run wants more than the whole quota."""
    kept: str = ""
    """What is kept for a code server, and not in what is left."""

    def __str__(self) -> str:
        beside = f", beside {self.kept} for a code server" if self.kept else ""
        return f"{self.name}: {self.wanted} wanted, {self.left} of {self.hard} left{beside}"


def of_a_run(resources: Mapping[str, Any]) -> Amounts:
    """Return what a run counts for in a quota: its Job, and its pod with one container.

    Args:
        resources: of the container; what it does not name, the namespace's LimitRange fills in, and is not known here.
    """
    return {**_of_a_pod(resources.get("requests") or {}, resources.get("limits") or {}), "count/jobs.batch": Decimal(1)}


def of_a_server(resources: Resources) -> Amounts:
    """Return what a code server's pod counts for in a quota."""
    return _of_a_pod(resources.requests.model_dump(), resources.limits.model_dump())


def _of_a_pod(requests: Mapping[str, Any], limits: Mapping[str, Any]) -> dict[str, Decimal]:
    at_most = {name: quantity(str(limits[name])) for name in COUNTED if name in limits}
    at_least = {**at_most, **{name: quantity(str(requests[name])) for name in COUNTED if name in requests}}
    return {
        **{f"limits.{name}": amount for name, amount in at_most.items()},
        **{f"requests.{name}": amount for name, amount in at_least.items()},
        **at_least,  # names that mean the same
        "pods": Decimal(1),
        "count/pods": Decimal(1),
    }


def lacking(quotas: list[Quota], wanted: Amounts, taken: Amounts, kept: Amounts) -> list[Lack]:
    """Return of what there is too little.

    Args:
        quotas: of the namespace; all must have room.
        wanted: by the run.
        taken: by runs that are so new that the quotas do not count them yet.
        kept: for others than runs.
    """
    found: list[Lack] = []
    for quota in quotas:
        for name in sorted(set(quota.hard) & set(wanted)):
            hard, beside = quantity(quota.hard[name]), kept.get(name, Decimal(0))
            left = hard - quantity(quota.used.get(name, "0")) - taken.get(name, Decimal(0)) - beside
            if wanted[name] > left:
                texts = (_text(wanted[name]), _text(max(left, Decimal(0))), quota.hard[name])
                found.append(Lack(name, *texts, ever=wanted[name] > hard, kept=_text(beside) if beside else ""))
    return found


def _text(number: Decimal) -> str:
    return f"{number.normalize():f}"


class Room:
    """The runs of the last seconds, and the quotas that do not count them yet. For threads.

    Args:
        quotas: returns the quotas of a namespace.
        is_busy: tells whether Jobs of runs are in a namespace.
        clock: seconds.
    """

    def __init__(
        self,
        quotas: Callable[[str], list[Quota]],
        is_busy: Callable[[str], bool],
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._quotas = quotas
        self._is_busy = is_busy
        self._clock = clock
        self._lock = Lock()
        self._new: list[tuple[float, str, str, Amounts]] = []

    def take(self, namespace: str, run_id: str, wanted: Amounts, kept: Amounts) -> list[Lack]:
        """Count a run in, if there is room; returns of what there is too little.

        Args:
            namespace: of the run's team.
            run_id: of the run.
            wanted: by the run.
            kept: for a code server, unless the run is alone and would find no room beside it.
        """
        with self._lock:
            now = self._clock()
            self._new = [each for each in self._new if now - each[0] < SETTLE_SECONDS]
            new = [counted for _, where, _, counted in self._new if where == namespace]
            taken: dict[str, Decimal] = {}
            for name, amount in (each for counted in new for each in counted.items()):
                taken[name] = taken.get(name, Decimal(0)) + amount
            quotas = self._quotas(namespace)
            lacks = lacking(quotas, wanted, taken, kept)
            if lacks and kept and not new and not lacking(quotas, wanted, {}, {}) and not self._is_busy(namespace):
                lacks = []
            if not lacks:
                self._new.append((now, namespace, run_id, wanted))
            return lacks

    def give_back(self, run_id: str) -> None:
        """Forget a run that was counted in and whose Job was not made."""
        with self._lock:
            self._new = [each for each in self._new if each[2] != run_id]
