"""Which code servers there are: the workspace file, followed while it changes."""

import logging
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread
from typing import Any

import yaml
from dagster import DagsterError

from tenancy.cluster._dagster import CodeLocationOrigin, WorkspaceLoadTarget, location_origins_from_config
from tenancy.cluster.errors import one_line
from tenancy.cluster.last_good import LastGood

LOOK_SECONDS = 2.0

logger = logging.getLogger("tenancy.cluster")


class FollowedWorkspace(WorkspaceLoadTarget):
    """The workspace of a file, by its newest content that could be read.

    Dagster's daemon reads the file anew each minute, and ends for all teams when it cannot be read for five.

    Args:
        path: the workspace file; it may name code servers and nothing else.

    Raises:
        ControlPlaneError: the file cannot be read at the beginning.
    """

    def __init__(self, path: Path) -> None:
        self._origins = LastGood(path, lambda text: _origins(text, path))

    def create_origins(self) -> Sequence[CodeLocationOrigin]:
        """Return where the code servers are now."""
        return self._origins.get()


def _origins(text: str, path: Path) -> Sequence[CodeLocationOrigin]:
    try:
        content: Any = yaml.safe_load(text)
        entries = content["load_from"]
        # Every other kind of entry would have the control plane itself load a team's code.
        if not all(set(entry) == {"grpc_server"} for entry in entries):
            raise ValueError("load_from may have entries of the kind grpc_server only")
        return list(location_origins_from_config(content, str(path)).values())
    except (KeyError, TypeError):
        raise ValueError("it has no list load_from of code servers") from None
    except (yaml.YAMLError, DagsterError) as error:
        raise ValueError(one_line(error)) from None


@contextmanager
def following(follow: Callable[[], object]) -> Generator[None]:
    """Call `follow` again and again in a thread: the webserver does not look at the workspace by itself."""
    over = Event()

    def look() -> None:
        while not over.wait(LOOK_SECONDS):
            try:
                follow()
            except Exception:
                logger.exception("the workspace could not be loaded anew; trying again")

    thread = Thread(target=look, name="workspace", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(LOOK_SECONDS)
