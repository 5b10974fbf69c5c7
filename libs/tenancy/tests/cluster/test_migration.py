"""What the migration makes of a database, for whom, and what it says when it cannot."""

import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import dagster_postgres.run_storage
import psycopg
import pytest
from alembic.script import ScriptDirectory
from dagster_postgres.utils import pg_alembic_config
from sensor_assets.ledger import _revision
from tenancy.cluster import environment, migration, revisions, schema_state, waiting
from tenancy.cluster import passwords as password_files
from tenancy.cluster.environment import Login, Server
from tenancy.cluster.errors import ControlPlaneError
from tenancy.local.ports import any_free

from . import databases, programs
from .conftest import write_passwords
from .databases import DAGSTER_PASSWORD, MASTER, OWNER, PASSWORDS, SUPERUSER, Database

CONTROL_PLANE = Login("dagster", DAGSTER_PASSWORD)
NIGHT_SHIFT, WEATHER = (Login(name, password) for name, password in PASSWORDS.items())
MIGRATE = ("migrate", "--owner", OWNER, "--passwords")
ADMINS = pytest.mark.parametrize("admin", [SUPERUSER, MASTER], ids=["superuser", "managed"])

EVERYTHING = """
SELECT 'table ' || c.relname || ' of ' || c.relowner::regrole || ' ' || coalesce(c.relacl::text, '')
FROM pg_class AS c WHERE c.relkind IN ('r', 'S', 'i') AND c.relnamespace = 'public'::regnamespace
UNION ALL SELECT 'built ' || name FROM secondary_indexes WHERE migration_completed IS NOT NULL
UNION ALL SELECT 'revision ' || version_num || ' ' || obj_description('alembic_version'::regclass) FROM alembic_version
UNION ALL SELECT 'defaults ' || defaclrole::regrole || ' ' || defaclobjtype::text || ' ' || defaclacl::text
FROM pg_default_acl
UNION ALL SELECT 'database ' || datname || ' ' || datacl::text FROM pg_database WHERE datname IN ('dagster', 'ledger')
UNION ALL SELECT 'comment ' || shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = 'dagster'
UNION ALL SELECT 'role ' || rolname || ' ' || rolcanlogin FROM pg_roles WHERE rolname !~ '^pg_'
ORDER BY 1
"""


def migrate(
    database: Database,
    admin: Login = MASTER,
    passwords: dict[str, str] = PASSWORDS,
    teams: Sequence[str] | None = None,
    *,
    owner: str = OWNER,
    keep_newer: bool = False,
) -> None:
    migration.migrate(
        database.server,
        admin,
        passwords,
        DAGSTER_PASSWORD,
        owner=owner,
        teams=teams,
        keep_newer=keep_newer,
        seconds=0,
    )


def missing(database: Database, teams: Sequence[str] = tuple(PASSWORDS)) -> list[str]:
    """Return what `wait` waits for, and then the teams whose ledger is not there or not of this version."""
    if said := waiting.look(database.server, CONTROL_PLANE):
        return [said]
    with database.connect("ledger") as connection:
        wanted = revisions.of_ledger().newest
        return [team for team in teams if schema_state.look(connection, team).revision != wanted]


def everything(database: Database) -> list[Any]:
    return database.execute(EVERYTHING, "dagster")


@ADMINS
def test_an_empty_server_becomes_what_the_image_wants(database: Database, admin: Login) -> None:
    migrate(database, admin)
    assert missing(database) == []
    owners = database.execute("SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname = 'public'", "dagster")
    assert owners == [("dagster",)]
    assert database.execute("SELECT version_num FROM alembic_version", "dagster") == [(revisions.of_dagster().newest,)]


@ADMINS
def test_a_second_migration_changes_nothing_and_keeps_the_data(database: Database, admin: Login) -> None:
    migrate(database, admin)
    database.execute("INSERT INTO source (name) VALUES ('flights')", "ledger", WEATHER)
    database.execute("INSERT INTO kvs (key, value) VALUES ('a', 'b')", "dagster", CONTROL_PLANE)
    before = everything(database)
    migrate(database, admin)
    assert everything(database) == before
    assert database.execute("SELECT name FROM source", "ledger", WEATHER) == [("flights",)]
    assert database.execute("SELECT value FROM kvs", "dagster", CONTROL_PLANE) == [("b",)]


