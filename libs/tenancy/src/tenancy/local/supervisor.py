"""Keep the platform's processes running."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import Enum

from tenancy.local.errors import LocalPlatformError
from tenancy.local.guardian import Guardian
from tenancy.local.processes import Process, Service
from tenancy.local.restarts import is_hopeless, pause_before_restart
from tenancy.log_excerpt import excerpt

READY_CHECK_SECONDS = 0.2
STOP_SECONDS = 5.0


class Condition(Enum):
    """How a service is doing, in the words that the display uses."""

    STARTING = "starting"
    READY = "ready"
    RESTARTING = "restarting"


@dataclass
class _Kept:
    service: Service
    process: Process
    condition: Condition = Condition.STARTING
    lives: list[float] = field(default_factory=list[float])
    restart_at: float = 0.0
    next_check: float = 0.0
    explained: bool = False
    was_ready: bool = False


class Supervisor:
    """Starts services, notices when one is ready or dead, starts dead ones again after a pause.

    Nothing happens between calls of `poll`, which is meant to be called several times a second.

    Args:
        guardian: is told of every process group.
        report: is given each message for the person at the keyboard.
    """

    def __init__(self, guardian: Guardian, report: Callable[[str], None]) -> None:
        self._guardian = guardian
        self._report = report
        self._kept: dict[str, _Kept] = {}

    def start(self, service: Service) -> None:
        """Start a service; it is ready some time later."""
        self._kept[service.name] = _Kept(service, Process(service, self._guardian))

    def poll(self) -> None:
        """Look after every service once.

        Raises:
            LocalPlatformError: an essential service dies again and again; with the end of its log.
        """
        for kept in self._kept.values():
            now = time.monotonic()
            if kept.condition is Condition.RESTARTING:
                if now >= kept.restart_at:
                    kept.process, kept.condition = Process(kept.service, self._guardian), Condition.STARTING
            elif (code := kept.process.poll()) is not None:
                self._bury(kept, code, now)
            elif kept.condition is Condition.STARTING and now >= kept.next_check:
                kept.next_check = now + READY_CHECK_SECONDS
                if kept.service.is_ready():
                    if kept.lives:
                        self._report(f"{kept.service.name} is back")
                    kept.condition, kept.was_ready, kept.explained = Condition.READY, True, False

    def conditions(self) -> dict[str, Condition]:
        """Return how each service is doing."""
        return {name: kept.condition for name, kept in self._kept.items()}

    def is_settled(self, names: Iterable[str]) -> bool:
        """Say whether each of these is ready, or has died without ever being ready and is optional."""
        return all(
            kept.condition is Condition.READY or (kept.lives and not kept.was_ready and not kept.service.essential)
            for kept in (self._kept[name] for name in names)
        )

    def process(self, name: str) -> Process:
        """Return the present process of a service."""
        return self._kept[name].process

    def stop(self, names: Iterable[str], patience: float = STOP_SECONDS) -> None:
        """End services together; those not known are passed over."""
        leaving = [self._kept.pop(name) for name in list(names) if name in self._kept]
        for kept in leaving:
            kept.process.ask_to_stop()
        deadline = time.monotonic() + patience
        for kept in leaving:
            kept.process.wait(deadline - time.monotonic())

    def _bury(self, kept: _Kept, code: int, now: float) -> None:
        kept.lives.append(now - kept.process.started)
        pause = pause_before_restart(kept.lives)
        kept.condition, kept.restart_at = Condition.RESTARTING, now + pause
        name, how = kept.service.name, f"was ended by signal {-code}" if code < 0 else f"ended with code {code}"
        end_of_log = f"From its log, {kept.service.log}:\n{excerpt(kept.process.written())}"
        if kept.service.essential and is_hopeless(kept.lives):
            raise LocalPlatformError(f"{name} {how}, {len(kept.lives)} times by now. {end_of_log}")
        if not kept.explained:  # once, not at every further attempt
            explanation = "" if code < 0 else f" {end_of_log}"
            again = f"again in {pause:.1f} s" if kept.was_ready else "again and again until it stays up"
            self._report(f"{name} {how}; it is started {again}.{explanation}")
            kept.explained = not kept.was_ready
