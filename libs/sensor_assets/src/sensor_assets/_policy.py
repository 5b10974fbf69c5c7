"""How one consumer decides."""

from dataclasses import dataclass

from sensor_assets._batching import Batching
from sensor_assets._joins import Join
from sensor_assets._partitions import NoPartitions
from sensor_assets._placing import Partitions
from sensor_assets._routing import Router


@dataclass(frozen=True, kw_only=True)
class Policy:
    """How one consumer decides.

    Args:
        name: The consumer.
        batching: Bounds of a batch.
        max_in_flight: Most batches of this consumer that may be launched and unfinished.
        serial: Whether batches without partitions exclude each other (per route), as partitions always do.
        partitions: Where items belong.
        router: Condition, or None to send everything.
        join: What waits for all sources, or None to wait for none.
    """

    name: str
    batching: Batching
    max_in_flight: int
    partitions: Partitions
    serial: bool = False
    router: Router | None = None
    join: Join | None = None

    @property
    def partitioned(self) -> bool:
        """Whether items belong to partitions."""
        return not isinstance(self.partitions, NoPartitions)

    @property
    def limit(self) -> int:
        """The most arrivals of each source, and of what is parked, that one decision may see."""
        launchable = self.batching.max_items * self.max_in_flight
        return launchable if self.router is None else max(launchable, self.router.max_waiting)
