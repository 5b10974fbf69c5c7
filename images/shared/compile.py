"""Compile every module below the given directories that is not compiled yet: python compile.py DIRECTORY...

Not compileall: it writes hash-based files anew every time, and a layer would repeat what the layers below it hold. And
not uv: its workers take modules in whatever order, on which a few bytes of a .pyc depend. Here the order is fixed, in
a fixed number of processes, so that the same sources give the same bytes.

Unchecked: Python does not look at the source at all. Sources in an image do not change, and their times are rewritten.
"""

import importlib.util
import multiprocessing
import sys
from pathlib import Path
from py_compile import PycInvalidationMode, PyCompileError, compile

PROCESSES = 4


def missing(directories: list[str]) -> list[str]:
    """Return the modules that have no .pyc, in order."""
    modules = (path for directory in directories for path in Path(directory).rglob("*.py"))
    return sorted(str(path) for path in modules if not Path(importlib.util.cache_from_source(str(path))).exists())


def compile_all(modules: list[str]) -> None:
    """Compile modules; those that are no Python, as templates are, stay as they are."""
    for module in modules:
        try:
            compile(module, doraise=True, invalidation_mode=PycInvalidationMode.UNCHECKED_HASH)
        except (PyCompileError, UnicodeDecodeError):
            pass


if __name__ == "__main__":
    found = missing(sys.argv[1:])
    parts = [found[part::PROCESSES] for part in range(PROCESSES)]
    # Each part in a process of its own, started anew.
    with multiprocessing.get_context("spawn").Pool(PROCESSES, maxtasksperchild=1) as pool:
        pool.map(compile_all, parts, chunksize=1)
