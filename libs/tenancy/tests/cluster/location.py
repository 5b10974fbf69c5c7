"""A location of a team, as a code server serves it."""

import os

import dagster as dg


@dg.op(pool="db")
def work(context: dg.OpExecutionContext) -> None:
    """Tell who works; a pool makes a run ask for the settings of the queue."""
    context.log.info(f"works as {os.environ.get('DATABASE_USERNAME')} in {os.environ.get('DAGSTER_RUN_JOB_NAME')}")


@dg.job(executor_def=dg.in_process_executor)
def hello() -> None:
    """Do what the op does."""
    work()


defs = dg.Definitions(jobs=[hello])
