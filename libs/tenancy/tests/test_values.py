"""The rules of the environments' values, each with the very line that a person gets."""

from pathlib import Path

import pytest
from tenancy import environments, register
from tenancy.document import InvalidFileError
from tenancy.variables import Secret, SecretRef

LOCAL = """\
environment: local
runs: {max_concurrent: 4}
variables:
  LAKE_URL: "file://{state}/lake"
  INTERVAL_SECONDS: 5
  VERBOSE: true
locations:
  weather-observations:
    variables: {WEATHER_URL: "http://127.0.0.1:{feeds_port}/weather"}
  fleet-aircraft:
    variables: {FLEET_DATABASE_URL: "postgresql://reader@/outside?host={state}/socket", VERBOSE: false}
storage: {lean: true}
"""
CLUSTER = """\
environment: dev
runs: {max_concurrent: 8}
variables:
  LAKE_URL: s3://acme-lake
  INTERVAL_SECONDS: 0.5
  VERBOSE: false
locations:
  weather-observations:
    variables: {WEATHER_URL: "https://weather.acme.example"}
  fleet-aircraft:
    variables: {FLEET_DATABASE_URL: {secret: {name: fleet-database, key: url}}, VERBOSE: true}
storage: {lean: true}
"""
TEAM = """\
    description: x
    groups: {everyone: viewer}
    quota: {cpu: "2", memory: 4Gi, concurrent_runs: 1}
    contact: {alerts: "#x", email: x@acme.example}
"""
REGISTER = register.loads(
    f"organization: acme\nteams:\n  weather:\n{TEAM}    locations: {{observations: {{}}}}\n"
    f"  fleet:\n{TEAM}    locations: {{aircraft: {{}}}}\n"
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return a repository with four good environments."""
    for name in environments.ENVIRONMENTS:
        text = LOCAL if name == "local" else CLUSTER.replace("environment: dev", f"environment: {name}")
        put(tmp_path, name, text)
    return tmp_path


def put(root: Path, name: str, text: str) -> None:
    """Write the values of an environment."""
    path = environments.values_path(root, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def change(root: Path, name: str, old: str, new: str) -> list[str]:
    """Change the values of one environment; return the lines that all of them get, their places a little shortened."""
    path = environments.values_path(root, name)
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    lines = [str(problem).removeprefix(f"{root}/environments/") for problem in environments.check(root, REGISTER)]
    return [line.replace("/values.yaml", "").replace("locations.fleet-aircraft.variables.", "...") for line in lines]


def test_four_environments_of_the_same_shape_have_no_problems(root: Path) -> None:
    assert environments.check(root, REGISTER) == []


def test_a_location_sees_the_variables_of_all_and_its_own_which_win(root: Path) -> None:
    dev = environments.load(environments.values_path(root, "dev"))
    assert dev.variables_for("fleet-aircraft") == {
        "LAKE_URL": "s3://acme-lake",
        "INTERVAL_SECONDS": 0.5,
        "VERBOSE": True,
        "FLEET_DATABASE_URL": SecretRef(secret=Secret(name="fleet-database", key="url")),
    }
    with pytest.raises(LookupError, match="environment dev has no location weather-alerts"):
        dev.variables_for("weather-alerts")


def test_values_reach_a_process_as_text_with_places_filled_in(root: Path) -> None:
    local = environments.load(environments.values_path(root, "local"))
    places = {"state": "/home/x/.local", "feeds_port": "8000"}
    assert environments.filled(local.variables_for("weather-observations"), places) == {
        "LAKE_URL": "file:///home/x/.local/lake",
        "INTERVAL_SECONDS": "5",
        "VERBOSE": "true",
        "WEATHER_URL": "http://127.0.0.1:8000/weather",
    }


def test_a_secret_cannot_be_filled_in(root: Path) -> None:
    dev = environments.load(environments.values_path(root, "dev"))
    with pytest.raises(LookupError, match="FLEET_DATABASE_URL is kept in the secret fleet-database"):
        environments.filled(dev.variables_for("fleet-aircraft"), {})


SCALAR = "must be text, a number, true, false, or {secret: {name: ..., key: ...}}"


@pytest.mark.parametrize(
    ("name", "old", "new", "lines"),
    [
        ("prod", "  VERBOSE: false\n", "", ["prod:3: variables.VERBOSE: is missing; local, dev, staging have it"]),
        ("prod", "  VERBOSE: false\n", "  VERBOSE: false\n  EXTRA: 1\n",
         ["prod:7: variables.EXTRA: is not in local, dev, staging; add it there or take it out here"]),
        ("staging", ", VERBOSE: true", "",
         ["staging:11: ...VERBOSE: is missing; local, dev, prod have it"]),
        ("dev", "  fleet-aircraft:", "  fleet-aircrafts:",
         ['dev:10: locations.fleet-aircrafts: no such location in the register; did you mean "fleet-aircraft"?']),
        ("dev", CLUSTER[CLUSTER.index("  fleet-aircraft") : CLUSTER.index("storage")], "",
         ["dev:7: locations.fleet-aircraft: is missing; the register has it. Write {variables: {}}"]),
        ("dev", "environment: dev", "environment: staging", ["dev:1: environment: is staging, but the folder is dev"]),
        ("dev", "environment: dev", "environment: qa",
         ["dev:1: environment: must be local, dev, staging or prod, not qa"]),
        ("dev", "runs:", "run:", ['dev:2: run: unknown key; did you mean "runs"?']),
        ("dev", "s3://acme-lake", '"file://{state}/lake"',
         ["dev:4: variables.LAKE_URL: {state} is filled in only locally; write the value out"]),
        ("local", "{state}/lake", "{stat}/lake",
         ['local:4: variables.LAKE_URL: {stat} is unknown; did you mean "state"?']),
        ("dev", "key: url", "keys: url",
         ['dev:11: ...FLEET_DATABASE_URL.secret.keys: unknown key; did you mean "key"?']),
        ("dev", "secret: {name: fleet-database, key: url}", "name: fleet-database",
         ["dev:11: ...FLEET_DATABASE_URL.name: unknown key; known here: secret",
          "dev:11: ...FLEET_DATABASE_URL.secret: is missing"]),
        ("dev", "name: fleet-database", "name: Fleet_Database",
         ["dev:11: ...FLEET_DATABASE_URL.secret.name: must be lower case letters, digits, dashes and dots"]),
        ("dev", "{secret: {name: fleet-database, key: url}}", "postgresql://me:pass@db/fleet",
         ["dev:11: ...FLEET_DATABASE_URL: a password in the open; use {secret: {name: ..., key: ...}}"]),
        ("local", '"file://{state}/lake"', "{secret: {name: lake, key: url}}",
         ["local:4: variables.LAKE_URL: the local environment has no secrets; write the value"]),
        ("dev", "INTERVAL_SECONDS: 0.5", "INTERVAL_SECONDS:",
         ["dev:5: variables.INTERVAL_SECONDS: " + SCALAR]),
        ("dev", "INTERVAL_SECONDS: 0.5", "INTERVAL_SECONDS: 2013-01-01",
         ["dev:5: variables.INTERVAL_SECONDS: 2013-01-01 is not text for every reader of YAML; put it in quotes"]),
        ("dev", "s3://acme-lake", '"a\\0b"',
         ["dev:4: variables.LAKE_URL: holds a zero byte, which no environment variable can"]),
        ("dev", "INTERVAL_SECONDS: 0.5", "INTERVAL_SECONDS: 9007199254740993",
         ["dev:5: variables.INTERVAL_SECONDS: is a number that not every reader keeps exactly; put it in quotes"]),
        ("dev", "storage:", "scheduling: {tolerations: [{keyy: a}]}\nstorage:",
         ['dev:12: scheduling.tolerations.0.keyy: unknown key; did you mean "key"?']),
        ("dev", "storage:", "network: {egress: {x: {cidrs: [10.0.0.256/8], ports: []}}}\nstorage:",
         ["dev:12: network.egress.x.cidrs.0: must be as in 10.0.0.0/8",
          "dev:12: network.egress.x.ports: needs at least 1"]),
    ],
    ids=lambda value: repr(value)[:30],
)  # fmt: skip
def test_a_fault_is_one_line_that_names_the_place(root: Path, name: str, old: str, new: str, lines: list[str]) -> None:
    assert change(root, name, old, new) == lines


@pytest.mark.parametrize("variable", ["LEDGER_URL", "TEAM", "HOME", "DATABASE_HOST", "DAGSTER_HOME", "PYTHONPATH"])
def test_what_the_platform_sets_cannot_be_set_here(root: Path, variable: str) -> None:
    line = change(root, "dev", "VERBOSE:", f"{variable}:")[0]
    assert line == f"dev:6: variables.{variable}: is set by the platform; take it out"


@pytest.mark.parametrize("variable", ["verbose", "A-B", "_A", "1A"])
def test_a_variable_has_a_name_that_every_shell_takes(root: Path, variable: str) -> None:
    line = change(root, "dev", "VERBOSE:", f"{variable}:")[0]
    assert line.endswith("must be capital letters, digits and underscores, beginning with a letter")


def test_a_lost_file_and_an_unknown_environment_are_named(root: Path) -> None:
    environments.values_path(root, "prod").unlink()
    put(root, "qa", CLUSTER)
    assert [str(problem) for problem in environments.check(root, REGISTER)] == [
        f"{root}/environments/prod/values.yaml: no such file; run this at the root of the repository",
        f"{root}/environments/qa/values.yaml: is no environment; known: local, dev, staging, prod",
    ]


def test_loading_one_environment_raises_all_of_its_problems(root: Path) -> None:
    put(root, "dev", CLUSTER.replace("runs:", "run:").replace("s3://acme-lake", '"{state}"'))
    with pytest.raises(InvalidFileError) as caught:
        environments.load(environments.values_path(root, "dev"))
    assert len(caught.value.problems) == 2


def test_a_quota_has_room_for_the_code_servers_and_a_run(root: Path) -> None:
    large = "code_servers: {replicas: 7}\nstorage: {lean: true}"
    lack = "too little for 8 code servers (one of them during an upgrade) and a run, which need 5120Mi"
    remedy = "raise it, or lower code_servers.resources or run_pods.resources"
    assert change(root, "dev", "storage: {lean: true}", large) == [
        f"dev:1: team weather has a quota of memory 4Gi in tenants.yaml, {lack}: {remedy}",
        f"dev:1: team fleet has a quota of memory 4Gi in tenants.yaml, {lack}: {remedy}",
    ]
    assert change(root, "dev", "replicas: 7", "replicas: 5") == []  # 6 x 512Mi and 1Gi: all of it
