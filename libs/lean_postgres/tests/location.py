"""The code location of the daemon tests: a sensor that asks for one run for each line of a file, and a schedule."""

import os
from pathlib import Path
from typing import Any

import dagster as dg

LINES = Path(os.environ["LINES"])


@dg.asset
def table(context: dg.AssetExecutionContext) -> dg.MaterializeResult[Any]:
    context.log.info("made in process %d", os.getpid())
    return dg.MaterializeResult(metadata={"pid": os.getpid()})


job = dg.define_asset_job("job", [table], executor_def=dg.in_process_executor)


@dg.sensor(job=job, minimum_interval_seconds=1, default_status=dg.DefaultSensorStatus.RUNNING)
def follow(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
    """Ask for what is new since the cursor."""
    lines = LINES.read_text().split()
    done = int(context.cursor or 0)
    if len(lines) == done:
        return dg.SkipReason("nothing new")
    return dg.SensorResult(run_requests=[dg.RunRequest(run_key=line) for line in lines[done:]], cursor=str(len(lines)))


hourly = dg.ScheduleDefinition(
    name="hourly", job=job, cron_schedule="0 * * * *", default_status=dg.DefaultScheduleStatus.RUNNING
)
defs = dg.Definitions(assets=[table], jobs=[job], sensors=[follow], schedules=[hourly])
