"""Whether a namespace's quota has room for one more run.

A Job counts little; its pod is what a quota refuses, and then the Job waits for room without the run's knowing it,
until the run fails because it has not begun. So the launcher looks first, and the run waits in the queue.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from threading import Lock
from time import monotonic
from typing import Any

from tenancy.cluster.resources import quantity

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

    def __str__(self) -> str:
        return f"{self.name}: {self.wanted} wanted, {self.left} of {self.hard} left"


def amounts(resources: Mapping[str, Any]) -> Amounts:
    """Return what a pod with one container counts for in a quota.

    Args:
        resources: of the container; what it does not name, the namespace's LimitRange fills in, and is not known here.
    """
    limits = {name: str(amount) for name, amount in (resources.get("limits") or {}).items() if name in COUNTED}
    requests = {name: str(amount) for name, amount in (resources.get("requests") or {}).items() if name in COUNTED}
    found = {f"limits.{name}": quantity(amount) for name, amount in limits.items()}
    found |= {f"requests.{name}": quantity(amount) for name, amount in {**limits, **requests}.items()}
    one = Decimal(1)
    same = {name: found[f"requests.{name}"] for name in COUNTED if f"requests.{name}" in found}
    return {**found, **same, "pods": one, "count/pods": one, "count/jobs.batch": one}


def lacking(quotas: list[Quota], wanted: Amounts, taken: Amounts) -> list[Lack]:
    """Return of what there is too little.

    Args:
        quotas: of the namespace; all must have room.
        wanted: by the run.
        taken: by runs that are so new that the quotas do not count them yet.
    """
    found: list[Lack] = []
    for quota in quotas:
        for name in sorted(set(quota.hard) & set(wanted)):
            hard = quantity(quota.hard[name])
            left = hard - quantity(quota.used.get(name, "0")) - taken.get(name, Decimal(0))
            if wanted[name] > left:
                texts = (_text(wanted[name]), _text(max(left, Decimal(0))), quota.hard[name])
                found.append(Lack(name, *texts, ever=wanted[name] > hard))
    return found


def _text(number: Decimal) -> str:
    return f"{number.normalize():f}"


class Room:
    """The runs of the last seconds, and the quotas that do not count them yet. For threads.

    Args:
        quotas: returns the quotas of a namespace.
        clock: seconds.
    """

    def __init__(self, quotas: Callable[[str], list[Quota]], clock: Callable[[], float] = monotonic) -> None:
        self._quotas = quotas
        self._clock = clock
        self._lock = Lock()
        self._new: list[tuple[float, str, str, Amounts]] = []

    def take(self, namespace: str, run_id: str, wanted: Amounts) -> list[Lack]:
        """Count a run in, if there is room; returns of what there is too little."""
        with self._lock:
            now = self._clock()
            self._new = [each for each in self._new if now - each[0] < SETTLE_SECONDS]
            taken: dict[str, Decimal] = {}
            for _, where, _, counted in self._new:
                for name, amount in counted.items() if where == namespace else ():
                    taken[name] = taken.get(name, Decimal(0)) + amount
            lacks = lacking(self._quotas(namespace), wanted, taken)
            if not lacks:
                self._new.append((now, namespace, run_id, wanted))
            return lacks

    def give_back(self, run_id: str) -> None:
        """Forget a run that was counted in and whose Job was not made."""
        with self._lock:
            self._new = [each for each in self._new if each[2] != run_id]
