"""What the person at the keyboard sees: live tables on a terminal, plain lines elsewhere."""

import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Self

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from tenancy.local import table
from tenancy.local.status import SourceStatus
from tenancy.local.supervisor import Condition

PLAIN_SECONDS = 10.0
"""How often, at most, the plain display tells how the sources are doing."""


class Display(ABC):
    """Shows messages, and the latest state of processes and sources."""

    @abstractmethod
    def message(self, text: str) -> None:
        """Show a line, or some, that stay."""

    @abstractmethod
    def starting(self, conditions: Mapping[str, Condition]) -> None:
        """Show the processes while the platform comes up."""

    @abstractmethod
    def running(self, header: str, conditions: Mapping[str, Condition], statuses: Sequence[SourceStatus]) -> None:
        """Show the sources once it is up."""

    @abstractmethod
    def close(self) -> None:
        """Leave the terminal as it was, with the last picture on it."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Terminal(Display):
    """Redraws its picture in place."""

    def __init__(self) -> None:
        self._since = time.monotonic()
        self._live = Live(console=Console(), auto_refresh=False)
        self._live.start()

    def message(self, text: str) -> None:
        self._live.console.print(text, markup=False, highlight=False)

    def starting(self, conditions: Mapping[str, Condition]) -> None:
        self._live.update(table.processes(conditions, self._since), refresh=True)

    def running(self, header: str, conditions: Mapping[str, Condition], statuses: Sequence[SourceStatus]) -> None:
        down = [name for name, condition in conditions.items() if condition is not Condition.READY]
        note = [Text(f"not up: {', '.join(down)}", style="red")] if down else []
        self._live.update(Group(Text(header, style="bold"), table.sources(statuses), *note), refresh=True)

    def close(self) -> None:
        self._live.stop()


class Plain(Display):
    """Prints a line when something changes."""

    def __init__(self) -> None:
        self._conditions: dict[str, Condition] = {}
        self._lines: dict[tuple[str, str, str], str] = {}
        self._header = ""
        self._next = 0.0

    def message(self, text: str) -> None:
        print(text, flush=True)

    def starting(self, conditions: Mapping[str, Condition]) -> None:
        for name, condition in conditions.items():
            if condition is Condition.READY and self._conditions.get(name) is not condition:
                self.message(f"{name}: {condition.value}")
        self._conditions = dict(conditions)

    def running(self, header: str, conditions: Mapping[str, Condition], statuses: Sequence[SourceStatus]) -> None:  # noqa: ARG002
        if header != self._header:
            self._header = header
            self.message(header)
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + PLAIN_SECONDS
        for status in statuses:
            key, text = (status.team, status.source, status.consumer), table.line(status)
            if self._lines.get(key) != text:
                self._lines[key] = text
                self.message(text)

    def close(self) -> None:
        """Do nothing: lines stay as they are."""


def display() -> Display:
    """Return what fits where the output goes."""
    return Terminal() if sys.stdout.isatty() else Plain()
