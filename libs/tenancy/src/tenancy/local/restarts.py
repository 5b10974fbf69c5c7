"""When to start a process that died again, and when to give up."""

from collections.abc import Sequence

CALM_SECONDS = 30.0
"""A process that lived this long is healthy: its earlier deaths no longer count."""
FIRST_SECONDS = 0.5
LONGEST_SECONDS = 60.0
MOST_DEATHS = 5


def deaths_in_a_row(lives: Sequence[float]) -> int:
    """Count the latest lives, each in seconds, that were too short to call the process healthy."""
    count = 0
    for life in reversed(lives):
        if life >= CALM_SECONDS:
            break
        count += 1
    return count


def pause_before_restart(lives: Sequence[float]) -> float:
    """Return how many seconds to wait: half a second, doubled for each short life in a row, at most a minute."""
    return min(FIRST_SECONDS * 2 ** max(0, deaths_in_a_row(lives) - 1), LONGEST_SECONDS)


def is_hopeless(lives: Sequence[float]) -> bool:
    """Say whether a process dies so often that somebody has to look."""
    return deaths_in_a_row(lives) >= MOST_DEATHS
