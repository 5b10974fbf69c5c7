"""The command `sensor-assets`, as a person sees it: what it prints, what it changes, how it fails."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import psycopg
import pytest
from sensor_assets import Batch, Hold, Item, ObjectSource, Page, Retry, Router, sensor_asset
from sensor_assets.cli.main import main
from sensor_assets.cli.reference import reference
from sensor_assets.ledger import Following, PostgresLedger

from .conftest import LedgerSchema, Postgres
from .location import SOON, Location, ephemeral

DAILY = dg.DailyPartitionsDefinition("2013-01-01", end_date="2014-01-01")
TEMPLATE = "{date:%Y-%m-%d}*.csv"


@pytest.fixture
def looking(ledger_schema: LedgerSchema) -> Iterator[psycopg.Connection[Any]]:
    options = f"-c search_path={ledger_schema.schema}"
    with psycopg.connect(ledger_schema.url, options=options, autocommit=True) as connection:
        yield connection


@dataclass
class Ran:
    """What a command printed, and its exit code."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Run = Callable[..., Ran]


@pytest.fixture
def run(ledger_schema: LedgerSchema, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Return a function that runs a command on the ledger, in this process."""
    monkeypatch.setenv("LEDGER_URL", ledger_schema.url)
    monkeypatch.setenv("LEDGER_SCHEMA", ledger_schema.schema)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.delenv("DAGSTER_HOME", raising=False)

    def run(*arguments: str) -> Ran:
        monkeypatch.setattr(sys, "argv", ["sensor-assets", *arguments])
        capsys.readouterr()
        code = main()
        out, err = capsys.readouterr()
        return Ran(code, out, err)

    return run


@pytest.fixture
def location(ledger: PostgresLedger, tmp_path: Path) -> Iterator[Location]:
    """A location that has seen and done things: days built, one file rejected, one misnamed, one batch that fails."""
    files = tmp_path / "files"
    files.mkdir()
    loose = tmp_path / "loose"
    loose.mkdir()

    @sensor_asset(
        ObjectSource("flight_files", url="{outside}/files", key=TEMPLATE, ignore=["*.tmp"], every=SOON),
        partitions_def=DAILY,
        key_prefix="operations",
    )
    def departures(batch: Batch) -> None:
        for item in batch.items:
            if item.read() == b"bad":
                batch.reject(item, "the header is missing")

    @sensor_asset(ObjectSource("loose_files", url="{outside}/loose", every=SOON), retry=Retry(backoff=3600))
    def loose_rows(batch: Batch) -> None:
        raise ValueError("the disk is full")

    with ephemeral() as instance:
        location = Location(ledger, [departures, loose_rows], instance, outside=tmp_path)
        for name, body in {"2013-01-01.csv": "1", "2013-01-02.csv": "bad", "readme": "?"}.items():
            (files / name).write_text(body)
        location.work_off()
        (files / "2013-01-01.csv").write_text("corrected")
        (loose / "a b [c].csv").write_text("x")
        location.work_off()
        yield location


def follow(ledger: PostgresLedger, source: str, consumer: str) -> None:
    """Let a consumer follow a source, and decide nothing."""
    following = Following(name=consumer, sources=(ledger.sources([source])[source].id,), limit=9)
    ledger.emit("monitor", 0, [following], lambda *_: None, datetime.now(UTC))


# --- looking


def test_status_fits_80_columns_and_says_the_same_as_json(run: Run, location: Location) -> None:
    shown = run("status")
    assert shown.code == 0
    assert max(len(line) for line in shown.out.splitlines()) <= 80
    assert shown.out.splitlines()[0].split() == ["SOURCE", "CONSUMER", "SEEN", "WAIT", "RUN", "DONE", "QUAR", "LAG"]
    assert shown.out.splitlines()[1].split() == ["flight_files", "operations/departures", "4", "0", "0", "2", "2", "-"]
    assert "loose_rows: 1 batch to be launched" in shown.out
    by_source = {row["source"]: row for row in run("status", "--json").json}
    assert (by_source["flight_files"]["done"], by_source["flight_files"]["quarantined"]) == (2, 2)
    assert by_source["loose_files"]["waiting"] == 1


def test_status_says_why_a_source_cannot_be_read(run: Run, location: Location, ledger: PostgresLedger) -> None:
    state = ledger.sources(["loose_files"])["loose_files"]
    scan, now = ledger.begin_scan(state), datetime.now(UTC)
    ledger.end_scan(scan, now=now, due_at=now, error="source 'loose_files' cannot read s3://x: 403 Forbidden")
    assert "loose_files cannot be read: source 'loose_files' cannot read s3://x: 403 Forbidden" in run("status").out


def test_status_of_an_empty_ledger_is_no_table(run: Run) -> None:
    assert run("status").out == "the ledger is empty: no monitor has looked at a source yet\n"


def states(ran: Ran) -> list[tuple[str, str, bool]]:
    return [(row["key"], row["state"], row["newest"]) for row in ran.json]


def test_items_are_chosen_by_source_partition_key_state_and_time(run: Run, location: Location) -> None:
    everything = states(run("items", "--json"))
    assert sorted(everything) == [
        ("2013-01-01.csv", "done", False),
        ("2013-01-01.csv", "done", True),
        ("2013-01-02.csv", "quarantined", True),
        ("a b [c].csv", "waiting", True),
        ("readme", "quarantined", True),
    ]
    assert everything[0] == ("2013-01-01.csv", "done", True), "the newest first"
    assert {key for key, _, _ in states(run("items", "--source", "flight_files", "--json"))} == {
        "2013-01-01.csv",
        "2013-01-02.csv",
        "readme",
    }
    assert states(run("items", "--partition", "2013-01-02", "--json")) == [("2013-01-02.csv", "quarantined", True)]
    assert states(run("items", "--key", "a ? [[]*", "--json")) == []
    assert states(run("items", "--key", "a ? [*", "--json")) == [("a b [c].csv", "waiting", True)]
    assert {key for key, _, _ in states(run("items", "--state", "done", "--json"))} == {"2013-01-01.csv"}
    assert len(states(run("items", "--since", "1h", "--json"))) == 5
    assert states(run("items", "--until", "2013-01-31", "--json")) == []
    assert run("items", "--until", "2013-01-31").code == 3


def test_items_come_in_pages(run: Run, location: Location) -> None:
    everything = states(run("items", "--json"))
    pages = [states(run("items", "--limit", "2", "--page", str(page), "--json")) for page in (1, 2, 3)]
    assert [row for page in pages for row in page] == everything
    shown = run("items", "--limit", "2")
    assert shown.out.endswith("\nmore: --page 2\n")
    assert "more" not in run("items").out
    assert max(len(line) for line in run("items").out.splitlines()) <= 80


def test_batches_show_what_they_failed_with(run: Run, location: Location) -> None:
    shown = run("batches", "--state", "waiting")
    assert max(len(line) for line in shown.out.splitlines()) <= 80
    assert "ValueError" in shown.out
    [row] = run("batches", "--state", "waiting", "--json").json
    assert (row["consumer"], row["attempt"], row["failures"], row["origin"]) == ("loose_rows", 1, 1, "arrivals")
    assert row["error"].endswith("ValueError: the disk is full")
    assert len(run("batches", "--consumer", "operations/departures", "--json").json) == 2


# --- quarantine


def test_the_quarantine_is_listed_with_reasons(run: Run, location: Location) -> None:
    shown = run("quarantine")
    assert shown.out == run("quarantine", "list").out
    assert "2013-01-02.csv" in shown.out
    assert "the header is missing" in shown.out
    reasons = {row["key"]: row["reason"] for row in run("quarantine", "list", "--json").json}
    assert reasons == {
        "2013-01-02.csv": "the header is missing",
        "readme": "key 'readme' does not match '{date:%Y-%m-%d}*.csv'",
    }
    assert run("quarantine", "list", "--key", "x").out == "nothing that matches is in quarantine\n"


def test_a_release_with_dry_run_changes_nothing_and_says_what_a_release_does(
    run: Run, location: Location, tmp_path: Path
) -> None:
    said = "1 item would be decided on anew by the monitor\n"
    assert run("quarantine", "release", "--key", "2013*", "--dry-run").out == said
    assert not location.evaluate().run_requests
    (tmp_path / "files" / "2013-01-02.csv").touch()
    assert run("quarantine", "release", "--key", "2013*").out == said.replace("would", "will")
    location.work_off()
    assert location.status()["operations/departures"]["quarantined"] == 2, "it is still bad, and so is readme"
    assert run("quarantine", "release", "--all", "--json", "--dry-run").json["looked_at"] == [
        {"source": "flight_files", "key": "readme", "consumer": "operations/departures"}
    ]
    nothing = run("quarantine", "release", "--source", "loose_files")
    assert (nothing.code, nothing.err) == (3, "sensor-assets: nothing that matches is in quarantine\n")


# --- doing it again


def test_a_replay_is_told_then_done(run: Run, location: Location) -> None:
    told = run("replay", "--source", "flight_files", "--dry-run")
    assert "2 batches would wait for the monitor, in the place of 2 batches with 3 items" in told.out
    assert "1 item with a newer version" in told.out
    assert max(len(line) for line in told.out.splitlines()) <= 80
    assert not location.evaluate().run_requests
    done = run("replay", "--source", "flight_files")
    assert "2 batches wait for the monitor" in done.out
    again = run("replay", "--source", "flight_files")
    assert again.code == 3
    assert again.err == "sensor-assets: nothing to replay: what matches is being replayed, 2 batches not done yet\n"
    assert location.work_off() == 2
    assert location.status()["operations/departures"]["waiting"] == 0
    assert {row["origin"] for row in run("batches", "--consumer", "operations/departures", "--json").json} == {
        "arrivals",
        "replay",
    }


def test_a_rebuild_is_told_then_done(run: Run, location: Location) -> None:
    told = run("rebuild", "operations/departures", "--partition", "2013-01-02", "--dry-run", "--json").json
    assert [batch["partitions"] for batch in told["batches"]] == [["2013-01-02"]]
    assert "1 batch waits for the monitor" in run("rebuild", "operations/departures").out
    assert run("rebuild", "operations/departures").code == 3
    [request] = location.evaluate().run_requests
    assert location.run(request).success
    wrong = run("rebuild", "operations/departures", "--partition", "2013-01-03")
    assert wrong.code == 2
    assert "there is no partition '2013-01-03' in the ledger; did you mean 2013-01-02" in wrong.err


def test_a_batch_is_retried_by_the_beginning_of_its_id(run: Run, location: Location) -> None:
    [batch] = run("batches", "--state", "waiting", "--json").json
    assert run("retry", "0000").code == 3
    assert "1 batch would be tried again" in run("retry", "--all", "--dry-run").out
    assert not location.evaluate().run_requests
    assert "the disk is full" in " ".join(run("retry", batch["id"][:8]).out.split())
    [request] = location.evaluate().run_requests
    assert request.run_key == f"{batch['id']}:a2"


def test_pruning_says_what_it_deletes(run: Run, location: Location) -> None:
    assert run("prune", "--done-before", "1d").out.startswith("0 batches and 0 old versions from before ")
    told = run("prune", "--done-before", "0s", "--dry-run", "--json").json
    assert (told["batches"], told["items"]) == (2, 1)
    assert run("prune", "--done-before", "0s").out.startswith("2 batches and 1 old version from before ")
    assert not location.evaluate().run_requests


# --- explain


def test_a_key_is_explained_with_every_version_and_what_became_of_it(run: Run, location: Location) -> None:
    shown = run("explain", "2013-01-01.csv")
    assert max(len(line) for line in shown.out.splitlines()) <= 80
    assert "flight_files: 2013-01-01.csv, version 1 of 2" in shown.out
    assert "replaced by arrival 4" in shown.out
    assert "operations/departures: processed at" in shown.out
    first, second = run("explain", "2013-01-01.csv", "--json").json
    assert (first["superseded_by"], second["superseded_by"]) == (4, None)
    [consumer] = second["consumers"]
    [batch] = consumer["batches"]
    assert (batch["state"], batch["attempt"], batch["run_id"] is not None) == ("done", 1, True)


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("2013-01-02.csv", "in quarantine since .*: the header is missing"),
        ("readme", "in quarantine since .*: key 'readme' does not match"),
        ("a b \\[c\\].csv", "loose_rows: waits until .* for attempt 2, after 1 failure"),
    ],
)
def test_a_key_that_is_not_done_is_explained_by_what_it_waits_for(
    key: str, said: str, run: Run, location: Location
) -> None:
    shown = " ".join(run("explain", key.replace("\\", "")).out.split())
    assert re.search(said, shown), shown


def test_what_is_held_is_explained_by_the_reason(run: Run, ledger: PostgresLedger, tmp_path: Path) -> None:
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "a").write_text("a")
    source = ObjectSource("files", url="{outside}/files", every=SOON)
    router = Router(source, lambda waiting: Hold("one is not enough"), name="router", targets=("all",))

    @sensor_asset(router["all"])
    def routed(batch: Batch) -> None: ...

    with ephemeral() as instance:
        location = Location(ledger, [routed], instance, outside=tmp_path)
        location.evaluate()
        assert (
            "router: waits to be decided on, 0 arrivals before it; it holds what waits: one is not enough"
            in " ".join(run("explain", "a").out.split())
        )
        assert "router holds what waits: one is not enough" in run("status").out


def test_a_released_item_is_explained_as_waiting_for_the_monitor(run: Run, location: Location) -> None:
    run("quarantine", "release", "--key", "2013-01-02.csv")
    assert "released from quarantine at" in run("explain", "2013-01-02.csv").out


def test_runs_are_shown_where_dagster_can_be_asked(
    run: Run, location: Location, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    [batch] = run("batches", "--state", "waiting", "--json").json
    with dg.DagsterInstance.local_temp(str(home)) as instance:
        job = location.definitions.resolve_implicit_global_asset_job_def()
        made = instance.create_run_for_job(job_def=job, tags={"sensor_assets/batch": batch["id"]})
    monkeypatch.setenv("DAGSTER_HOME", str(home))
    assert f"run {made.run_id} NOT_STARTED" in run("explain", "a b [c].csv").out
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "nowhere"))
    without = run("explain", "a b [c].csv")
    assert without.code == 0


def test_a_key_that_was_never_seen_is_answered_with_those_that_look_like_it(run: Run, location: Location) -> None:
    ran = run("explain", "2013-01-01.cvs")
    assert (ran.code, ran.err) == (3, "sensor-assets: no source has shown '2013-01-01.cvs'\n")
    assert "keys like it: flight_files: 2013-01-01.csv" in ran.out


LOCATION = """
import dagster as dg
from sensor_assets import Batch, ObjectSource, Settings, sensor_asset, with_sources

flights = ObjectSource("flights", url="file:///nowhere", key="{date:%Y-%m-%d}*.csv", ignore=["*.tmp"])

@sensor_asset(flights, partitions_def=dg.DailyPartitionsDefinition("2013-01-01"))
def departures(batch: Batch) -> None: ...

@dg.definitions
def defs():
    return with_sources(dg.Definitions(assets=[departures]), settings=Settings.load())
"""


@pytest.fixture
def folder(ledger_schema: LedgerSchema, tmp_path: Path) -> Path:
    """A code location's folder, with the .env that the local platform writes."""
    folder = tmp_path / "location"
    (folder / "src" / "tested_location").mkdir(parents=True)
    (folder / "src" / "tested_location" / "definitions.py").write_text(LOCATION)
    (folder / "pyproject.toml").write_text('[tool.dg.project]\nroot_module = "tested_location"\n')
    lines = {
        "ENVIRONMENT": "local",
        "TEAM": "tested",
        "LOCATION": "tested-location",
        "LEDGER_URL": ledger_schema.url,
        "LEDGER_SCHEMA": ledger_schema.schema,
    }
    (folder / ".env").write_text("".join(f"{name}='{value}'\n" for name, value in lines.items()))
    return folder


def shell(*arguments: str, cwd: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run the command as a person does, in a process of its own without a ledger in its environment."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("LEDGER", "DAGSTER", "COLUMNS"))}
    program = Path(sys.executable).with_name("sensor-assets")
    return subprocess.run(
        [program, *arguments], capture_output=True, text=True, timeout=60, check=False, cwd=cwd, env=kept | variables
    )


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("2013-01-01.csv", "flights: a scan takes such a key, so it was not there when it looked"),
        ("2013-01-01.csv.tmp", "flights: key '2013-01-01.csv.tmp' is ignored, it matches '*.tmp'"),
        ("jan.csv", "flights: key 'jan.csv' does not match '{date:%Y-%m-%d}*.csv', so it is put into quarantine"),
    ],
)
def test_the_sources_of_a_location_say_what_they_make_of_a_key_that_was_never_seen(
    key: str, said: str, folder: Path, tmp_path: Path
) -> None:
    ran = shell("--location", str(folder), "explain", key, cwd=tmp_path)
    assert (ran.returncode, ran.stderr) == (3, f"sensor-assets: no source has shown '{key}'\n")
    assert said in " ".join(ran.stdout.split())


