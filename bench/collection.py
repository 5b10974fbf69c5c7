"""The collection: every benchmark, in the order in which they run and stand on the page.

A benchmark is a module of this package that takes `--json FILE` and delivers a `Report` there. Its docstring is the
text of its section, its title stands here, and nothing else is to be done for it.
"""

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

BENCHMARKS: Mapping[str, str] = {
    "losses": "Versions lost, effects doubled",
    "new_files": "New files to done",
    "object_listing": "A million objects in a bucket",
    "ledger_first_sight": "The ledger at a million items",
    "many_sources": "Many sources in one monitor",
    "hanging_sources": "Sources that hang",
    "storage_ticks": "A tick on the lean storage",
    "import_cost": "What an import costs",
    "charts": "Charts of a hundred teams",
    "image_start": "Until a code server serves",
}

RESULTS = Path(__file__).with_name("results")


def result(benchmark: str) -> Path:
    """Return the file that holds what a benchmark found."""
    return RESULTS / f"{benchmark}.json"


def source(benchmark: str) -> Path:
    """Return the file of a benchmark's module."""
    spec = find_spec(f"bench.{benchmark}")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(f"there is no module bench.{benchmark}")
    return Path(spec.origin)
