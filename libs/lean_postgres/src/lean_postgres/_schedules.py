"""The schedule storage: what the daemon does at every tick, as one statement each.

The statements have stock's effect to the byte, on every column; `tests/test_contract.py` compares. They go to the
driver as they are, because SQLAlchemy needs longer to put together such a statement than Postgres to execute it.
"""

from collections.abc import Sequence
from typing import Any

from lean_postgres._dagster import (
    DagsterInvariantViolationError,
    InstigatorState,
    InstigatorTick,
    PooledScheduleStorage,
    TickData,
    TickStatus,
    datetime_from_timestamp,
    deserialize_value,
    get_current_datetime,
    serialize_value,
)

PURGE_SECONDS = 3600.0
"""How much further a purge must reach than the sensor's last one of this process. Retention is given in days, and stock
purges at every tick."""

GET_STATE = "select instigator_body from instigators where selector_id = %(selector)s"

# The row in `instigators` decides whether the state exists, as in stock; both rows change or none.
UPDATE_STATE = """
with present as (
    update instigators
    set status = %(status)s, instigator_type = %(type)s, instigator_body = %(body)s, update_timestamp = %(now)s
    where selector_id = %(selector)s
    returning 1
), of_origin as (
    update jobs
    set selector_id = %(selector)s, status = %(status)s, job_body = %(body)s, update_timestamp = %(now)s
    where job_origin_id = %(origin)s and exists (select from present)
)
select 1 from present
"""

CREATE_TICK = """
insert into job_ticks (job_origin_id, selector_id, status, type, timestamp, tick_body)
values (%(origin)s, %(selector)s, %(status)s, %(type)s, %(timestamp)s, %(body)s)
returning id
"""

UPDATE_TICK = """
update job_ticks
set status = %(status)s, type = %(type)s, timestamp = %(timestamp)s, tick_body = %(body)s,
    selector_id = coalesce(%(selector)s, selector_id)
where id = %(id)s
"""

PURGE = """
delete from job_ticks
where timestamp < %(before)s
  and (selector_id = %(selector)s or (selector_id is null and job_origin_id = %(origin)s))
"""
PURGE_STATUSES = PURGE + "  and status = any(%(statuses)s)"


class OneStatementScheduleStorage(PooledScheduleStorage):
    """Stock's schedule storage with a pool and five methods of one statement each."""

    def get_instigator_state(self, origin_id: str, selector_id: str) -> InstigatorState | None:  # noqa: ARG002
        with self.connect() as connection:
            body = connection.exec_driver_sql(GET_STATE, {"selector": selector_id}).scalar()
        return None if body is None else deserialize_value(body, InstigatorState)

    def update_instigator_state(self, state: InstigatorState) -> InstigatorState:
        values = {
            "selector": state.selector_id,
            "origin": state.instigator_origin_id,
            "status": state.status.value,
            "type": state.instigator_type.value,
            "body": serialize_value(state),
            "now": get_current_datetime(),
        }
        with self.connect() as connection:
            if connection.exec_driver_sql(UPDATE_STATE, values).first() is None:
                raise DagsterInvariantViolationError(
                    f"InstigatorState {state.instigator_origin_id} is not present in storage"
                )
        return state

    def create_tick(self, tick_data: TickData) -> InstigatorTick:
        with self.connect() as connection:
            tick_id = connection.exec_driver_sql(CREATE_TICK, _columns(tick_data)).scalar_one()
        return InstigatorTick(tick_id, tick_data)

    def update_tick(self, tick: InstigatorTick) -> InstigatorTick:
        with self.connect() as connection:
            connection.exec_driver_sql(UPDATE_TICK, _columns(tick.tick_data) | {"id": tick.tick_id})
        return tick

    def purge_ticks(
        self,
        origin_id: str,
        selector_id: str,
        before: float,
        tick_statuses: Sequence[TickStatus] | None = None,
    ) -> None:
        statuses = [status.value for status in tick_statuses or ()]
        purged_before, key = self._database.purged_before, (origin_id, selector_id, frozenset(statuses))
        if 0 <= before - purged_before.get(key, float("-inf")) < PURGE_SECONDS:
            return
        values = {"origin": origin_id, "selector": selector_id, "before": datetime_from_timestamp(before)}
        with self.connect() as connection:
            connection.exec_driver_sql(
                PURGE_STATUSES if statuses else PURGE, values | ({"statuses": statuses} if statuses else {})
            )
        purged_before[key] = before


def _columns(tick: TickData) -> dict[str, Any]:
    return {
        "origin": tick.instigator_origin_id,
        "selector": tick.selector_id or None,
        "status": tick.status.value,
        "type": tick.instigator_type.value,
        "timestamp": datetime_from_timestamp(tick.timestamp),
        "body": serialize_value(tick),
    }
