"""The only module of the local platform that touches Dagster's private API, and why.

- `CheckRunHealthResult`, `WorkerStatus`: what a run launcher answers to the run monitor. The method is public, its
  types are not exported.
- `DagsterGrpcClient`, `CanCancelExecutionRequest`, `CanCancelExecutionResult`, `deserialize_value`: to ask a code
  server which runs it has. No public call does.
- `GRPC_INFO_TAG`: where DefaultRunLauncher notes which code server has a run.
- `DagsterUserCodeUnreachableError`: what the client raises when there is no answer. Not exported.
"""

import json
from typing import Any, cast

from dagster import DagsterRun
from dagster._core.errors import DagsterUserCodeUnreachableError
from dagster._core.launcher import CheckRunHealthResult, WorkerStatus
from dagster._core.storage.tags import GRPC_INFO_TAG
from dagster._grpc.client import DagsterGrpcClient
from dagster._grpc.types import CanCancelExecutionRequest, CanCancelExecutionResult
from dagster._serdes import deserialize_value

__all__ = ["CheckRunHealthResult", "WorkerStatus", "code_server_has_run"]

ANSWER_SECONDS = 5


def code_server_has_run(run: DagsterRun) -> bool | None:
    """Ask the code server that was given a run whether it still has the run's process; None without an answer."""
    info = run.tags.get(GRPC_INFO_TAG)
    if info is None:
        return None
    address = cast("dict[str, Any]", json.loads(info))
    client = DagsterGrpcClient(
        port=address.get("port"), socket=address.get("socket"), host=address.get("host") or "localhost"
    )
    try:
        answer = client.can_cancel_execution(CanCancelExecutionRequest(run_id=run.run_id), timeout=ANSWER_SECONDS)
    except DagsterUserCodeUnreachableError:
        return None
    return deserialize_value(answer, CanCancelExecutionResult).can_cancel