def test_two_migrations_at_once_both_succeed(database: Database, passwords: Path) -> None:
    both = [
        subprocess.Popen(
            programs.command(*MIGRATE, passwords),
            env=programs.environment(database, MASTER),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for _ in range(2)
    ]
    outputs = [process.communicate(timeout=120)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0], outputs
    assert missing(database) == []


def test_a_migration_that_was_killed_at_any_moment_is_healed_by_the_next(database: Database, passwords: Path) -> None:
    migrate(database)
    wanted = everything(database)
    seed = random.randrange(10**6)
    print(f"seed {seed}")
    moments = random.Random(seed)
    killed = 0
    for _ in range(4):
        database.reset()
        process = subprocess.Popen(
            programs.command(*MIGRATE, passwords),
            env=programs.environment(database, MASTER),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + 60
        while not database.execute("SELECT 1 FROM pg_roles WHERE rolname = 'dagster'"):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        time.sleep(moments.uniform(0.0, 1.5))
        process.kill()
        killed += process.wait() == -signal.SIGKILL
        migrate(database)
        assert everything(database) == wanted
        assert missing(database) == []
    assert killed


def test_a_database_of_which_a_part_was_made_is_completed(database: Database) -> None:
    migrate(database)
    wanted = everything(database)
    # Dagster makes three groups of tables; the first one sets the revision. What comes after is taken away.
    database.execute("DROP TABLE event_logs, asset_keys, jobs, job_ticks, instigators CASCADE", "dagster")
    database.execute("DELETE FROM secondary_indexes", "dagster")
    database.execute("COMMENT ON TABLE alembic_version IS NULL", "dagster")
    assert missing(database) == [
        f"the migration of database 'dagster' to {revisions.of_dagster().newest} has not come to its end"
    ]
    migrate(database)
    assert missing(database) == []
    assert everything(database) == wanted


def test_a_database_of_an_older_version_is_upgraded(database: Database) -> None:
    migrate(database)
    # The two newest migrations change MySQL only.
    database.execute("UPDATE alembic_version SET version_num = '7e2f3204cf8e'", "dagster")
    (message,) = missing(database)
    assert "has revision 7e2f3204cf8e, this image wants" in message
    migrate(database)
    assert missing(database) == []


def test_a_changed_password_takes_effect_with_the_next_migration(database: Database) -> None:
    migrate(database)
    migration.migrate(
        database.server, MASTER, {**PASSWORDS, "weather": "rotated"}, "rotated-too", owner=OWNER, seconds=0
    )
    for old, new in ((WEATHER, Login("weather", "rotated")), (CONTROL_PLANE, Login("dagster", "rotated-too"))):
        with pytest.raises(psycopg.OperationalError, match=r"password authentication failed"):
            database.execute("SELECT 1", "dagster", old)
        assert database.execute("SELECT 1", "dagster", new) == [(1,)]
    assert database.execute("SELECT 1", "ledger", NIGHT_SHIFT) == [(1,)]
    hashes = database.execute("SELECT left(rolpassword, 13) FROM pg_authid WHERE rolname IN ('weather', 'dagster')")
    assert hashes == [("SCRAM-SHA-256",)] * 2


def test_no_password_gets_into_the_server_s_log(passwords: Path) -> None:
    with databases.running({"log_statement": "all"}) as database:
        database.reset()
        migrate(database)
        log = database.process.log.read_text()
    assert "CREATE ROLE" in log
    assert not [secret for secret in (DAGSTER_PASSWORD, *PASSWORDS.values()) if secret in log]


def test_a_team_that_is_removed_keeps_its_data_and_cannot_log_in_until_it_is_back(database: Database) -> None:
    migrate(database)
    database.execute("INSERT INTO source (name) VALUES ('flights')", "ledger", NIGHT_SHIFT)
    migrate(database, passwords={"weather": WEATHER.password})
    assert database.execute("SELECT 1", "ledger", NIGHT_SHIFT) == [(1,)], "a password that is not there is no removal"
    migrate(database, teams=["weather"])
    with pytest.raises(psycopg.OperationalError, match=r"not permitted to log in"):
        database.execute("SELECT 1", "ledger", NIGHT_SHIFT)
    assert database.execute("SELECT 1", "ledger", WEATHER) == [(1,)]
    assert database.execute("SELECT rolcanlogin FROM pg_roles WHERE rolname = 'master'") == [(True,)]
    assert database.execute("SELECT count(*) FROM night_shift.source", "ledger") == [(1,)]
    migrate(database)
    assert database.execute("SELECT name FROM source", "ledger", NIGHT_SHIFT) == [("flights",)]


def test_a_migration_before_the_passwords_are_known_leaves_teams_alone(database: Database) -> None:
    """The hook of the first installation runs before the Secrets are there."""
    migration.migrate(database.server, MASTER, {}, None, owner=OWNER, seconds=0)
    with pytest.raises(psycopg.OperationalError, match=r"not permitted to log in|password authentication failed"):
        database.execute("SELECT 1", "dagster", CONTROL_PLANE)
    migrate(database)
    migration.migrate(database.server, MASTER, {}, None, owner=OWNER, seconds=0)
    assert missing(database) == []
    assert database.execute("SELECT 1", "ledger", NIGHT_SHIFT) == [(1,)]


def test_wait_says_what_is_missing_at_each_stage(database: Database) -> None:
    def message() -> str:
        return "; ".join(missing(database))

    assert "password authentication failed" in message()
    migration.migrate(database.server, MASTER, {"weather": WEATHER.password}, DAGSTER_PASSWORD, owner=OWNER, seconds=0)
    assert message() == "night_shift"
    database.execute("UPDATE alembic_version SET version_num = 'later'", "dagster")
    assert message() == "night_shift", "a newer schema will do, after a rollback"
    database.execute("DELETE FROM alembic_version", "dagster")
    assert message() == "the database 'dagster' has no tables yet"
    database.execute("DROP DATABASE dagster WITH (FORCE)")
    assert "the migration makes it" in message()


def test_wait_as_a_program(database: Database, passwords: Path) -> None:
    of_wait = programs.environment(database)
    arguments = ("wait", "--seconds", "0.5", "--migration", "-l component=migration")
    message = programs.refused(*arguments, environment=of_wait)
    assert message.startswith(
        "the database is not ready after 0.5 s: cannot connect to database 'dagster' on 127.0.0.1"
    )
    assert message.endswith("Look at the migration: kubectl logs -l component=migration")
    result = programs.run(*MIGRATE, passwords, environment=programs.environment(database, MASTER))
    assert (result.returncode, result.stderr) == (0, ""), result.stderr
    assert result.stdout.endswith("the database is as this image wants it\n")
    assert programs.run(*arguments, environment=of_wait).returncode == 0


def test_wait_ends_as_soon_as_another_process_has_migrated(database: Database) -> None:
    process = subprocess.Popen(
        programs.command("wait", "--seconds", "60"),
        env=programs.environment(database),
    )
    time.sleep(1)
    migrate(database)
    assert process.wait(30) == 0


# What an operator may get wrong.


def test_a_server_that_is_not_there_is_named_with_the_keys_to_check(passwords: Path) -> None:
    nobody = Server("127.0.0.1", any_free(0), "disable")
    began = time.monotonic()
    with pytest.raises(ControlPlaneError) as caught:
        migration.migrate(nobody, SUPERUSER, {}, None, owner=OWNER, seconds=1.5)
    assert 1 < time.monotonic() - began < 10
    message = str(caught.value)
    assert f"database 'postgres' on {nobody} as 'postgres'" in message
    assert "Connection refused" in message
    assert "check the values keys database.host and database.port" in message


def test_a_host_that_does_not_exist_is_named(passwords: Path) -> None:
    with pytest.raises(ControlPlaneError, match=r"database 'postgres' on no-such-host.invalid:5432.*database.host"):
        migration.migrate(Server("no-such-host.invalid", 5432, "disable"), SUPERUSER, {}, None, owner=OWNER, seconds=0)


def test_a_server_that_starts_late_is_waited_for(passwords: Path) -> None:
    with databases.running() as database:
        database.process.stop()
        process = subprocess.Popen(programs.command(*MIGRATE, passwords), env=programs.environment(database, SUPERUSER))
        time.sleep(2)
        database.process.start()
        assert process.wait(60) == 0


def test_a_wrong_password_is_told_at_once_and_never_shown(database: Database, passwords: Path) -> None:
    began = time.monotonic()
    message = programs.refused(
        *MIGRATE, passwords, environment=programs.environment(database, Login("master", "hush-hush"))
    )
    assert time.monotonic() - began < 20
    assert "password authentication failed" in message
    assert "check user name and password (database.admin_secret)" in message
    assert "hush-hush" not in message


def test_a_server_without_tls_is_told_with_the_key(database: Database) -> None:
    secure = Server(database.server.host, database.server.port, "require")
    with pytest.raises(ControlPlaneError, match=r"database.sslmode"):
        migration.migrate(secure, MASTER, {}, None, owner=OWNER, seconds=0)


@pytest.mark.parametrize(
    ("rights", "lacks"),
    [
        ("NOCREATEROLE CREATEDB", "no CREATEROLE"),
        ("CREATEROLE NOCREATEDB", "no CREATEDB"),
        ("", "no CREATEROLE and no"),
    ],
)
def test_a_login_without_the_rights_is_refused_before_anything_is_done(
    database: Database, rights: str, lacks: str
) -> None:
    database.execute(f"CREATE ROLE weak LOGIN {rights} PASSWORD 'of-the-weak'")
    with pytest.raises(ControlPlaneError, match=rf"{lacks}.*ALTER ROLE weak .*database\.admin_secret"):
        migrate(database, Login("weak", "of-the-weak"))
    assert database.execute("SELECT rolname FROM pg_roles WHERE rolname IN ('dagster', 'weather')") == []


def test_the_control_plane_s_own_login_does_not_migrate(database: Database) -> None:
    database.execute(f"CREATE ROLE dagster LOGIN CREATEROLE CREATEDB PASSWORD '{DAGSTER_PASSWORD}'")
    with pytest.raises(ControlPlaneError, match=r"the control plane's own: give database.admin_secret another"):
        migrate(database, CONTROL_PLANE)


def test_a_role_that_somebody_else_made_is_told_with_what_to_grant(database: Database) -> None:
    database.execute("CREATE ROLE weather LOGIN")
    with pytest.raises(ControlPlaneError, match=r"lacks a right.*WITH ADMIN OPTION"):
        migrate(database)
    database.execute("GRANT weather TO master WITH ADMIN OPTION")
    migrate(database)
    assert missing(database) == []


def test_a_database_that_is_there_already_is_taken_over(database: Database) -> None:
    """Terraform may have made it, for the login of the migration."""
    database.execute("CREATE DATABASE dagster OWNER master")
    migrate(database)
    assert missing(database) == []


def test_tables_of_another_role_are_told(database: Database) -> None:
    migrate(database)
    database.execute("ALTER TABLE event_logs OWNER TO postgres", "dagster")
    with pytest.raises(ControlPlaneError, match=r"lacks a right"):
        migrate(database)


def test_a_database_of_a_newer_version_is_left_alone(database: Database, passwords: Path) -> None:
    migrate(database)
    database.execute("UPDATE alembic_version SET version_num = 'of_tomorrow'", "dagster")
    before = everything(database)
    message = programs.refused(*MIGRATE, passwords, environment=programs.environment(database, MASTER))
    assert "revision of_tomorrow, made by a newer version of Dagster" in message
    assert "images.platform" in message
    assert everything(database) == before


SECRETS = ("--secrets", "ns/platform-database", "ns/platform-team-databases")


@pytest.mark.parametrize(
    ("held", "of_dagster", "named"),
    [
        (PASSWORDS, "", "key password of Secret ns/platform-database."),
        (dict[str, str](), "given", "keys night_shift, weather of Secret ns/platform-team-databases."),
        (
            {"weather": WEATHER.password},
            "",
            "key password of Secret ns/platform-database; key night_shift of Secret ns/platform-team-databases.",
        ),
    ],
)
def test_passwords_that_are_not_there_are_named_with_their_secrets_and_nothing_is_done(
    database: Database, tmp_path: Path, held: dict[str, str], of_dagster: str, named: str
) -> None:
    directory = write_passwords(tmp_path / "given", held)
    arguments = (*MIGRATE, directory, "--teams", "night_shift,weather", *SECRETS)
    of_migrate = programs.environment(database, MASTER, DATABASE_PASSWORD=of_dagster)
    message = programs.refused(*arguments, environment=of_migrate)
    assert message.startswith(f"passwords are missing: {named} With database.passwords.source: existing make")
    assert database.execute("SELECT 1 FROM pg_database WHERE datname = 'dagster'") == []


def test_passwords_that_must_be_there_lock_out_nobody(database: Database, tmp_path: Path) -> None:
    """The hook comes before the pods of a removed team go, and the upgrade may yet fail."""
    migrate(database)
    of_migrate = programs.environment(database, MASTER)
    directory = write_passwords(tmp_path / "given", {"weather": WEATHER.password})
    arguments = (*MIGRATE, directory, "--teams", "weather")
    assert programs.run(*arguments, environment=of_migrate).returncode == 0
    assert database.execute("SELECT 1", "ledger", NIGHT_SHIFT) == [(1,)]
    assert programs.run(*arguments, "--lock-out-others", environment=of_migrate).returncode == 0
    with pytest.raises(psycopg.OperationalError, match=r"not permitted to log in"):
        database.execute("SELECT 1", "ledger", NIGHT_SHIFT)


def test_others_cannot_be_locked_out_when_it_is_not_said_who_they_are(tmp_path: Path) -> None:
    result = programs.run(*MIGRATE, tmp_path, "--lock-out-others", environment=programs.environment(None))
    assert result.returncode == 2
    assert "--lock-out-others: give --teams" in result.stderr


def test_after_a_rollback_newer_schemas_stay_and_logins_are_set(database: Database) -> None:
    migrate(database)
    database.execute("UPDATE alembic_version SET version_num = 'of_tomorrow'", "dagster")
    database.execute("UPDATE night_shift.alembic_version SET version_num = 'of_tomorrow'", "ledger")
    changed = {"night_shift": "another", "weather": WEATHER.password}
    migrate(database, passwords=changed, teams=list(changed), keep_newer=True)
    assert database.execute("SELECT 1", "ledger", Login("night_shift", "another")) == [(1,)]
    assert database.execute("SELECT version_num FROM alembic_version", "dagster") == [("of_tomorrow",)]
    assert database.execute("SELECT version_num FROM night_shift.alembic_version", "ledger") == [("of_tomorrow",)]


def test_a_ledger_that_cannot_be_migrated_holds_up_no_other(database: Database) -> None:
    migrate(database, passwords={"night_shift": NIGHT_SHIFT.password})
    database.execute("UPDATE night_shift.alembic_version SET version_num = 'of_tomorrow'", "ledger")
    with pytest.raises(ControlPlaneError, match=r"'night_shift' was migrated by a newer version"):
        migrate(database)
    assert missing(database, ["weather"]) == []


@pytest.mark.parametrize(
    ("name", "password", "message"),
    [
        ("weather", "p@ss", "weather has other characters"),
        ("weather", "pass\n", "weather has a line break"),
        ("weather", "", "weather is empty"),
        ("Weather", "pass", "Weather: the file is named as no team's role"),
        ("night-shift", "pass", "night-shift: the file is named as no team's role: must have _ in place of -"),
        ("dagster", "pass", "dagster: the file is named as no team's role: is a reserved name"),
        ("dagster_runs", "pass", "dagster_runs: the file is named as no team's role: is a reserved name"),
        ("postgres", "pass", "postgres: the file is named as no team's role: is a reserved name"),
    ],
)
def test_a_password_file_that_cannot_be_used_is_named(tmp_path: Path, name: str, password: str, message: str) -> None:
    directory = write_passwords(tmp_path / "given", {name: password})
    with pytest.raises(ControlPlaneError) as caught:
        password_files.read(directory)
    assert message in str(caught.value)
    assert "p@ss" not in str(caught.value)


def test_the_control_plane_s_password_must_fit_a_url_too(database: Database) -> None:
    with pytest.raises(ControlPlaneError, match=r"the password DATABASE_PASSWORD has other characters") as caught:
        migration.migrate(database.server, MASTER, PASSWORDS, "p@ss", owner=OWNER, seconds=0)
    assert "p@ss" not in str(caught.value)


def test_missing_variables_are_named_all_at_once(tmp_path: Path) -> None:
    message = programs.refused(
        *MIGRATE,
        tmp_path,
        environment=programs.environment(None, DATABASE_HOST="db", DATABASE_PORT="1"),
    )
    assert message.startswith("missing environment variables: DATABASE_SSLMODE (values key database.sslmode); ")
    assert "DATABASE_ADMIN_USERNAME (the Secret of values key database.admin_secret)" in message
    assert "DATABASE_ADMIN_PASSWORD" in message


def test_a_directory_of_passwords_that_is_not_there_is_named(database: Database, tmp_path: Path) -> None:
    message = programs.refused(*MIGRATE, tmp_path / "none", environment=programs.environment(database, MASTER))
    assert message == f"the passwords cannot be read: {tmp_path / 'none'}: No such file or directory"


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("DATABASE_PORT", "postgres", "DATABASE_PORT is 'postgres', not a port; check the values key database.port"),
        ("DATABASE_PORT", "tcp://10.0.0.1:5432", "not a port"),
        ("DATABASE_SSLMODE", "on", "DATABASE_SSLMODE is 'on', not one of disable, require, verify-full;"),
        ("DATABASE_SSLMODE", "prefer", "DATABASE_SSLMODE is 'prefer', not one of disable, require, verify-full;"),
    ],
)
def test_a_variable_that_cannot_be_used_is_named(name: str, value: str, message: str) -> None:
    given = {"DATABASE_HOST": "db", "DATABASE_PORT": "5432", "DATABASE_SSLMODE": "require", name: value}
    with pytest.raises(ControlPlaneError) as caught:
        environment.server(given)
    assert message in str(caught.value)


