"""Which code servers there are: the workspace file, followed while it changes."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from dagster import DagsterError

from tenancy.cluster._dagster import (
    CheckError,
    CodeLocationOrigin,
    WorkspaceLoadTarget,
    location_origins_from_config,
)
from tenancy.cluster.errors import one_line
from tenancy.cluster.last_good import LastGood


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
    except (yaml.YAMLError, DagsterError, CheckError) as error:
        raise ValueError(one_line(error)) from None
