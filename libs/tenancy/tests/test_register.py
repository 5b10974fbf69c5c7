"""The rules of the register, each with the very line that a person gets."""

import json
import re
from pathlib import PurePosixPath
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from tenancy import register
from tenancy.document import InvalidFileError
from tenancy.names import LONGEST, RESERVED

GOOD = """\
organization: acme
teams:
  operations:
    description: Departures of the airport
    isolation: shared
    groups:
      acme-operations: editor
    quota: {cpu: "8", memory: 16Gi, concurrent_runs: 4}
    contact: {alerts: "#operations-data", email: operations@acme.example}
    reads: [weather]
    locations:
      departures: {}
      late-arrivals: {}
  weather:
    description: Weather
    groups: {"Data people, all": viewer}
    quota: {cpu: 500m, memory: 512Mi, concurrent_runs: 1}
    contact: {alerts: "#weather", email: weather@acme.example}
    locations: {}
"""


def lines_of(text: str) -> list[str]:
    """Return the lines that a register is refused with."""
    with pytest.raises(InvalidFileError) as caught:
        register.loads(text)
    return str(caught.value).splitlines()


def changed(old: str, new: str) -> list[str]:
    """Return the lines that the good register gets after one change."""
    assert old in GOOD
    return lines_of(GOOD.replace(old, new, 1))


def test_a_register_says_every_name_of_a_location() -> None:
    loaded = register.loads(GOOD)
    departures, late = loaded.locations
    assert (departures.dagster_name, departures.package) == ("operations-departures", "operations_departures")
    assert (late.dagster_name, late.package) == ("operations-late-arrivals", "operations_late_arrivals")
    assert late.directory == PurePosixPath("code_locations/operations/late-arrivals")
    assert late.ledger_schema == "operations"
    assert loaded.teams["weather"].isolation == "shared"
    assert loaded.teams["operations"].reads == ["weather"]


def test_a_misspelt_key_names_file_line_key_and_the_nearest_valid_one() -> None:
    assert changed("quota:", "quotas:") == [
        'tenants.yaml:8: teams.operations.quotas: unknown key; did you mean "quota"?'
    ]
    assert changed("concurrent_runs", "concurent_runs") == [
        'tenants.yaml:8: teams.operations.quota.concurent_runs: unknown key; did you mean "concurrent_runs"?'
    ]
    assert changed("departures: {}", "departures: {image: x}") == [
        "tenants.yaml:12: teams.operations.locations.departures.image: unknown key; none is known here"
    ]
    assert changed("    isolation: shared\n", "    zzz: 1\n") == [
        "tenants.yaml:5: teams.operations.zzz: unknown key; known here: "
        + ", ".join(sorted(register.Team.model_fields))
    ]


def test_a_missing_key_is_named_at_the_line_of_its_parent() -> None:
    assert changed('"8", memory: 16Gi, ', '"8", ') == ["tenants.yaml:8: teams.operations.quota.memory: is missing"]
    assert changed("organization: acme\n", "") == ["tenants.yaml:1: organization: is missing"]


def test_a_location_that_is_listed_twice_is_refused() -> None:
    assert changed("late-arrivals", "departures") == [
        "tenants.yaml:13: teams.operations.locations.departures: also on line 12; keep one"
    ]


def test_two_locations_that_would_share_their_dagster_name_are_refused() -> None:
    text = GOOD.replace("  weather:", "  operations-late:").replace("[weather]", "[]")
    (line,) = lines_of(text.replace("locations: {}", "locations: {arrivals: {}}"))
    assert line.startswith("tenants.yaml:19: teams.operations-late.locations.arrivals: ")
    assert line.endswith("has the Dagster name operations-late-arrivals, as operations/late-arrivals has; rename one")


@pytest.mark.parametrize("word", RESERVED)
def test_a_reserved_name_is_refused_with_the_list(word: str) -> None:
    name = word.replace("*", "x")
    advice = f"is a reserved name; reserved are {', '.join(RESERVED)}"
    assert changed("departures", name) == [f"tenants.yaml:12: teams.operations.locations.{name}: {advice}"]
    assert changed("  weather:", f"  {name}:")[-1] == f"tenants.yaml:14: teams.{name}: {advice}"


def test_a_name_that_does_not_fit_everywhere_is_refused_with_the_number() -> None:
    rule = f"at most {LONGEST} are allowed (63 in Kubernetes less its endings)"
    for length in (80, LONGEST + 1):
        (line,) = changed("departures", "d" * length)
        assert line.endswith(f": has {length} characters; {rule}")
    longest = "d" * (LONGEST - len("operations-"))
    assert changed("departures", longest + "d") == [
        f"tenants.yaml:12: teams.operations.locations.{longest}d: operations-{longest}d has 46 characters; {rule}"
    ]
    assert register.loads(GOOD.replace("departures", longest)).locations[0].name == longest


@pytest.mark.parametrize("name", ["Departures", "a--b", "-a", "a-", "1a", "a_b", "a.b", "é", "a b", "../x", "a/b"])
def test_a_name_that_is_no_dns_label_is_refused(name: str) -> None:
    (line,) = changed("departures: {}", f"{json.dumps(name)}: {{}}")
    assert line.startswith("tenants.yaml:12: teams.operations.locations.")
    assert line.endswith("must be lower case letters, digits and single dashes, beginning with a letter")


