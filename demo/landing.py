"""The landing area of the object store, as an outside system writes to it: whole files, never half ones."""

import os
from pathlib import Path


class Landing:
    """Write files below `<state>/store/landing`."""

    def __init__(self, state: Path) -> None:
        self.folder = state / "store" / "landing"
        self._scratch = state / "feeds"  # outside of the store, so that no listing ever sees half a file
        self._scratch.mkdir(parents=True, exist_ok=True)

    def write(self, name: str, content: bytes) -> None:
        """Write a file in one step; an existing one is replaced."""
        target = self.folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        scratch = self._scratch / target.name
        scratch.write_bytes(content)
        os.replace(scratch, target)
