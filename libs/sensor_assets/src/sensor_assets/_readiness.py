"""Which arrivals may go: their partition exists, and the sources that it waits for have shown something. Pure."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sensor_assets._items import UNMATCHED
from sensor_assets._placing import Unplaceable, Window
from sensor_assets._policy import Policy
from sensor_assets._state import Arrival, Ask, ConsumerState, Misfit

# More partitions than this are counted, not named, in a reason.
_NAMED = 3

# After every text that an item can carry.
_END = chr(0x10FFFF)


@dataclass(frozen=True, kw_only=True)
class Sifted:
    """What may go, and what becomes of the rest.

    `ready` maps the arrivals that may go to their partition keys, in order of arrival. `unready` are the pending ones
    that do not, with `reason`; `taken` are all pending ones that the consumer's position moves over.
    """

    ready: Mapping[Arrival, str | None]
    misfits: Mapping[Arrival, Misfit]
    unready: Sequence[Arrival]
    taken: Sequence[Arrival]
    available: frozenset[str]
    released: Mapping[int, int]
    reason: str | None


def sift(policy: Policy, state: ConsumerState, now: datetime) -> Sifted | Ask:
    """Return which of the pending and parked arrivals may go, or what has to be known first."""
    if not policy.partitioned:
        return _sift_whole(policy, state, now)
    places = _Places(policy)
    pending, misfits = places.put(state.pending)
    parked, parked_misfits = places.put(state.parked or ())
    since = _since([*pending.items(), *parked.items()], state.waiting, places)
    if policy.join is not None and state.shown is None and since:
        return Ask(shown={key: policy.partitions.window(key) for key in since})
    open_keys = [key for batch in state.open for key in batch.partitions]
    available = policy.partitions.available([*open_keys, *since])
    reasons = {key: _reason(policy, key, moment, available, state.shown, now) for key, moment in since.items()}
    ready_keys = sorted((key for key, reason in reasons.items() if reason is None), key=lambda key: since[key])
    if state.waiting and state.parked is None and (windows := tuple(_windows(policy, state, ready_keys, places))):
        return Ask(parked=windows)
    ready = {
        a: key for a, key in (*parked.items(), *pending.items()) if key is not None and reasons.get(key, "") is None
    }
    return Sifted(
        ready=dict(sorted(ready.items(), key=_by_arrival)),
        misfits={**misfits, **parked_misfits},
        unready=[arrival for arrival in pending if arrival not in ready],
        taken=state.pending,
        available=available,
        released={},
        reason=_summary(reasons, since),
    )


def _windows(policy: Policy, state: ConsumerState, ready_keys: Sequence[str], places: "_Places") -> Iterator[Window]:
    """Return what is to come back of what is parked."""
    if policy.router is not None and state.more_waiting:
        # A route function is to see all that it left waiting, also of partitions whose turn it is not.
        first = next(iter(state.waiting))
        yield from ((first, _END), ("", first))
        return
    yield from (policy.partitions.window(key) for key in ready_keys)
    # What can be placed no longer, because the asset's partitions were changed, comes back to be set aside.
    yield from ((text, None) for text in state.waiting if places.key(text) is None)


def _sift_whole(policy: Policy, state: ConsumerState, now: datetime) -> Sifted | Ask:
    """Sift for an asset without partitions: what waits for other sources stays in the log, nothing of it is parked."""
    if state.waiting and state.parked is None:
        return Ask(parked=(("", _END),))
    released, reason = ({}, None) if policy.join is None else policy.join.release(state.logs, state.pending, now)
    free = [a for a in state.pending if a.item.arrival <= released.get(a.source_id, a.item.arrival)]
    ready, misfits = _Places(policy).put([*(state.parked or ()), *free])
    return Sifted(
        ready=dict(sorted(ready.items(), key=_by_arrival)),
        misfits=misfits,
        unready=(),
        taken=free,
        available=frozenset(),
        released=released,
        reason=reason,
    )


def _by_arrival(entry: tuple[Arrival, object]) -> tuple[int, int]:
    return entry[0].source_id, entry[0].item.arrival


def _since(
    placed: Iterable[tuple[Arrival, str | None]], waiting: Mapping[str, datetime], places: "_Places"
) -> dict[str, datetime]:
    """Return since when something waits for each partition key."""
    since: dict[str, datetime] = {}
    moments = [(key, arrival.seen_at) for arrival, key in placed]
    moments += [(places.key(text), moment) for text, moment in waiting.items()]
    for key, moment in moments:
        if key is not None:
            since[key] = min(moment, since.get(key, moment))
    return since


def _reason(
    policy: Policy,
    key: str,
    since: datetime,
    available: frozenset[str],
    shown: Mapping[str, frozenset[str]] | None,
    now: datetime,
) -> str | None:
    """Say why a partition waits; None when it does not."""
    if key not in available:
        return policy.partitions.absence(key)
    if policy.join is None:
        return None
    missing = policy.join.waits_for((shown or {}).get(key, frozenset()), since, now)
    return f"{key} waits for {', '.join(missing)} since {since:%Y-%m-%d %H:%M} UTC" if missing else None


def _summary(reasons: Mapping[str, str | None], since: Mapping[str, datetime]) -> str | None:
    waiting = sorted((since[key], reason) for key, reason in reasons.items() if reason is not None)
    named = [reason for _, reason in waiting[:_NAMED]]
    return "; ".join([*named, *([f"and {len(waiting) - _NAMED} more"] if len(waiting) > _NAMED else [])]) or None


class _Places:
    """Partition keys by the texts that items carry, each asked for once: Dagster takes its time over windows."""

    def __init__(self, policy: Policy) -> None:
        self._partitions = policy.partitions
        self._keys: dict[str | None, str | None] = {}
        self._verdicts: dict[str | None, str] = {}

    def key(self, text: str | None) -> str | None:
        """Return the partition key for an item's partition, or None when there is none."""
        if text not in self._keys:
            try:
                self._keys[text] = self._partitions.place(text or None)
            except Unplaceable as verdict:
                self._keys[text], self._verdicts[text] = None, str(verdict)
        return self._keys[text]

    def put(self, arrivals: Iterable[Arrival]) -> tuple[dict[Arrival, str | None], dict[Arrival, Misfit]]:
        """Return the arrivals' partition keys, and those that fit nowhere with the reason."""
        placed: dict[Arrival, str | None] = {}
        misfits: dict[Arrival, Misfit] = {}
        for arrival in arrivals:
            item = arrival.item
            key = self.key(item.partition)
            verdict = item.metadata.get(UNMATCHED, self._verdicts.get(item.partition))
            if verdict is None:
                placed[arrival] = key
            else:
                misfits[arrival] = Misfit(source_id=arrival.source_id, arrival=item.arrival, reason=str(verdict))
        return placed, misfits