def test_a_name_that_yaml_takes_for_a_boolean_must_be_quoted() -> None:
    advice = "is not text for every reader of YAML; put it in quotes"
    assert changed("departures:", "no:") == [f"tenants.yaml:12: teams.operations.locations.no: no {advice}"]
    assert changed("organization: acme", "organization: on") == [f"tenants.yaml:1: organization: on {advice}"]
    assert register.loads(GOOD.replace("departures:", '"no":')).locations[0].dagster_name == "operations-no"


def test_an_anchor_is_refused() -> None:
    assert changed("quota: {", "quota: &q {") == [
        "tenants.yaml:8: anchors and aliases are not allowed; write the value out"
    ]


RUNS = "8: teams.operations.quota.concurrent_runs: "
GROUP = "7: teams.operations.groups.acme-operations: "
DEPARTURES = "12: teams.operations.locations.departures: "


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('cpu: "8"', "cpu: 8", "8: teams.operations.quota.cpu: must be text, not the number 8; put it in quotes"),
        ('cpu: "8"', 'cpu: "0"', '8: teams.operations.quota.cpu: must be cores as in "8", or thousandths as in "500m"'),
        ("16Gi", "16GB", "8: teams.operations.quota.memory: must be a whole number with Mi, Gi or Ti, as in 16Gi"),
        ("runs: 4", 'runs: "4"', RUNS + "must be a whole number, not the text 4"),
        ("runs: 4", "runs: 1.5", RUNS + "must be a whole number, not the number 1.5"),
        ("runs: 4", "runs: true", RUNS + "must be a whole number, not the truth value true"),
        ("runs: 4", "runs: 0", RUNS + "must be at least 1, not 0"),
        ("runs: 4", "runs: 1001", RUNS + "must be at most 1000, not 1001"),
        (": editor", ": admin", GROUP + "must be viewer, launcher or editor, not admin"),
        (": shared", ": none", "5: teams.operations.isolation: must be shared or dedicated, not none"),
        ("operations@", "operations", "9: teams.operations.contact.email: must be an e-mail address"),
        ('"#operations-data"', '""', "9: teams.operations.contact.alerts: must be one line of 1 to 200 characters"),
        ("departures: {}", "departures:", DEPARTURES + "must be a mapping (key: value), not empty; write {}"),
        ("departures: {}", "departures: []", DEPARTURES + "must be a mapping (key: value), not a list"),
        ("[weather]", "weather", "10: teams.operations.reads: must be a list, not the text weather"),
        ("[weather]", "[wether]", '10: teams.operations.reads.0: no such team; did you mean "weather"?'),
        ("[weather]", "[operations]", "10: teams.operations.reads.0: a team always reads its own; take it out"),
        ("[weather]", "[weather, weather]", "10: teams.operations.reads.1: is in the list twice"),
        ("[weather]", "[{}]", "10: teams.operations.reads.0: must be text, not a mapping"),
        ("\n      acme-operations: editor", " {}", "6: teams.operations.groups: needs at least 1"),
    ],
)  # fmt: skip
def test_a_wrong_value_is_explained_in_plain_words(old: str, new: str, message: str) -> None:
    assert changed(old, new) == [f"tenants.yaml:{message}"]


def test_a_register_that_is_no_mapping_is_refused() -> None:
    assert lines_of("- a\n") == ["tenants.yaml:1: must be a mapping (key: value), not a list"]
    assert lines_of("teams\n") == ["tenants.yaml:1: must be a mapping (key: value), not the text teams"]


def test_all_errors_of_a_file_come_at_once_in_the_order_of_the_lines() -> None:
    text = GOOD.replace("acme\n", "Acme\n", 1).replace("quota:", "quotas:", 1).replace("departures", "default", 1)
    lines = lines_of(text.replace("late-arrivals", "default").replace("[weather]", "[wether]"))
    assert [int(line.split(":")[1]) for line in lines] == [1, 8, 10, 12, 13]


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


def _places(value: object, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    steps: list[tuple[Any, object]] = []
    if isinstance(value, dict):
        steps = list(value.items())  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
    elif isinstance(value, list):
        steps = list(enumerate(value))  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
    return [path, *(place for step, inner in steps for place in _places(inner, (*path, step)))]


def refusal(text: str) -> list[str]:
    """Return the lines that a register is refused with, none for a good one; any other exception fails the test."""
    try:
        register.loads(text)
    except InvalidFileError as error:
        return str(error).split("\n")
    return []


@given(st.sampled_from(_places(yaml.safe_load(GOOD))[1:]), _json, st.text(max_size=50))
def test_a_register_with_anything_anywhere_loads_or_is_refused_line_by_line(
    place: tuple[Any, ...], value: object, key: str
) -> None:
    whole = yaml.safe_load(GOOD)
    parent = whole
    for step in place[:-1]:
        parent = parent[step]
    parent[place[-1]] = value
    if isinstance(parent, dict):
        parent[key] = value
    lines = refusal(yaml.safe_dump(whole, allow_unicode=True))
    assert all(re.match(r"tenants\.yaml(:\d+)?: ", line) for line in lines)
