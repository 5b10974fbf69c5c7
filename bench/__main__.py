"""Run benchmarks one after the other, keep what they found and write the page: `python -m bench [NAME...]`."""

import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from bench import page
from bench.collection import BENCHMARKS, result

LOGS = Path(__file__).parents[1] / ".local" / "bench"


def main(arguments: Sequence[str]) -> int:
    """Run those that are named, or all; 1 when one failed or missed a bar."""
    if unknown := sorted(set(arguments) - set(BENCHMARKS)):
        print(f"there is no benchmark {', '.join(unknown)}; there are {', '.join(BENCHMARKS)}", file=sys.stderr)
        return 2
    failed = [name for name in arguments or BENCHMARKS if not run(name)]
    page.main()
    if failed:
        print(f"failed or missed a bar: {', '.join(failed)}", file=sys.stderr)
    return int(bool(failed))


def run(benchmark: str) -> bool:
    """Run one in a process of its own, whose log goes to a file; returns whether all is well."""
    LOGS.mkdir(parents=True, exist_ok=True)
    log = LOGS / f"{benchmark}.log"
    print(f"\n{BENCHMARKS[benchmark]} (log: {log})\n", flush=True)
    began = time.monotonic()
    with log.open("wb") as errors:
        command = [sys.executable, "-m", f"bench.{benchmark}", "--json", str(result(benchmark))]
        done = subprocess.run(command, stderr=errors, check=False)
    print(f"\n{time.monotonic() - began:.0f} s, exit code {done.returncode}", flush=True)
    return done.returncode == 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
