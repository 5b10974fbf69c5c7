"""What the platform costs: processor time and memory of this process and all of its descendants."""

import resource
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

SAMPLE_SECONDS = 2.0


@dataclass(frozen=True)
class Usage:
    """Processor seconds (user and system) of every process so far, and the highest memory seen, in bytes."""

    processor_seconds: float
    peak_bytes: int

    def __str__(self) -> str:
        return f"processor={self.processor_seconds:.1f}s memory={self.peak_bytes / 2**20:.0f}MiB"


class Meter:
    """Samples memory now and then; processor time comes from the kernel's own accounts."""

    def __init__(self) -> None:
        self._peak = 0
        self._next = 0.0
        self._tree = psutil.Process()

    def sample(self) -> None:
        """Look at the memory of all processes, unless that was done less than two seconds ago."""
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + SAMPLE_SECONDS
        processes = [self._tree, *self._tree.children(recursive=True)]
        self._peak = max(self._peak, sum(_memory(process) for process in processes))

    def so_far(self) -> float:
        """Return the processor seconds until now of every process that runs or has been reaped by one that does."""
        total = 0.0
        for process in [self._tree, *self._tree.children(recursive=True)]:
            try:
                times = process.cpu_times()
            except psutil.Error:  # it has just ended
                continue
            total += times.user + times.system + times.children_user + times.children_system
        return total

    def finish(self) -> Usage:
        """Return the whole usage. Children count once they have ended, so call it after the platform is down."""
        own, children = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
        return Usage(own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime, self._peak)


def _memory(process: psutil.Process) -> int:
    """Return the proportional set size in bytes: shared pages count in parts, so that a sum counts them once."""
    if sys.platform == "linux":
        try:
            for line in Path(f"/proc/{process.pid}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    return int(line.split()[1]) * 1024
        except OSError:  # it has ended, or belongs to another user
            return 0
        return 0
    try:
        return int(process.memory_info().rss)
    except psutil.Error:
        return 0
