"""One evaluation of a monitor: scan, look after what was launched, decide, answer."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from time import monotonic
from typing import Any

from sensor_assets._batching import seconds
from sensor_assets._consumers import Consumer
from sensor_assets._cursor import Cursor
from sensor_assets._decide import Policy, decide
from sensor_assets._due import share
from sensor_assets._journal import Journal
from sensor_assets._log import Log
from sensor_assets._reconcile import settle
from sensor_assets._runs import Runs
from sensor_assets._runtime import Runtime
from sensor_assets._sources.base import Source
from sensor_assets._state import Ask, BatchRecord, ConsumerState, Decision, SourceState
from sensor_assets._survey import Limits, Surveyor
from sensor_assets.ledger import Emission, Following

# Sources whose error is told in one line.
MOST_NAMED = 10


@dataclass(frozen=True, kw_only=True)
class Health:
    """A source's health as Dagster is to be told."""

    source: Source
    state: SourceState
    healthy: bool


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What the evaluation found; the monitor turns it into Dagster's words.

    `health` lists the sources whose health changed since Dagster was told last; `arrived` counts new arrivals by
    source; `checked` counts the sources that were scanned and `states` has all of them; `held` says why consumers wait,
    `errors` what went wrong in deciding.
    """

    cursor: Cursor
    batches: Sequence[BatchRecord] = ()
    health: Sequence[Health] = ()
    arrived: Mapping[str, int] = field(default_factory=dict[str, int])
    checked: int = 0
    states: Mapping[str, SourceState] = field(default_factory=dict[str, SourceState])
    held: Mapping[str, str] = field(default_factory=dict[str, str])
    errors: Sequence[str] = ()
    failed: str | None = None


def evaluate(
    runtime: Runtime,
    monitor: str,
    *,
    consumers: Sequence[Consumer],
    cursor: Cursor,
    runs: Runs,
    policies: Mapping[str, Policy],
    resources: Mapping[str, Any],
    log: Log,
    limits: Limits | None = None,
) -> Answer:
    """Run one evaluation; safe to run twice at once and to be killed at any point.

    A cursor that is new or was reset by a person lets sources that fail be asked at once.

    Raises:
        LedgerError: The ledger cannot be used; nothing was answered and nothing is lost.
    """
    began = monotonic()
    limits = limits or Limits()
    sources = {source.name: source for consumer in consumers for source in consumer.sources}
    journal = Journal(monitor=monitor, log=log, metrics=runtime.monitor_metrics)
    surveyor = Surveyor(runtime=runtime, sources=sources, resources=resources, journal=journal, limits=limits)
    survey = surveyor.survey(runtime.ledger.sources(list(sources)), retry=cursor.fresh)
    states = survey.states
    evaluation = _Evaluation(
        runtime=runtime, monitor=monitor, consumers=consumers, cursor=cursor, journal=journal, limits=limits
    )
    evaluation.settle_launched(runs)
    emission, errors = evaluation.emit(policies, states)
    sick = {state.id for state in states.values() if state.failures > 0}
    health = [
        Health(source=sources[name], state=state, healthy=state.id not in sick)
        for name, state in states.items()
        if (state.id in sick) != (state.id in cursor.sick)
    ]
    after = cursor.model_copy(update={"epoch": emission.epoch, "sick": tuple(sorted(sick)), "fresh": False})
    journal.ticked(
        states,
        seconds=monotonic() - began,
        scan_ratio=survey.budget_used,
        cursor_bytes=len(after.dump()) if journal.metrics.on else 0,
    )
    return Answer(
        cursor=after,
        batches=emission.batches,
        health=health,
        arrived=survey.arrived,
        checked=survey.checked,
        states=states,
        held=emission.held,
        errors=errors,
        failed=_failure(sources, states, runtime.clock.now()),
    )


@dataclass(frozen=True, kw_only=True)
class _Evaluation:
    """Looking after runs and deciding, over what they share."""

    runtime: Runtime
    monitor: str
    consumers: Sequence[Consumer]
    cursor: Cursor
    journal: Journal
    limits: Limits

    def settle_launched(self, runs: Runs) -> None:
        """Give every launched batch whose run ended without marking it its next state."""
        ledger, now = self.runtime.ledger, self.runtime.clock.now()
        by_name = {consumer.name: consumer for consumer in self.consumers}
        launched = ledger.launched(list(by_name), self.monitor, self.cursor.epoch)
        reports = runs.report({batch.id: batch.run_key for batch in launched})
        for batch in launched:
            since = batch.first_failed_at
            settlement = settle(
                batch,
                reports[batch.id].outcome,
                retry=by_name[batch.consumer].retry,
                error=reports[batch.id].error,
                sink_works=since is not None and ledger.succeeded_since(batch.consumer, since),
                now=now,
                new_id=self.runtime.new_id,
            )
            if settlement is None:
                continue
            ledger.settle(settlement, now)
            self.journal.settled(settlement)

    def emit(self, policies: Mapping[str, Policy], states: Mapping[str, SourceState]) -> tuple[Emission, Sequence[str]]:
        """Decide for every consumer; one that cannot decide is reported and keeps its items waiting."""
        errors: list[str] = []
        left = self.limits.launches
        now = self.runtime.clock.now()

        def decide_one(name: str, state: ConsumerState) -> Decision | Ask | None:
            nonlocal left
            try:
                decision = decide(policies[name], state, now, self.runtime.new_id)
            except Exception as error:  # noqa: BLE001 - whatever a user's function raises is told, and its items wait
                errors.append(f"{name} cannot decide: {type(error).__name__}: {error}")
                self.journal.line(logging.WARNING, errors[-1], exc_info=error, consumer=name)
                return None
            if isinstance(decision, Ask):
                return decision
            decision = replace(decision, emit=decision.emit[: share(left, state.others)])
            left -= len(decision.emit)
            if decision.emit and state.pending:
                self.journal.lag(name, min(arrival.seen_at for arrival in state.pending), now)
            return decision

        # The order turns with every emission, so that under the bound on launches everyone has a turn.
        turn = self.cursor.epoch * self.limits.launches % max(len(self.consumers), 1)
        following = [
            Following(
                name=consumer.name,
                sources=tuple(states[source.name].id for source in consumer.sources),
                limit=policies[consumer.name].limit,
                max_in_flight=policies[consumer.name].max_in_flight,
                starts={states[source.name].id: source.start_from for source in consumer.sources},
                all_versions=frozenset(states[source.name].id for source in consumer.sources if source.keeps_versions),
            )
            for consumer in [*self.consumers[turn:], *self.consumers[:turn]]
        ]
        emission = self.runtime.ledger.emit(self.monitor, self.cursor.epoch, following, decide_one, now)
        self.journal.emitted(emission.batches, epoch=emission.epoch, repeated=emission.repeated)
        return emission, errors


def _failure(sources: Mapping[str, Source], states: Mapping[str, SourceState], now: datetime) -> str | None:
    """Say why the tick is to fail: every source is down, or one longer than it may."""
    failing = {name: state for name, state in states.items() if state.failures > 0}
    stale = [
        name
        for name, state in failing.items()
        if state.failing_since
        and (now - state.failing_since).total_seconds() > seconds(sources[name].common.stale_after)
    ]
    if not failing or (len(failing) < len(states) and not stale):
        return None
    # The stale ones first, and not hundreds of them: the text goes into the tick's row.
    named = [*stale, *(name for name in failing if name not in stale)][:MOST_NAMED]
    lines = [
        f"{state.error} (since {state.failing_since:%Y-%m-%d %H:%M:%S} UTC)"
        for state in map(failing.__getitem__, named)
    ]
    more = [f"and {len(failing) - len(named)} more"] if len(failing) > len(named) else []
    return f"{len(failing)} of {len(states)} sources are down: " + "; ".join([*lines, *more])