# Whose the server is.


OTHER = "prod/dagster-hr/own"


def comment(database: Database) -> str | None:
    ((found,),) = database.execute(
        "SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = 'dagster'"
    )
    return found


@ADMINS
@pytest.mark.parametrize("keep_newer", [False, True], ids=["hook", "job"])
def test_another_control_plane_is_refused_before_it_changes_anything_until_it_is_handed_over(
    database: Database, admin: Login, *, keep_newer: bool
) -> None:
    migrate(database, admin)
    assert comment(database) == f"tenancy: {OWNER}"
    before = everything(database)
    theirs = {"hr": "of-hr"}
    arguments = (database.server, admin, theirs, "of-another")
    with pytest.raises(ControlPlaneError) as caught:
        migration.migrate(*arguments, owner=OTHER, teams=["hr"], keep_newer=keep_newer, seconds=0)
    assert everything(database) == before
    assert database.execute("SELECT 1", "ledger", WEATHER) == [(1,)], "nobody is locked out"
    assert database.execute("SELECT 1", "dagster", CONTROL_PLANE) == [(1,)], "the password is the same"
    message = str(caught.value)
    assert f"belong to the control plane {OWNER} (environment/namespace/release), not to {OTHER}" in message
    assert "database.host" in message
    database.execute(handing_over(message), login=admin)
    migration.migrate(*arguments, owner=OTHER, teams=["hr"], keep_newer=keep_newer, seconds=0)
    assert comment(database) == f"tenancy: {OTHER}"
    with pytest.raises(ControlPlaneError, match=rf"belong to the control plane {OTHER}"):
        migrate(database, admin)


