"""Dynamic partitions that a tick has to add before its runs are launched."""

from collections.abc import Callable, Mapping, Sequence

import dagster as dg

from sensor_assets._consumers import Consumer
from sensor_assets._state import BatchRecord


def additions(
    batches: Sequence[BatchRecord],
    consumers: Mapping[str, Consumer],
    dynamic_keys: Callable[[str], Sequence[str]],
) -> list[dg.AddDynamicPartitionsRequest]:
    """Return what to add for batches that are about to be launched; a repeated answer so adds the same again.

    Args:
        batches: The batches.
        consumers: Their consumers by name.
        dynamic_keys: Returns the keys that exist by the name of a definition.
    """
    wanted: dict[str, dict[str, None]] = {}
    for batch in batches:
        match consumers[batch.consumer]:
            case Consumer(add_partitions=True, partitions_def=dg.DynamicPartitionsDefinition(name=str(name))):
                wanted.setdefault(name, {}).update(dict.fromkeys(batch.partitions))
            case _:
                pass
    requests: list[dg.AddDynamicPartitionsRequest] = []
    for name, keys in wanted.items():
        existing = frozenset(dynamic_keys(name))
        if lacking := [key for key in keys if key not in existing]:
            requests.append(dg.AddDynamicPartitionsRequest(name, lacking))
    return requests
