"""Jobs that do as they are told, and a schedule that shows whether the daemon looks every minute."""

import time

import dagster as dg


class Sleep(dg.Config):
    """How long to run."""

    seconds: float = 1.0


class Eat(dg.Config):
    """How much memory to take, in MiB."""

    mebibytes: int = 1


@dg.op
def rest(config: Sleep) -> None:
    """Run for some time."""
    time.sleep(config.seconds)


@dg.op
def devour(config: Eat) -> None:
    """Take memory, and hold it."""
    eaten = [b"\1" * 2**20 for _ in range(config.mebibytes)]
    time.sleep(1)
    del eaten


@dg.job(executor_def=dg.in_process_executor)
def sleep() -> None:
    """Sleep."""
    rest()


@dg.job(executor_def=dg.in_process_executor)
def eat() -> None:
    """Take memory."""
    devour()


@dg.schedule(job=sleep, cron_schedule="* * * * *", default_status=dg.DefaultScheduleStatus.RUNNING)
def every_minute() -> dg.SkipReason:
    """Leave a tick each minute, and no run."""
    return dg.SkipReason("only the tick is wanted")


defs = dg.Definitions(jobs=[sleep, eat], schedules=[every_minute])