def test_a_location_that_does_not_load_does_not_keep_the_ledger_from_answering(folder: Path) -> None:
    (folder / "src" / "tested_location" / "definitions.py").write_text("raise ValueError('half done')")
    ran = shell("explain", "x", cwd=folder)
    assert ran.returncode == 3
    assert "tested_location does not load here: ValueError: half done" in " ".join(ran.stdout.split())


# --- where the ledger is


def test_the_env_file_of_the_current_folder_and_of_a_named_one_say_where_the_ledger_is(
    folder: Path, tmp_path: Path
) -> None:
    empty = "the ledger is empty: no monitor has looked at a source yet\n"
    assert shell("status", cwd=folder).stdout == empty
    named = shell(
        "--location", str(folder), "status", cwd=tmp_path, LEDGER_URL="postgresql:///wrong", LEDGER_SCHEMA="x"
    )
    assert (named.stdout, named.returncode) == (empty, 0)


def test_without_a_ledger_the_command_says_how_to_name_one(tmp_path: Path) -> None:
    ran = shell("status", cwd=tmp_path)
    assert ran.returncode == 2
    assert ran.stderr == (
        "sensor-assets: which ledger? LEDGER_URL and LEDGER_SCHEMA not set: set LEDGER_URL and LEDGER_SCHEMA, or name "
        "the folder of a location by --location\n"
    )
    named = shell("--location", str(tmp_path), "status", cwd=tmp_path)
    assert named.returncode == 2
    assert "does not exist; `make up` writes it for every location" in named.stderr


