"""A sensor without a ledger, which requests one run for each new file of a directory."""

import os
from pathlib import Path

import dagster as dg

LANDING, SINK = Path(os.environ["LANDING"]), Path(os.environ["SINK"])


class File(dg.Config):
    """Which file a run is for."""

    key: str


@dg.asset
def landed(config: File) -> None:
    """A copy of the file."""
    (SINK / config.key.replace("/", "_")).write_bytes((LANDING / config.key).read_bytes())


@dg.sensor(target=landed, minimum_interval_seconds=5, default_status=dg.DefaultSensorStatus.RUNNING)
def new_files(context: dg.SensorEvaluationContext) -> list[dg.RunRequest] | dg.SkipReason:
    """Request a run for each file behind the cursor."""
    keys = sorted(path.relative_to(LANDING).as_posix() for path in LANDING.rglob("*.csv"))
    new = [key for key in keys if key > (context.cursor or "")]
    if not new:
        return dg.SkipReason("nothing new")
    context.update_cursor(new[-1])
    return [dg.RunRequest(run_key=key, run_config=dg.RunConfig(ops={"landed": File(key=key)})) for key in new]


defs = dg.Definitions(assets=[landed], sensors=[new_files], executor=dg.in_process_executor)
