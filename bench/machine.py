"""What figures depend on: the command that was run, and where."""

import os
import platform
import sys
from importlib.metadata import version
from pathlib import Path

PACKAGES = ("dagster", "dagster-aws", "obstore", "psycopg")


def this_command() -> str:
    """Return the command that runs this benchmark, without where it writes to."""
    program, *arguments = sys.argv
    if "--json" in arguments:
        place = arguments.index("--json")
        del arguments[place : place + 2]
    return " ".join(["python -m", f"bench.{Path(program).stem}", *arguments])


def this_machine() -> str:
    """Say in one line where this runs."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    packages = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    return (
        f"{os.cpu_count()} processors ({_processor()}), {memory:.0f} GiB, {platform.system()} "
        f"{platform.release().split('-')[0]}, Python {platform.python_version()}, {packages}"
    )


def _processor() -> str:
    """Return the model of the processor, as far as the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())
