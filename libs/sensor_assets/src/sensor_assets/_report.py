"""What a tick without launches says of itself, in one line."""

from collections.abc import Sequence
from datetime import datetime

from sensor_assets._evaluate import Answer

# Names in one list: the line is stored with every tick.
MOST_NAMED = 5


def skip_reason(answer: Answer, now: datetime) -> str:
    """Return what was looked at, what came of it, what fails, what waits and why, and when the next source is due."""
    since = {name: state.failing_since or now for name, state in answer.states.items() if state.failures > 0}
    failing = sorted(since, key=lambda name: (since[name], name))
    new = sum(answer.arrived.values())
    parts = [
        f"{answer.checked} of {len(answer.states)} sources checked" if answer.checked else "no source was due",
        f"{new} new" if new else "nothing new",
    ]
    if answer.failed:
        parts.append(answer.failed)
    elif failing:
        parts.append(f"{len(failing)} failing: {_some(failing)}")
    parts += _some_of([f"{name} holds: {reason}" for name, reason in answer.held.items()])
    parts += _some_of(answer.errors)
    dues = [state.due_at for state in answer.states.values() if state.due_at is not None]
    if dues and (next_due := min(dues)) > now:
        parts.append(f"next due {next_due:%H:%M:%S} UTC")
    return "; ".join(parts)


def _some(names: Sequence[str]) -> str:
    return ", ".join(_some_of(names))


def _some_of(texts: Sequence[str]) -> list[str]:
    more = [f"and {len(texts) - MOST_NAMED} more"] if len(texts) > MOST_NAMED else []
    return [*texts[:MOST_NAMED], *more]
