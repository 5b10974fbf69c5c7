"""Which schema this image wants in the database, found without loading Dagster: `wait` starts in every pod.

Both schemas are made by Alembic, whose migrations are files that name their revision and the one before it. Loading
them through Alembic would import Dagster, which takes seconds; a test compares.
"""

import re
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from tenancy.cluster.errors import ControlPlaneError

REVISION = re.compile(r"""^revision(?::[^=]*)?\s*=\s*["'](\w+)["']""", re.MULTILINE)
BEFORE = re.compile(r"""^down_revision(?::[^=]*)?\s*=\s*["'](\w+)["']""", re.MULTILINE)


@dataclass(frozen=True)
class Revisions:
    """The revisions of one schema that this image knows."""

    newest: str
    known: frozenset[str]

    def is_newer(self, found: str | None) -> bool:
        """Tell whether a database was made by a later version: it has a revision that is not known here."""
        return found is not None and found not in self.known


def of_dagster() -> Revisions:
    """Return the revisions of the instance's storage."""
    return _read("dagster", "_core/storage/alembic/versions")


def of_ledger() -> Revisions:
    """Return the revisions of a team's ledger."""
    return _read("sensor_assets", "ledger/migrations/versions")


def _read(package: str, folder: str) -> Revisions:
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise ControlPlaneError(f"the package {package} is not installed: is this the platform's image?")
    texts = [path.read_text(encoding="utf-8") for path in (Path(spec.origin).parent / folder).glob("*.py")]
    known = {match[1] for text in texts if (match := REVISION.search(text))}
    newest = known - {match[1] for text in texts if (match := BEFORE.search(text))}
    if len(newest) != 1:
        raise ControlPlaneError(f"{package} has {len(newest)} newest revisions of its schema instead of one")
    return Revisions(newest.pop(), frozenset(known))
