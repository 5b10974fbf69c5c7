"""One evaluation of a monitor: scan, look after what was launched, decide, answer."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from time import monotonic
from typing import Any

from sensor_assets._batching import seconds
from sensor_assets._consumers import Consumer
from sensor_assets._cursor import Cursor
from sensor_assets._decide import Policy, decide
from sensor_assets._reconcile import settle
from sensor_assets._runs import Runs
from sensor_assets._runtime import Runtime
from sensor_assets._sources.base import ScanContext, Source
from sensor_assets._state import BatchRecord, ConsumerState, Decision, SourceState
from sensor_assets.errors import LedgerError, SensorAssetsError
from sensor_assets.ledger import Emission, Following, ScanSupersededError

# A sick source is asked again after its interval, doubled with each failure up to this many times the interval.
MAX_SLOWDOWN = 8


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Bounds of one evaluation.

    Args:
        scan_seconds: Time for scanning; half of the 60 s after which the daemon gives up on a sensor.
        launches: Most batches launched.
    """

    scan_seconds: float = 30.0
    launches: int = 25


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
    source.
    """

    cursor: Cursor
    batches: Sequence[BatchRecord] = ()
    health: Sequence[Health] = ()
    arrived: Mapping[str, int] = field(default_factory=dict[str, int])
    notes: Sequence[str] = ()
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
    log: logging.Logger,
    limits: Limits | None = None,
) -> Answer:
    """Run one evaluation; safe to run twice at once and to be killed at any point.

    Raises:
        LedgerError: The ledger cannot be used; nothing was answered and nothing is lost.
    """
    sources = {source.name: source for consumer in consumers for source in consumer.sources}
    evaluation = _Evaluation(
        runtime=runtime,
        monitor=monitor,
        consumers=consumers,
        sources=sources,
        cursor=cursor,
        log=log,
        limits=limits or Limits(),
    )
    states = runtime.ledger.sources(list(sources))
    arrived = evaluation.scan_due(states, resources)
    evaluation.settle_launched(runs)
    emission, errors = evaluation.emit(policies, states)
    states = runtime.ledger.sources(list(sources))
    sick = {state.id for state in states.values() if state.failures > 0}
    health = [
        Health(source=sources[name], state=state, healthy=state.id not in sick)
        for name, state in states.items()
        if (state.id in sick) != (state.id in cursor.sick)
    ]
    return Answer(
        cursor=cursor.model_copy(update={"epoch": emission.epoch, "sick": tuple(sorted(sick))}),
        batches=emission.batches,
        health=health,
        arrived=arrived,
        notes=[*(f"{name} holds: {reason}" for name, reason in emission.held.items()), *errors],
        failed=_failure(sources, states, runtime.clock.now()),
    )


@dataclass(frozen=True, kw_only=True)
class _Evaluation:
    """The three steps of an evaluation, over what they share."""

    runtime: Runtime
    monitor: str
    consumers: Sequence[Consumer]
    sources: Mapping[str, Source]
    cursor: Cursor
    log: logging.Logger
    limits: Limits

    def scan_due(self, states: Mapping[str, SourceState], resources: Mapping[str, Any]) -> dict[str, int]:
        """Scan the sources that are due, longest overdue first, and return the number of new arrivals by source."""
        # Ticks come at the shortest interval, give or take: half of it early is on time, or every other tick finds
        # nothing.
        early = min(source.interval(self.runtime.settings) for source in self.sources.values()) / 2
        now = self.runtime.clock.now() + timedelta(seconds=early)
        due = [state for state in states.values() if state.due_at is None or state.due_at <= now]
        deadline = monotonic() + self.limits.scan_seconds
        arrived: dict[str, int] = {}
        for state in sorted(due, key=lambda state: state.due_at or datetime.min.replace(tzinfo=now.tzinfo)):
            if monotonic() > deadline:
                self.log.info(
                    f"scanned for {self.limits.scan_seconds:.0f} s; the remaining sources are first next time"
                )
                break
            if new := self._scan(state, resources, deadline):
                arrived[state.name] = new
        return arrived

    def _scan(self, state: SourceState, resources: Mapping[str, Any], deadline: float) -> int:
        """Scan one source and record page by page; its failure is noted and does not reach the other sources."""
        ledger, clock = self.runtime.ledger, self.runtime.clock
        interval = self.sources[state.name].interval(self.runtime.settings)
        scan = ledger.begin_scan(state)
        context = ScanContext(
            position=scan.source.position,
            known=lambda keys: ledger.known(state.id, keys),
            settings=self.runtime.settings,
            resources=resources,
            pages=ledger.pages(state.id),
            live=lambda after, limit: ledger.live(state.id, after, limit),
            log=self.log,
            remaining=lambda: deadline - monotonic(),
            now=clock.now(),
        )
        new, error, complete, listed = 0, None, True, True
        try:
            for page in self.runtime.clients[state.name].scan(context):
                new += ledger.record(scan, page, clock.now())
                if page.acknowledge is not None:
                    page.acknowledge()
                listed = not page.incomplete
                if monotonic() > deadline:
                    complete = False
                    break
        except ScanSupersededError as superseded:
            self.log.info(str(superseded))
            return new
        except LedgerError:
            raise
        except SensorAssetsError as failure:
            error = str(failure)
            self.log.warning(error)
        except Exception as failure:
            error = f"source '{state.name}' failed: {type(failure).__name__}: {failure}"
            self.log.warning(error, exc_info=True)
        if complete and listed and error is None and state.listed_at is None:
            ledger.note_listed(scan, clock.now())
        slowdown = min(2**state.failures, MAX_SLOWDOWN) if error else 1
        due_at = clock.now() + timedelta(seconds=interval * slowdown if complete else 0)
        ledger.end_scan(scan, now=clock.now(), due_at=due_at, error=error)
        return new

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
            if settlement.error:
                becomes = settlement.batch.state
                self.log.warning(f"batch {batch.id} of {batch.consumer} is now {becomes}: {settlement.error}")

    def emit(self, policies: Mapping[str, Policy], states: Mapping[str, SourceState]) -> tuple[Emission, Sequence[str]]:
        """Decide for every consumer; one that cannot decide is reported and keeps its items waiting."""
        errors: list[str] = []
        left = self.limits.launches
        now = self.runtime.clock.now()

        def decide_one(name: str, state: ConsumerState) -> Decision | None:
            nonlocal left
            try:
                decision = decide(policies[name], state, now, self.runtime.new_id)
            except Exception as error:
                errors.append(f"{name} cannot decide: {type(error).__name__}: {error}")
                self.log.warning(errors[-1], exc_info=True)
                return None
            decision = replace(decision, emit=decision.emit[:left])
            left -= len(decision.emit)
            return decision

        # The order turns with every epoch, so that under the bound on launches everyone is first at some time.
        turn = self.cursor.epoch % max(len(self.consumers), 1)
        following = [
            Following(
                name=consumer.name,
                sources=tuple(states[source.name].id for source in consumer.sources),
                limit=consumer.batching.max_items * policies[consumer.name].max_in_flight,
                max_in_flight=policies[consumer.name].max_in_flight,
                starts={states[source.name].id: source.start_from for source in consumer.sources},
            )
            for consumer in [*self.consumers[turn:], *self.consumers[:turn]]
        ]
        emission = self.runtime.ledger.emit(self.monitor, self.cursor.epoch, following, decide_one, now)
        if emission.repeated:
            open_batches = len(emission.batches)
            self.log.info(f"emission {emission.epoch} was not acknowledged; repeating {open_batches} open batches")
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
    lines = "; ".join(
        f"{state.error} (since {state.failing_since:%Y-%m-%d %H:%M:%S} UTC)" for state in failing.values()
    )
    return f"{len(failing)} of {len(states)} sources are down: {lines}"
