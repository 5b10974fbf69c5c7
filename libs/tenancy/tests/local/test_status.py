"""What is read from the ledgers, and what the platform costs."""

import subprocess
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from sensor_assets.ledger import migrate
from tenancy.local.chaos import Chaos
from tenancy.local.postgres import Postgres
from tenancy.local.provision import LEDGER, provision
from tenancy.local.stack import LocalPlatform
from tenancy.local.status import Ledgers, SourceStatus
from tenancy.local.usage import Meter


def test_the_ledgers_view_is_read_of_every_team_and_an_outage_is_no_error(tmp_path: Path) -> None:
    with Postgres(tmp_path / "data", tmp_path / "s", durable=False) as postgres:
        provision(postgres, ["weather", "fleet"])
        ledgers = Ledgers(postgres.url(LEDGER), ["weather", "fleet"])
        assert ledgers.read() == []  # not migrated yet
        migrate(postgres.url(LEDGER, "weather"), "weather")
        assert ledgers.read() == []  # a view without rows: its columns are those that are asked for
        postgres.restart(immediate=True)
        assert ledgers.read() is None
        assert ledgers.read() == []
        ledgers.close()


def test_processor_time_and_memory_of_descendants_count() -> None:
    meter = Meter()
    before = meter.finish().processor_seconds
    with subprocess.Popen(["sh", "-c", "i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done"]):
        meter.sample()
    usage = meter.finish()
    assert usage.processor_seconds - before > 0.05
    assert usage.peak_bytes > 1_000_000
    assert meter.so_far() >= usage.processor_seconds - before
    assert "processor=" in str(usage)


def test_chaos_is_the_same_for_the_same_seed_and_waits_for_work_in_flight() -> None:
    assert blows(7) == blows(7)
    assert len({tuple(blows(seed)) for seed in range(8)}) > 1
    assert sorted(words.split(" ")[0] for words in blows(3)) == ["SIGKILL", "SIGKILL", "immediate"]
    idle = Chaos(3, lambda _: None)
    idle.poll(cast("LocalPlatform", None), [])
    assert not idle.is_over


def blows(seed: int) -> Sequence[str]:
    """Return what a chaos of this seed does, with no pauses and nothing to kill."""
    said: list[str] = []
    process = SimpleNamespace(pid=1, kill=lambda: None)
    platform: Any = SimpleNamespace(
        code_servers=["a", "b", "c"],
        crash_postgres=lambda: None,
        supervisor=SimpleNamespace(process=lambda name: process),  # pyright: ignore[reportUnknownLambdaType]
    )
    busy = SourceStatus("weather", "hourly", "observations", 1, 0, 1, 0, 0, 0.0, True, None)
    chaos = Chaos(seed, said.append, first_seconds=(0.0, 0.0), between_seconds=(0.0, 0.0))
    while not chaos.is_over:
        chaos.poll(platform, [busy])
    return [words.removeprefix("chaos: ") for words in said[1:]]
