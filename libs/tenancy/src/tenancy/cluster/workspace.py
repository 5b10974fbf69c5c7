"""Which code servers there are: the workspace file, followed while it changes."""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread

import yaml
from dagster import DagsterError

from tenancy.cluster._dagster import CodeLocationOrigin, WorkspaceLoadTarget, location_origins_from_config
from tenancy.cluster.last_good import LastGood

LOOK_SECONDS = 2.0

logger = logging.getLogger("tenancy.cluster")


class FollowedWorkspace(WorkspaceLoadTarget):
    """The workspace of a file, by its newest content that could be read.

    Dagster's daemon reads the file anew each minute, and ends for all teams when it cannot be read for five.
    """

    def __init__(self, path: Path) -> None:
        self._origins = LastGood(path, lambda text: _origins(text, path))

    def create_origins(self) -> Sequence[CodeLocationOrigin]:
        """Return where the code servers are now."""
        return self._origins.get()


def _origins(text: str, path: Path) -> Sequence[CodeLocationOrigin]:
    try:
        content = yaml.safe_load(text)
        if not isinstance(content, dict):
            raise ValueError("it has no load_from")
        return list(location_origins_from_config(content, str(path)).values())
    except (yaml.YAMLError, DagsterError) as error:
        raise ValueError(str(error)) from None


@contextmanager
def following(target: FollowedWorkspace, refresh: Callable[[], object]) -> Iterator[None]:
    """Call `refresh` in a thread whenever the workspace has changed: the webserver does not look by itself."""
    over = Event()

    def look() -> None:
        known = target.create_origins()
        while not over.wait(LOOK_SECONDS):
            now = target.create_origins()
            if now is known:
                continue
            try:
                refresh()
                known = now
            except Exception:
                logger.exception("the workspace could not be loaded anew; trying again")

    thread = Thread(target=look, name="workspace", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
