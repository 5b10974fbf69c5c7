"""Bounds: how much goes into one batch, how long to wait for more, how to treat failure."""

from dataclasses import dataclass
from datetime import timedelta

from pydantic import ByteSize, TypeAdapter, ValidationError

from sensor_assets.errors import DefinitionError

_SIZE = TypeAdapter(ByteSize)


def seconds(duration: timedelta | float) -> float:
    """Return a duration in seconds."""
    return duration.total_seconds() if isinstance(duration, timedelta) else float(duration)


def size_in_bytes(size: int | str, what: str) -> int:
    """Return a size such as ``"64 MiB"`` in bytes.

    Raises:
        DefinitionError: It is none; the message begins with `what`.
    """
    try:
        return int(_SIZE.validate_python(size))
    except ValidationError:
        raise DefinitionError(f"{what} '{size}' is not a size; write 1048576, '64 MiB' or '1 GiB'") from None


@dataclass(frozen=True, kw_only=True)
class Batching:
    """How many arrivals one run takes.

    Args:
        max_items: Most items in a batch.
        max_bytes: Most bytes in a batch, as a number or a text such as ``"1 GiB"``; a larger single item goes alone.
        max_wait: How long arrivals may wait for company (seconds or timedelta); a batch leaves earlier when it is full.
    """

    max_items: int = 1000
    max_bytes: int | str = "1 GiB"
    max_wait: timedelta | float = 0.0

    def __post_init__(self) -> None:
        if self.max_items < 1:
            raise DefinitionError(f"Batching: max_items must be at least 1, not {self.max_items}")
        if seconds(self.max_wait) < 0:
            raise DefinitionError("Batching: max_wait must not be negative")
        if self.bytes < 1:
            raise DefinitionError("Batching: max_bytes must be at least 1")

    @property
    def bytes(self) -> int:
        """`max_bytes` as a number."""
        return size_in_bytes(self.max_bytes, "Batching: max_bytes")


@dataclass(frozen=True, kw_only=True)
class Retry:
    """What happens to a batch whose run failed or vanished.

    It is tried again later. A batch that keeps failing is halved; a half is halved again at its first failure, once
    another batch succeeded (its sibling, say), so that one bad item stands alone after about log2(n) runs more while
    all others go on. The single item that still fails is quarantined.

    Args:
        max_failures: Failures after which a batch is halved, and a single item quarantined, provided that another batch
            succeeded meanwhile: else the sink is down, not the item bad.
        backoff: Time before the next attempt (seconds or timedelta), doubled with each failure.
        max_backoff: Longest time between two attempts (seconds or timedelta).
        give_up: Failures after which a single item is quarantined even if nothing succeeded meanwhile.
    """

    max_failures: int = 3
    backoff: timedelta | float = 10.0
    max_backoff: timedelta | float = 3600.0
    give_up: int = 8

    def delay(self, failures: int) -> float:
        """Return the seconds to wait after the n-th failure, n from 1."""
        exponent = min(failures - 1, 30)
        return min(seconds(self.backoff) * 2**exponent, seconds(self.max_backoff))