def test_of_two_control_planes_at_once_one_gets_the_server_and_the_other_changes_nothing(
    database: Database, tmp_path: Path
) -> None:
    teams = {OWNER: "weather", OTHER: "hr"}
    both = {
        owner: subprocess.Popen(
            programs.command(
                *("migrate", "--owner", owner, "--passwords", write_passwords(tmp_path / team, {team: "of-it"}))
            ),
            env=programs.environment(database, MASTER),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        for owner, team in teams.items()
    }
    said = {owner: process.communicate(timeout=120)[1] for owner, process in both.items()}
    assert sorted(process.returncode for process in both.values()) == [0, 1], said
    (first,) = (owner for owner, process in both.items() if process.returncode == 0)
    (second,) = teams.keys() - {first}
    assert f"belong to the control plane {first} " in said[second]
    assert comment(database) == f"tenancy: {first}"
    assert database.execute("SELECT rolname FROM pg_roles WHERE rolname IN ('weather', 'hr')") == [(teams[first],)]


def handing_over(message: str) -> str:
    """Return the statement of a message, as one would copy it."""
    found = re.search(r"COMMENT ON DATABASE .*;$", message)
    assert found, message
    return found[0]


@ADMINS
def test_a_database_from_before_there_were_marks_is_adopted(database: Database, admin: Login) -> None:
    migrate(database, admin)
    database.execute("COMMENT ON DATABASE dagster IS NULL")
    migrate(database, admin)
    assert comment(database) == f"tenancy: {OWNER}"


@pytest.mark.parametrize("theirs", ["of the data team", "it's\nours: see multi-tenancy: a/b, tenancy: in the wiki"])
def test_a_comment_of_somebody_else_s_is_kept_and_the_mark_found_in_it(database: Database, theirs: str) -> None:
    database.execute("CREATE DATABASE dagster OWNER master")
    database.execute("COMMENT ON DATABASE dagster IS '{}'".format(theirs.replace("'", "''")))
    migrate(database)
    migrate(database)
    assert comment(database) == f"{theirs}; tenancy: {OWNER}"
    with pytest.raises(ControlPlaneError) as caught:
        migrate(database, owner=OTHER)
    database.execute(handing_over(str(caught.value)))
    migrate(database, owner=OTHER)
    assert comment(database) == f"{' '.join(theirs.split())}; tenancy: {OTHER}"


@pytest.mark.parametrize("owner", ["platform", "prod/dagster/", "Prod/dagster/platform", "prod/dagster/plat form", ""])
def test_a_name_that_could_not_be_found_again_is_refused(database: Database, owner: str) -> None:
    with pytest.raises(ControlPlaneError, match=r"is not as in prod/dagster/platform"):
        migrate(database, owner=owner)


def test_a_migration_says_whose_it_is(tmp_path: Path) -> None:
    result = programs.run("migrate", "--passwords", tmp_path, environment=programs.environment(None))
    assert result.returncode == 2
    assert "Missing option '--owner'" in result.stderr


@pytest.mark.parametrize("mode", ["disable", "require", "verify-full"])
def test_a_mode_that_the_values_take_is_taken(mode: str) -> None:
    given = {"DATABASE_HOST": "db", "DATABASE_PORT": "5432", "DATABASE_SSLMODE": mode}
    assert environment.server(given).sslmode == mode


# What is known of others' schemas.


def test_the_newest_revisions_are_those_that_alembic_finds() -> None:
    scripts = ScriptDirectory.from_config(pg_alembic_config(dagster_postgres.run_storage.__file__))
    of_dagster = revisions.of_dagster()
    assert of_dagster.newest == scripts.get_current_head()
    assert of_dagster.known == {script.revision for script in scripts.walk_revisions()}
    assert revisions.of_ledger() == revisions.Revisions(_revision.REVISIONS[-1], frozenset(_revision.REVISIONS))


def test_waiting_loads_neither_dagster_nor_sqlalchemy() -> None:
    program = (
        "import sys, tenancy.cluster.cli, tenancy.cluster.waiting, tenancy.cluster.passwords; "
        "print(*sorted({'dagster', 'sqlalchemy', 'alembic', 'pydantic', 'kubernetes'} & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == ""


def test_a_mark_says_for_which_revision_it_is(database: Database) -> None:
    migrate(database)
    with database.connect("dagster") as connection:
        schema_state.mark(connection, "public", "another")
    assert "has not come to its end" in "; ".join(missing(database))
