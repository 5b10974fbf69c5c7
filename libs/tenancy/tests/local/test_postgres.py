"""The private Postgres server, with real servers."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import psycopg
import pytest
import sqlalchemy
from tenancy.local.errors import LocalPlatformError
from tenancy.local.postgres import Postgres


@pytest.fixture
def postgres(tmp_path: Path) -> Iterator[Postgres]:
    with Postgres(tmp_path / "data", tmp_path / "s", durable=False) as server:
        yield server


def test_url_works_for_psycopg_and_for_sqlalchemys_default_driver(postgres: Postgres) -> None:
    with psycopg.connect(postgres.url()) as connection:
        assert connection.execute("SELECT current_user").fetchone() == ("postgres",)
    engine = sqlalchemy.create_engine(postgres.url())
    with engine.connect() as connection:
        assert connection.execute(sqlalchemy.text("SHOW fsync")).scalar() == "off"
    engine.dispose()


def test_it_listens_on_no_port_and_its_socket_is_private(postgres: Postgres) -> None:
    assert postgres.pid is not None
    assert not psutil.Process(postgres.pid).net_connections("inet")
    assert postgres.socket_dir.stat().st_mode & 0o777 == 0o700


def test_what_was_committed_survives_a_crash(postgres: Postgres) -> None:
    with psycopg.connect(postgres.url(), autocommit=True) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 1 AS value")
    postgres.restart(immediate=True)
    postgres.kill()
    postgres.start()
    with psycopg.connect(postgres.url()) as connection:
        assert connection.execute("SELECT value FROM kept").fetchone() == (1,)


def test_a_second_start_uses_the_same_data(tmp_path: Path) -> None:
    for attempt in range(2):
        with (
            Postgres(tmp_path / "data", tmp_path / "s", durable=False) as server,
            psycopg.connect(server.url(), autocommit=True) as connection,
        ):
            connection.execute("CREATE TABLE IF NOT EXISTS starts (attempt int)")
            connection.execute("INSERT INTO starts VALUES (%s)", [attempt])
            assert connection.execute("SELECT count(*) FROM starts").fetchone() == (attempt + 1,)


def test_nothing_is_left_when_its_process_is_killed(tmp_path: Path) -> None:
    program = (
        "import sys, time\nfrom pathlib import Path\nfrom tenancy.local.postgres import Postgres\n"
        "base = Path(sys.argv[1])\npostgres = Postgres(base / 'data', base / 's', durable=False)\npostgres.start()\n"
        "print(postgres.pid, flush=True)\ntime.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        server = psutil.Process(int(parent.stdout.readline()))
        parent.send_signal(signal.SIGKILL)
    assert _ends_within(server, 2.0)
    with Postgres(tmp_path / "data", tmp_path / "s", durable=False):  # the next start finds everything in order
        pass


def test_an_interrupted_creation_is_begun_anew(tmp_path: Path) -> None:
    (tmp_path / "data.new").mkdir()
    (tmp_path / "data.new" / "PG_VERSION").write_text("18\n")
    with Postgres(tmp_path / "data", tmp_path / "s", durable=False) as server:
        assert server.poll() is None


def test_a_socket_path_that_is_too_long_is_refused_with_its_excess(tmp_path: Path) -> None:
    with pytest.raises(LocalPlatformError, match=r"bytes too long.*Move the clone"):
        Postgres(tmp_path / "data", tmp_path / ("s" * 100)).start()


def test_data_of_another_version_is_refused(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "PG_VERSION").write_text("9\n")
    with pytest.raises(LocalPlatformError, match="made by Postgres 9"):
        Postgres(tmp_path / "data", tmp_path / "s").start()


def test_a_setting_that_postgres_refuses_shows_what_it_said(tmp_path: Path) -> None:
    with pytest.raises(LocalPlatformError, match="shared_buffers"):
        Postgres(tmp_path / "data", tmp_path / "s", settings={"shared_buffers": "much"}).start()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has directories that nobody else may pass")
def test_root_may_keep_the_data_where_only_root_may_go_and_directories_keep_their_modes(tmp_path: Path) -> None:
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    with Postgres(private / "data", private / "s", durable=False) as server:
        assert server.pid is not None
        assert psutil.Process(server.pid).uids().effective != 0
        with psycopg.connect(server.url()) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
    assert private.stat().st_mode & 0o777 == 0o700


def _ends_within(process: psutil.Process, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if not process.is_running() or process.status() == psutil.STATUS_ZOMBIE:
            return True
        time.sleep(0.02)
    return False
