"""How far the play has come: one small file, so that a feed that was stopped continues where it was."""

import json
import os
import time
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from demo.plan import MOMENTS, Plan


@dataclass(frozen=True)
class Progress:
    """The next moment to play; `started` is the Unix time (seconds) of the first start."""

    days: int
    seed: int
    next: int = 0
    items: int = 0
    done: bool = False
    started: float = field(default_factory=time.time)


def path(state: Path) -> Path:
    """Return the file that holds the progress."""
    return state / "feeds.json"


def load(state: Path) -> Progress | None:
    """Return the recorded progress, None before the first start."""
    try:
        return Progress(**json.loads(path(state).read_text()))
    except FileNotFoundError:
        return None


def resume(recorded: Progress | None, plan: Plan) -> Progress:
    """Return where a play of this plan starts.

    A play that is extended to more days goes back to the end of its last day, since the late deliveries after it now
    fall together with those of the new days. Raises ValueError if the seed is another or the days are fewer.
    """
    if recorded is None:
        return Progress(plan.days, plan.seed, items=plan.items)
    if recorded.seed != plan.seed or recorded.days > plan.days:
        raise ValueError(
            f"the recorded play has {recorded.days} days and seed {recorded.seed}, this one {plan.days} and "
            f"{plan.seed}: play at least as many days, or start from an empty state directory"
        )
    if recorded.days == plan.days:
        return recorded
    back = min(recorded.next, recorded.days * MOMENTS)
    return replace(recorded, days=plan.days, items=plan.items, next=back, done=False)


def save(state: Path, progress: Progress) -> None:
    """Record the progress in one step."""
    target = path(state)
    scratch = target.with_suffix(".tmp")
    scratch.write_text(json.dumps(asdict(progress)))
    os.replace(scratch, target)
