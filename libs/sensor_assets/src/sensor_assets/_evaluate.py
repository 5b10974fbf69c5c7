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
from sensor_assets.errors import SensorAssetsError
from sensor_assets.ledger import Following, ScanSupersededError

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

    `health` lists the sources whose health changed since Dagster was told last; `arrived` counts new arrivals by source.
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
    limits = limits or Limits()
    sources = {source.name: source for consumer in consumers for source in consumer.sources}
    states = runtime.ledger.sources(list(sources))
    arrived = _scan_due(runtime, sources, states, resources, log, limits)
    _settle_launched(runtime, monitor, consumers, cursor, runs, log)
    emission, errors = _emit(runtime, monitor, consumers, cursor, policies, states, limits, log)
    states = runtime.ledger.sources(list(sources))
    sick = {state.id for state in states.values() if state.failures > 0}
    told = set(cursor.sick)
    health = [
        Health(source=sources[name], state=state, healthy=state.id not in sick)
        for name, state in states.items()
        if (state.id in sick) != (state.id in told)
    ]
    return Answer(
        cursor=replace_cursor(cursor, emission.epoch, sick),
        batches=emission.batches,
        health=health,
        arrived=arrived,
        notes=[*(f"{name} holds: {reason}" for name, reason in emission.held.items()), *errors],
        failed=_failure(sources, states, runtime.clock.now()),
    )


def replace_cursor(cursor: Cursor, epoch: int, sick: set[int]) -> Cursor:
    """Return the cursor that acknowledges an epoch and the reported health."""
    return cursor.model_copy(update={"epoch": epoch, "sick": tuple(sorted(sick))})


def _scan_due(
    runtime: Runtime,
    sources: Mapping[str, Source],
    states: Mapping[str, SourceState],
    resources: Mapping[str, Any],
    log: logging.Logger,
    limits: Limits,
) -> dict[str, int]:
    """Scan the sources that are due, longest overdue first; a source that fails does not keep the others from it."""
    now = runtime.clock.now()
    due = [state for state in states.values() if state.due_at is None or state.due_at <= now]
    deadline = monotonic() + limits.scan_seconds
    arrived: dict[str, int] = {}
    for state in sorted(due, key=lambda state: state.due_at or datetime.min.replace(tzinfo=now.tzinfo)):
        if monotonic() > deadline:
            log.info(f"scan budget of {limits.scan_seconds:.0f} s used up; the remaining sources are first next time")
            break
        new = _scan(runtime, sources[state.name], state, resources, log, deadline)
        if new:
            arrived[state.name] = new
    return arrived


def _scan(
    runtime: Runtime,
    source: Source,
    state: SourceState,
    resources: Mapping[str, Any],
    log: logging.Logger,
    deadline: float,
) -> int:
    scan = runtime.ledger.begin_scan(state)
    context = ScanContext(
        position=scan.source.position,
        known=lambda keys: runtime.ledger.known(state.id, keys),
        settings=runtime.settings,
        resources=resources,
    )
    interval = source.interval(runtime.settings)
    new, error = 0, None
    complete = True
    try:
        for page in runtime.clients[source.name].scan(context):
            new += runtime.ledger.record(scan, page.items, page.position, runtime.clock.now())
            if monotonic() > deadline:
                complete = False
                break
    except ScanSupersededError as superseded:
        log.info(str(superseded))
        return new
    except SensorAssetsError as failure:
        error = str(failure)
        log.warning(error)
    except Exception as failure:  # a team's source must not take the team's other sources down with it
        error = f"source '{source.name}' failed: {type(failure).__name__}: {failure}"
        log.exception(error)
    now = runtime.clock.now()
    slowdown = min(2**state.failures, MAX_SLOWDOWN) if error else 1
    due_at = now + timedelta(seconds=interval * slowdown) if complete else now
    runtime.ledger.end_scan(scan, now=now, due_at=due_at, error=error)
    return new


def _settle_launched(
    runtime: Runtime, monitor: str, consumers: Sequence[Consumer], cursor: Cursor, runs: Runs, log: logging.Logger
) -> None:
    """Give every launched batch whose run ended without marking it its next state."""
    by_name = {consumer.name: consumer for consumer in consumers}
    launched = runtime.ledger.launched(list(by_name), monitor, cursor.epoch)
    reports = runs.report({batch.id: batch.run_key for batch in launched})
    for batch in launched:
        report = reports[batch.id]
        now = runtime.clock.now()
        settlement = settle(
            batch,
            report.outcome,
            retry=by_name[batch.consumer].retry,
            error=report.error,
            sink_works=batch.first_failed_at is not None
            and runtime.ledger.succeeded_since(batch.consumer, batch.first_failed_at),
            now=now,
            new_id=runtime.new_id,
        )
        if settlement is None:
            continue
        runtime.ledger.settle(settlement, now)
        if settlement.error:
            log.warning(f"batch {batch.id} of {batch.consumer} is now {settlement.batch.state}: {settlement.error}")


def _emit(
    runtime: Runtime,
    monitor: str,
    consumers: Sequence[Consumer],
    cursor: Cursor,
    policies: Mapping[str, Policy],
    states: Mapping[str, SourceState],
    limits: Limits,
    log: logging.Logger,
) -> tuple[Any, list[str]]:
    errors: list[str] = []
    left = limits.launches
    now = runtime.clock.now()

    def decide_one(name: str, state: ConsumerState) -> Decision | None:
        nonlocal left
        try:
            decision = decide(policies[name], state, now, runtime.new_id)
        except Exception as error:  # a team's route function must not stop the team's other consumers
            errors.append(f"{name} cannot decide: {type(error).__name__}: {error}")
            log.exception(errors[-1])
            return None
        decision = replace(decision, emit=decision.emit[:left])
        left -= len(decision.emit)
        return decision

    # The order turns with every epoch, so that under the bound on launches everyone is first at some time.
    turn = cursor.epoch % max(len(consumers), 1)
    following = [
        Following(
            name=consumer.name,
            sources=tuple(states[source.name].id for source in consumer.sources),
            limit=consumer.batching.max_items * policies[consumer.name].max_in_flight,
        )
        for consumer in [*consumers[turn:], *consumers[:turn]]
    ]
    emission = runtime.ledger.emit(monitor, cursor.epoch, following, decide_one, now)
    if emission.repeated:
        log.info(f"emission {emission.epoch} was not acknowledged; repeating {len(emission.batches)} open batches")
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
