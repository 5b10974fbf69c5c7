"""The end of every step of a Dockerfile: what makes the same sources the same layer, byte by byte, and quick to start.

1. Every module is compiled that has no .pyc yet. Not by compileall, which writes hash-based files anew every time: a
   layer would repeat what the layers below it hold. And not by uv, whose workers take modules in whatever order, on
   which a few bytes of a .pyc depend. Unchecked: Python does not look at the source at all.
2. What uv leaves for its next run is removed: it holds times.
3. What the step has changed gets the time SOURCE_DATE_EPOCH. BuildKit could do that (`rewrite-timestamp`), but packs
   every layer of every image anew for it, at every build: half a minute instead of a second.
"""

import importlib.util
import multiprocessing
import os
import py_compile
import sys
import sysconfig
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

PROCESSES = 4
"""A constant: what a process has compiled before is seen in the bytes of what it compiles next."""


def remove_traces_of_uv(environment: Path) -> None:
    """Remove what uv notes for its next run, and the lines in which a package's RECORD lists it."""
    Path(environment, ".lock").unlink(missing_ok=True)
    for note in environment.rglob("*.dist-info/uv_cache.json"):
        record = note.with_name("RECORD")
        lines = record.read_text().splitlines(keepends=True)
        record.write_text("".join(line for line in lines if not line.startswith(f"{note.parent.name}/{note.name},")))
        note.unlink()


def compile_all(modules: list[str]) -> None:
    """Compile modules; those that are no Python, as templates are, stay as they are."""
    for module in modules:
        with suppress(py_compile.PyCompileError):
            py_compile.compile(module, doraise=True, invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)


def not_compiled(directory: str) -> list[str]:
    """Return the modules below a directory that have no .pyc, in order."""
    modules = map(str, Path(directory).rglob("*.py"))
    return sorted(module for module in modules if not Path(importlib.util.cache_from_source(module)).exists())


def changed() -> Iterator[str]:
    """Yield what this step has changed on the root file system, its mounts apart."""
    begun = os.stat("/dev").st_ctime_ns  # which is made for the step
    device = os.stat("/").st_dev
    for directory, directories, files in os.walk("/"):
        directories[:] = [name for name in directories if os.lstat(Path(directory, name)).st_dev == device]
        for path in (os.path.join(directory, name) for name in (*directories, *files)):
            if os.lstat(path).st_ctime_ns > begun:
                yield path


def main() -> None:
    """Seal what the step has made."""
    remove_traces_of_uv(Path(sys.prefix))
    modules = [module for path in (sysconfig.get_path("stdlib"), sys.prefix) for module in not_compiled(path)]
    with multiprocessing.get_context("spawn").Pool(PROCESSES, maxtasksperchild=1) as pool:
        pool.map(compile_all, [modules[part::PROCESSES] for part in range(PROCESSES)], chunksize=1)
    epoch = int(os.environ["SOURCE_DATE_EPOCH"])
    for path in list(changed()):
        os.utime(path, (epoch, epoch), follow_symlinks=False)


if __name__ == "__main__":
    main()
