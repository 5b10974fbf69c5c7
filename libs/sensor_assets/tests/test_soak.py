"""A short run of the faults without end; `make soak ROUNDS=1000` is the long one."""

import subprocess
import sys
from pathlib import Path
from random import SystemRandom

import pytest

REPOSITORY = Path(__file__).parents[3]
ROUNDS = 15


@pytest.mark.timeout(400)
def test_faults_at_any_statement_of_daemon_code_server_and_runs_lose_and_double_nothing() -> None:
    seed = str(SystemRandom().randrange(10**6))
    program = [sys.executable, "-m", "libs.sensor_assets.tests.soak", "--rounds", str(ROUNDS), "--seed", seed]
    done = subprocess.run(program, check=False, capture_output=True, text=True, cwd=REPOSITORY)
    print(done.stdout)
    assert done.returncode == 0, f"repeat it with {' '.join(program[1:])}\n{done.stderr}"
    assert f"rounds={ROUNDS}" in done.stdout
    assert "lost=0 doubled=0" in done.stdout
