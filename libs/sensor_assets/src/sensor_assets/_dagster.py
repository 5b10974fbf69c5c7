"""The one place that touches what Dagster does not promise to keep; `tests/test_dagster_contract.py` watches each use.

- `AssetsDefinition.node_def.compute_fn.decorated_fn`: the function behind an asset. The declaration of a sensor asset
  hangs on it, because Dagster copies definitions freely (key prefixes, groups, owners) but never the function, while a
  registry keyed by asset key goes stale with the first prefix.
- `SensorEvaluationContext.caching_dynamic_partitions_loader`: without an instance on disk Dagster's own test context
  knows no dynamic partitions, and so refuses a request for a partition that the same tick adds.
- `AssetExecutionContext.run.tags` of the daemon's own tags: names are in `dagster._core.storage.tags`.
"""

from typing import Any, TypeVar

import dagster as dg

T = TypeVar("T")

RANGE_START_TAG = "dagster/asset_partition_range_start"
RANGE_END_TAG = "dagster/asset_partition_range_end"
WILL_RETRY_TAG = "dagster/will_retry"
BACKFILL_TAG = "dagster/backfill"


def evaluated(definitions: dg.Definitions, sensor: str, instance: dg.DagsterInstance, cursor: str | None) -> Any:
    """Evaluate a sensor once as the daemon does: its answer is checked, and partitions that it asks for are added."""
    context: Any = dg.build_sensor_context(
        instance=instance,
        cursor=cursor,
        repository_def=definitions.get_repository_def(),
        resources=dict(definitions.resources or {}),
        sensor_name=sensor,
    )
    context.caching_dynamic_partitions_loader = instance
    with context:
        answer: Any = definitions.resolve_sensor_def(sensor).evaluate_tick(context)
    for request in answer.dynamic_partitions_requests or ():
        instance.add_dynamic_partitions(request.partitions_def_name, request.partition_keys)
    return answer


def attached(asset: dg.AssetsDefinition, attribute: str, kind: type[T]) -> T | None:
    """Return what was set as an attribute on the function behind an asset, if it is of that type."""
    # An external asset has no function, and says so with a check error.
    compute: Any = getattr(asset.node_def, "compute_fn", None) if asset.is_executable else None
    value = getattr(getattr(compute, "decorated_fn", None), attribute, None)
    return value if isinstance(value, kind) else None