def test_a_ledger_that_cannot_be_reached_is_one_line(run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LEDGER_URL", f"postgresql://somebody:secret@/ledger?host={tmp_path}")
    ran = run("status")
    assert (ran.code, ran.out) == (1, "")
    assert ran.err.startswith("sensor-assets: the ledger's database cannot be reached (user=somebody dbname=ledger ")
    assert ran.err.count("\n") == 1
    assert "secret" not in ran.err


@pytest.mark.parametrize(
    "url", ["secret", "postgres:/team:secret@host/db", "host=db password=secret", "sqlite:///secret"]
)
@pytest.mark.parametrize("command", ["status", "migrate"])
def test_a_url_that_is_none_is_refused_and_not_shown(
    command: str, url: str, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LEDGER_URL", url)
    ran = run(command)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err == (
        "sensor-assets: LEDGER_URL is no URL of a database: write postgresql://role:password@host/database\n"
    )


LOOKING = (["status"], ["items"], ["batches"], ["quarantine"], ["explain", "readme"])
CHANGING = (
    ["replay", "--all"],
    ["rebuild", "operations/departures"],
    ["quarantine", "release", "--all"],
    ["retry", "--all"],
    ["prune", "--done-before", "0s"],
)


def test_on_a_read_only_server_one_can_look_and_everything_else_is_one_line(
    run: Run, location: Location, looking: psycopg.Connection[Any]
) -> None:
    looking.execute("alter role current_user set default_transaction_read_only = on")
    try:
        assert [run(*command).code for command in LOOKING] == [0] * len(LOOKING)
        for command in CHANGING:
            ran = run(*command)
            assert (ran.code, ran.out, ran.err.count("\n")) == (1, "", 1)
            assert "is read-only: cannot execute" in ran.err
            assert "Name the primary server" in ran.err
    finally:
        looking.execute("alter role current_user reset default_transaction_read_only")


def test_a_role_that_may_only_look_can_and_is_told_what_else_it_lacks(
    run: Run, location: Location, postgres: Postgres, ledger_schema: LedgerSchema, monkeypatch: pytest.MonkeyPatch
) -> None:
    with psycopg.connect(postgres.url(), autocommit=True) as connection:
        connection.execute("create role looker login")
        connection.execute(f"grant usage on schema {ledger_schema.schema} to looker".encode())
        connection.execute(f"grant select on all tables in schema {ledger_schema.schema} to looker".encode())
    monkeypatch.setenv("LEDGER_URL", postgres.url(role="looker"))
    try:
        assert [run(*command).code for command in LOOKING] == [0] * len(LOOKING)
        for command in CHANGING:
            ran = run(*command)
            assert (ran.code, ran.out, ran.err.count("\n")) == (1, "", 1)
            assert "refuses the role: permission denied" in ran.err
    finally:
        with psycopg.connect(postgres.url(), autocommit=True) as connection:
            connection.execute("drop owned by looker")
            connection.execute("drop role looker")


def test_a_ledger_of_a_newer_version_is_left_alone(
    run: Run, ledger: PostgresLedger, looking: psycopg.Connection[Any]
) -> None:
    (revision,) = looking.execute("select version_num from alembic_version").fetchone() or ("",)
    looking.execute("update alembic_version set version_num = '0099'")
    try:
        for command in ("status", "migrate"):
            ran = run(command)
            assert (ran.code, ran.out) == (1, "")
            assert "was migrated by a newer version of sensor-assets" in ran.err
    finally:
        looking.execute("update alembic_version set version_num = %s", (revision,))


def test_a_ledger_that_is_not_migrated_says_so_and_migrate_helps(
    run: Run, new_schema: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LEDGER_URL", new_schema("cli_bare"))
    monkeypatch.setenv("LEDGER_SCHEMA", "cli_bare")
    for command in (["status"], ["items"], ["replay", "--all"], ["explain", "x"]):
        ran = run(*command)
        assert ran.code == 1
        assert ran.err == (
            "sensor-assets: the ledger in schema 'cli_bare' is not migrated for this version: run "
            "`sensor-assets migrate`\n"
        )
    assert run("migrate").out == "the ledger in schema cli_bare is up to date\n"
    assert run("status").code == 0
    monkeypatch.setenv("LEDGER_SCHEMA", "x; drop table item")
    assert run("status").err == "sensor-assets: LEDGER_SCHEMA 'x; drop table item' is no name of a schema\n"


# --- errors


@pytest.mark.parametrize(
    ("command", "code", "said"),
    [
        (["replay", "--consumer", "departures"], 2, "there is no consumer 'departures' in the ledger; did you mean"),
        (["items", "--source", "flight_fils"], 2, "did you mean flight_files, loose_files?"),
        (["rebuild", "loose_row"], 2, "did you mean loose_rows?"),
        (["quarantine", "release"], 2, "release what? choose by --source"),
        (["replay"], 2, "replay what? choose by --consumer"),
        (["retry"], 2, "retry what? name a batch"),
        (["replay", "--key", "zz*"], 3, "nothing to replay: no done batch matches"),
        (["items", "--since", "tomorrow"], 2, "'tomorrow' is no time: write 2013-01-31"),
        (["items", "--since", "2013-02-30"], 2, "'2013-02-30' is no time: write 2013-01-31"),
        (["items", "--until", "99999999999d"], 2, "'99999999999d' is no time: write 2013-01-31"),
        (["items", "--until", "0001-01-01T00:00+14:00"], 2, "'0001-01-01T00:00+14:00' is no time"),
        (["explain", "x", "--source", "flight"], 2, "there is no source 'flight' in the ledger; did you mean"),
        (["quarantine", "release", "--source", "x"], 2, "there is no source 'x' in the ledger; did you mean"),
        (["replay", "--partition", "2013"], 2, "there is no partition '2013' in the ledger"),
        (["replay", "--route", "left"], 2, "there is no route 'left' in the ledger"),
        (["retry", "%"], 3, "no batch that matches waits"),
        (["statsu"], 2, "No such command 'statsu'"),
        (["items", "--state", "lost"], 2, "'lost' is not one of 'waiting', 'running', 'done', 'quarantined'"),
        (["prune"], 2, "Missing option '--done-before'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_an_error_is_one_line_that_says_what_to_do(
    command: list[str], code: int, said: str, run: Run, ledger: PostgresLedger
) -> None:
    for source, consumer in {"flight_files": "operations/departures", "loose_files": "loose_rows"}.items():
        follow(ledger, source, consumer)
    ran = run(*command)
    assert (ran.code, ran.out) == (code, "")
    assert ran.err.startswith("sensor-assets: ")
    assert ran.err.count("\n") == 1
    assert said in ran.err


def test_a_key_with_control_characters_does_not_reach_the_terminal(run: Run, ledger: PostgresLedger) -> None:
    key = "a\x1b[31m\n[bold]b"
    state = ledger.sources(["world"])["world"]
    ledger.record(ledger.begin_scan(state), Page(items=[Item(key=key, version="1")]), datetime.now(UTC))
    follow(ledger, "world", "c")
    assert "a\\x1b[31m\\n[bold]b" in run("items").out
    assert "\x1b" not in run("items").out + run("explain", key).out
    assert run("items", "--json").json[0]["key"] == key


def test_a_key_that_is_no_text_is_found_as_the_ledger_holds_it(run: Run, ledger: PostgresLedger) -> None:
    key = b"odd \xff".decode("utf-8", "surrogateescape")
    state = ledger.sources(["world"])["world"]
    ledger.record(ledger.begin_scan(state), Page(items=[Item(key=key, version="1")]), datetime.now(UTC))
    follow(ledger, "world", "c")
    for command in (["explain", key], ["items", "--key", key]):
        ran = run(*command)
        assert (ran.code, ran.err) == (0, "")
        assert "odd \\udcff" in ran.out


def test_a_reader_that_has_seen_enough_is_no_error(folder: Path, ledger: PostgresLedger) -> None:
    state = ledger.sources(["world"])["world"]
    page = Page(items=[Item(key=f"key {number}", version="1") for number in range(5000)])
    ledger.record(ledger.begin_scan(state), page, datetime.now(UTC))
    follow(ledger, "world", "c")
    program = Path(sys.executable).with_name("sensor-assets")
    ran = subprocess.run(
        f"{program} items --limit 5000 | head -1", shell=True, capture_output=True, text=True, cwd=folder, check=False
    )
    assert (ran.stdout, ran.stderr) == ("source: world  consumer: c\n", "")


# --- around


def test_importing_the_library_does_not_import_the_command() -> None:
    script = (
        "import sys, dagster; before = set(sys.modules); import sensor_assets; "
        "print(sorted(n for n in set(sys.modules) - before if n.split('.')[0] in ('click', 'rich')"
        " or n.startswith('sensor_assets.cli')))"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ran.stdout == "[]\n"


def test_the_reference_page_says_what_help_says() -> None:
    page = Path(__file__).parents[3] / "docs" / "reference" / "cli.md"
    command = "python -m sensor_assets.cli.reference docs/reference/cli.md"
    assert page.read_text() == reference(), f"the page differs from --help; write it by: {command}"
