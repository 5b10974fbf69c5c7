"""What the documentation shows works: its files are written, its commands run, its output compared."""

import shutil
import subprocess
from pathlib import Path

from .documents import Session, environment

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"


def clone(directory: Path) -> Path:
    """Return a copy of what is under version control, with the environment of this clone."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
    for name in filter(None, listed.stdout.split("\0")):
        target = directory / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, target)
    (directory / ".venv").symlink_to(ROOT / ".venv")
    return directory


def test_a_person_who_follows_the_tutorial_gets_what_it_promises(tmp_path: Path) -> None:
    session = Session(clone(tmp_path / "clone"), environment())
    assert session.follow(DOCS / "tutorials" / "first-sensor-asset.md") > 10
