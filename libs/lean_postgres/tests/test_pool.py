"""Connections: shared, few, alive when they are handed out, and nobody else's after a fork."""

import os
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import dagster as dg
import lean_postgres._engine
import pytest
from dagster_postgres.auth import PgTokenProvider
from lean_postgres._database import Target, database
from tenancy.local.postgres import Postgres

from .conftest import NewDatabase
from .instances import LEAN, counted, execute, opened
from .story import NOW, TickStatus, state, tick

OTHERS = "from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()"
END_SESSIONS = f"select pg_terminate_backend(pid) {OTHERS}"


def sessions(url: str) -> list[str]:
    """Return the state of each session that other clients have open in a database."""
    return [str(row[0]) for row in execute(url, f"select state {OTHERS}")]


def until(reached: Callable[[], bool], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < deadline, "not reached"
        time.sleep(0.05)


def work(instance: dg.DagsterInstance, name: str, times: int) -> int:
    """Do what a tick does, some times; returns how many ticks are there."""
    sensor = state(name)
    instance.add_instigator_state(sensor)
    for number in range(times):
        changed = state(name, cursor=str(number))
        instance.update_instigator_state(changed)
        made = instance.create_tick(tick(sensor, -number))
        instance.update_tick(made.with_status(TickStatus.SKIPPED))
        assert instance.get_instigator_state(sensor.instigator_origin_id, sensor.selector_id) == changed
    return len(instance.get_ticks(sensor.instigator_origin_id, sensor.selector_id))


@pytest.fixture
def url(new_database: NewDatabase) -> str:
    return new_database()


@pytest.fixture
def instance(url: str, tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    with opened(LEAN, url, tmp_path) as opened_instance:
        yield opened_instance


def test_the_three_storages_of_all_instances_of_a_process_share_one_connection(url: str, tmp_path: Path) -> None:
    with counted() as counts:
        for number in range(5):
            with opened(LEAN, url, tmp_path / str(number)) as instance:
                work(instance, f"sensor_{number}", 2)
                instance.get_runs_count()
                instance.all_asset_keys()
    assert (counts.connections, len(sessions(url))) == (1, 1)


def test_a_burst_opens_what_it_needs_and_the_pool_keeps_its_size(url: str, instance: dg.DagsterInstance) -> None:
    everybody = threading.Barrier(12)
    storage: Any = instance.run_storage

    def hold(_: int) -> None:
        with storage.connect() as connection:
            everybody.wait(30)
            connection.exec_driver_sql("select 1")

    with ThreadPoolExecutor(12) as threads:
        list(threads.map(hold, range(12)))
    until(lambda: len(sessions(url)) == 2)


def test_a_thread_that_wants_a_second_connection_gets_it_while_all_others_do_too(
    instance: dg.DagsterInstance,
) -> None:
    everybody = threading.Barrier(6)
    storage: Any = instance.event_log_storage

    def nested(_: int) -> None:
        with storage.index_connection():
            everybody.wait(30)
            with storage.index_connection() as second:
                second.exec_driver_sql("select 1")

    with ThreadPoolExecutor(6) as threads:
        list(threads.map(nested, range(6)))


def test_many_threads_do_not_disturb_one_another_and_leave_nothing_in_a_transaction(
    url: str, instance: dg.DagsterInstance
) -> None:
    with ThreadPoolExecutor(16) as threads:
        done = list(threads.map(lambda number: work(instance, f"sensor_{number}", 20), range(16)))
    assert done == [20] * 16
    assert {*sessions(url)} == {"idle"}


def test_a_transaction_ends_with_its_connection_and_the_next_one_commits_by_itself_again(
    url: str, instance: dg.DagsterInstance
) -> None:
    storage: Any = instance.event_log_storage
    insert = "insert into dynamic_partitions (partitions_def_name, partition) values ('transaction', 'x')"

    def interrupted() -> None:
        with storage.index_transaction() as connection:
            connection.exec_driver_sql(insert)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert {*sessions(url)} == {"idle"}
    assert instance.get_dynamic_partitions("transaction") == []
    with storage.index_transaction() as connection:
        connection.exec_driver_sql(insert)
    with storage.index_connection() as connection:
        connection.exec_driver_sql(insert.replace("'x'", "'y'"))
        assert set(sessions(url)) <= {"idle", "active"}
        assert execute(url, "select count(*) from dynamic_partitions") == [(2,)]


def test_children_that_are_forked_while_threads_work_use_connections_of_their_own(
    url: str, instance: dg.DagsterInstance
) -> None:
    stop = threading.Event()

    def busy(number: int) -> int:
        rounds = 0
        while not stop.is_set():
            rounds += work(instance, f"parent_{number}_{rounds}", 1)
        return rounds

    with ThreadPoolExecutor(4) as threads:
        parents = [threads.submit(busy, number) for number in range(4)]
        children = [_forked(lambda number=number: work(instance, f"child_{number}", 5) == 5) for number in range(6)]
        codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
        stop.set()
        rounds = sum(parent.result(30) for parent in parents)

    assert codes == [0] * 6
    assert execute(url, "select count(*) from job_ticks") == [(rounds + 6 * 5,)]
    # The children's ends have not ended the parent's sessions.
    with counted() as counts:
        assert work(instance, "parent_at_last", 5) == 5
    assert counts.connections == 0


def _forked(succeeds: Callable[[], bool]) -> int:
    child = os.fork()
    if child == 0:
        code = 1
        try:
            code = 0 if succeeds() else 1
        finally:
            os._exit(code)
    return child


@pytest.mark.parametrize("immediate", [False, True], ids=["orderly", "crash"])
def test_a_restart_of_postgres_is_not_noticed(
    postgres: Postgres, instance: dg.DagsterInstance, immediate: bool
) -> None:
    assert work(instance, "before", 2) == 2
    for number in range(3):
        with ThreadPoolExecutor(4) as threads:  # fills the pool
            list(threads.map(lambda each, number=number: work(instance, f"{number}_{each}", 1), range(4)))
        postgres.restart(immediate=immediate)
        assert work(instance, f"after_{number}", 2) == 2


def test_work_that_begins_while_postgres_is_away_waits_for_it(postgres: Postgres, instance: dg.DagsterInstance) -> None:
    work(instance, "before", 1)
    postgres.stop()
    with ThreadPoolExecutor(1) as thread:
        waiting = thread.submit(work, instance, "meanwhile", 1)
        time.sleep(0.5)
        postgres.start()
        assert waiting.result(30) == 1


def test_a_session_that_the_server_ended_is_replaced_and_the_others_stay(
    url: str, instance: dg.DagsterInstance
) -> None:
    work(instance, "before", 1)
    for number in range(3):
        execute(url, END_SESSIONS)
        until(lambda: not sessions(url))
        with counted() as counts:
            assert work(instance, f"after_{number}", 3) == 3
        assert counts.connections == 1


def test_a_connection_is_asked_for_a_sign_of_life_only_after_it_was_idle(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage: Any = instance.run_storage
    ping, pings = storage._engine.dialect.do_ping, []
    monkeypatch.setattr(storage._engine.dialect, "do_ping", lambda connection: pings.append(ping(connection)))
    asked: list[int] = []
    for idle_seconds in (lean_postgres._engine.PING_AFTER_SECONDS, 0.0):
        monkeypatch.setattr(lean_postgres._engine, "PING_AFTER_SECONDS", idle_seconds)
        for _ in range(5):
            instance.get_runs_count()
        asked.append(len(pings))
    assert asked == [0, 5]


def test_a_connection_over_tcp_does_not_wait_for_ever_unless_the_url_says_so(url: str) -> None:
    expected = {"": ("10000", "30"), "&tcp_user_timeout=0&keepalives_idle=7": ("0", "7")}
    for parameters, (timeout, idle) in expected.items():
        shared = database(Target(url + parameters, auth="", pool_size=1), lambda: None)
        with shared.connect() as connection:
            driver: Any = connection.connection.driver_connection
            assert driver.info.dsn_parameters["tcp_user_timeout"] == timeout
            assert driver.info.dsn_parameters["keepalives_idle"] == idle


class Rotating(PgTokenProvider):
    """Hands out the password of the day, as a cloud's token service does."""

    def __init__(self, password: str) -> None:
        super().__init__()
        self.password = password

    def _fetch_token(self) -> tuple[str, float]:
        return self.password, 0.0


def test_each_new_connection_asks_the_token_provider_for_its_password(postgres: Postgres, url: str) -> None:
    rules = postgres.data_dir / "pg_hba.conf"
    trust = rules.read_text()
    tokens = [secrets.token_hex(8) for _ in range(2)]
    execute(postgres.url(), f"create role cloud login password '{tokens[0]}'")
    provider = Rotating(tokens[0])
    try:
        rules.write_text(f"local all cloud scram-sha-256\n{trust}")
        execute(postgres.url(), "select pg_reload_conf()")
        until(lambda: execute(url, "select count(*) from pg_hba_file_rules where 'cloud' = any(user_name)") == [(1,)])
        target = Target(url.replace("postgres@", "cloud@"), auth="rotating", pool_size=2)
        shared = database(target, lambda: provider)
        for token in tokens:
            provider.password = token
            execute(postgres.url(), f"alter role cloud password '{token}'")
            with shared.connect() as connection:
                assert connection.exec_driver_sql("select current_user").scalar() == "cloud"
            execute(url, END_SESSIONS)
        assert database(target, lambda: None) is shared
    finally:
        rules.write_text(trust)
        execute(postgres.url(), "select pg_reload_conf()")


def test_the_webserver_s_three_storages_share_one_pool_with_its_timeout(url: str, instance: dg.DagsterInstance) -> None:
    instance.optimize_for_webserver(statement_timeout=1234, pool_recycle=60, max_overflow=2)
    storages: list[Any] = [instance.run_storage, instance.event_log_storage, instance.schedule_storage]
    engines = {id(storage._engine) for storage in storages}
    assert len(engines) == 1
    with storages[0].connect() as connection:
        assert connection.exec_driver_sql("show statement_timeout").scalar() == "1234ms"
    pool = storages[0]._engine.pool
    assert (pool.size(), pool._max_overflow, pool._recycle) == (3, 6, 60)
    assert len(sessions(url)) == 1


def test_a_purge_s_memory_is_of_this_process_alone(instance: dg.DagsterInstance) -> None:
    sensor = state("sensor")
    purge = (sensor.instigator_origin_id, sensor.selector_id, NOW.timestamp(), [TickStatus.SKIPPED])
    instance.purge_ticks(*purge)
    instance.create_tick(tick(sensor, 60, TickStatus.SKIPPED))
    instance.purge_ticks(*purge)
    assert len(instance.get_ticks(*purge[:2])) == 1
    lean_postgres.close_pools()
    instance.purge_ticks(*purge)
    assert instance.get_ticks(*purge[:2]) == []
