"""Run Dagster's own tests on the lean storage: those of the three storages, and the crash matrix of the daemon.

    python -m libs.lean_postgres.dagster_suites              # all: some ten minutes
    python -m libs.lean_postgres.dagster_suites -k TestRuns  # further arguments are for pytest

The tests come from the source distribution of the installed version, since Dagster does not install them. It is fetched
by pip, which uv brings.
"""

import os
import subprocess
import sys
import tarfile
import tempfile
from importlib.metadata import version
from pathlib import Path

HERE = Path(__file__).parent
CRASHES = (
    "dagster_tests/daemon_sensor_tests/test_sensor_failure_recovery.py",
    "dagster_tests/scheduler_tests/test_scheduler_failure_recovery.py",
    "dagster_tests/declarative_automation_tests/daemon_tests/test_failure_recovery.py",
    "dagster_tests/declarative_automation_tests/daemon_tests/test_asset_daemon_failure_recovery.py",
)

# What the tests import of a package that Dagster does not publish.
UNPUBLISHED = {
    "dagster_test/utils/data_factory.py": """
from dagster import DagsterRun
from dagster._core.utils import make_new_run_id


def dagster_run(**values):
    return DagsterRun(**{"job_name": "job", "run_id": make_new_run_id(), **values})
""",
    "dagster_test/dg_utils/utils.py": """
def scrub_tox_uv_project_environment(*_):
    pass
""",
}


def main() -> int:
    """Fetch, unpack, run; return pytest's exit code."""
    with tempfile.TemporaryDirectory(prefix="suites-") as directory:
        tests = Path(directory)
        fetch(tests)
        for name, text in UNPUBLISHED.items():
            (tests / name).parent.mkdir(parents=True)
            (tests / name).write_text(text)
        (tests / "pytest.ini").write_text("[pytest]\naddopts = --import-mode=importlib\n")
        command = [sys.executable, "-m", "pytest", "-c", str(tests / "pytest.ini"), "--rootdir", str(tests), "-q"]
        command += ["-p", "on_lean", "-p", "no:cacheprovider", "-W", "ignore", *sys.argv[1:]]
        command += [str(HERE / "storages.py"), *(str(tests / name) for name in CRASHES)]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tests), str(HERE)])}
        return subprocess.run(command, check=False, cwd=tests, env=environment).returncode


def fetch(directory: Path) -> None:
    """Unpack the tests of the installed version of Dagster."""
    requirement = f"dagster=={version('dagster')}"
    options = ["--quiet", "--no-deps", "--no-binary", ":all:", "--dest", str(directory)]
    uv = os.environ.get("UV", "uv")
    subprocess.run([uv, "tool", "run", "pip", "download", *options, requirement], check=True)
    (source,) = directory.glob("dagster-*.tar.gz")
    with tarfile.open(source) as archive:
        for member in archive.getmembers():
            _top, _, member.name = member.name.partition("/")
            if member.name.startswith("dagster_tests/"):
                archive.extract(member, directory, filter="data")


if __name__ == "__main__":
    sys.exit(main())
