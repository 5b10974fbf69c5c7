"""What is needed of a logger."""

from collections.abc import Mapping
from typing import Protocol


class Log(Protocol):
    """Takes lines; a protocol, so that a tick without news need not make a logger: Dagster's opens the instance."""

    def log(
        self,
        level: int,
        msg: str,
        /,
        *,
        exc_info: BaseException | None = None,
        extra: Mapping[str, object] | None = None,
    ) -> None:
        """Write a line; `extra` are its fields."""
        ...
