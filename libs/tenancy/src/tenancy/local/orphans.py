"""Processes whose parent has died, such as those of runs whose code server was killed."""

import ctypes
import os
import sys
from contextlib import suppress

PR_SET_CHILD_SUBREAPER = 36


def adopt_orphans() -> None:
    """Have Linux make this process the parent of its orphaned descendants (prctl(2)).

    Then it can reap them itself: init in a container often does not, or late, and a process that is dead but not reaped
    cannot be told from a living one by its group. It also makes their processor time count.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def reap_group(group: int) -> None:
    """Reap the dead of a process group that were adopted."""
    with suppress(ChildProcessError):
        while os.waitpid(-group, os.WNOHANG)[0]:
            pass
