"""Registers and values of environments that nobody wrote: anything that the models and the guards take.

A value is drawn from the JSON schema of its model, but for what one key says about another: those are made to fit.
"""

import re
from collections.abc import Mapping
from typing import Any, cast

from hypothesis import assume
from hypothesis import strategies as st
from tenancy.charts import PlatformValues
from tenancy.closed import schema_of
from tenancy.names import LONGEST

from tests.helm.releases import DIGEST

SCHEMA = cast("Mapping[str, Any]", schema_of(PlatformValues))
_TEXT = st.characters(codec="utf-8", exclude_categories=["Cs"], exclude_characters="\0")
_DEFINITIONS = cast("Mapping[str, Mapping[str, Any]]", SCHEMA["$defs"])


def of_schema(schema: Mapping[str, Any]) -> st.SearchStrategy[Any]:
    """Return values that a schema of ours takes, with and without the keys that may be left out."""
    if "$ref" in schema:
        name = str(schema["$ref"]).rsplit("/", 1)[-1]
        return st.deferred(lambda: _KNOWN[name] if name in _KNOWN else of_schema(_DEFINITIONS[name]))
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    if choices := schema.get("anyOf") or schema.get("oneOf"):
        return st.one_of([of_schema(choice) for choice in choices])
    kind = schema["type"]
    if kind == "object":
        return _of_object(schema)
    if kind == "array":
        return st.lists(of_schema(schema["items"]), min_size=schema.get("minItems", 0), max_size=3)
    return _of_scalar(kind, schema)


def _of_scalar(kind: str, schema: Mapping[str, Any]) -> st.SearchStrategy[Any]:
    match kind:
        case "string" if "pattern" in schema:
            return texts(schema["pattern"], schema.get("maxLength"))
        case "string":
            return st.text(_TEXT, max_size=20)
        case "integer":
            return st.integers(schema.get("minimum", -(2**53)), schema.get("maximum", 2**53))
        case "number":
            return st.floats(allow_nan=False, allow_infinity=False)
        case "boolean":
            return st.booleans()
        case "null":
            return st.none()
        case other:
            raise AssertionError(other)


def texts(pattern: str, longest: int | None = None) -> st.SearchStrategy[str]:
    """Return texts that match a pattern as a whole, words that YAML takes for something else among them."""
    # Rarely wanted, and slow: hundreds of characters.
    drawn = st.from_regex(re.sub(r"\{(\d+),\d{2,}\}", r"{\1,9}", pattern), fullmatch=True, alphabet=_TEXT)
    tricky = [word for word in _TRICKY if re.fullmatch(pattern, word)]
    both = st.one_of(drawn, st.sampled_from(tricky)) if tricky else drawn
    return both if longest is None else both.map(lambda text: text[:longest].rstrip("-"))


_TRICKY = ("null", "true", "on", "y", "Y", "N", "1e3", "0x1f", "010", "2013-01-01", "1.5", "=", "1:30", "a-b", "0", "-")


def _of_object(schema: Mapping[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    if "properties" in schema:
        needed = set(schema.get("required", ()))
        parts = {name: of_schema(part) for name, part in schema["properties"].items()}
        return st.fixed_dictionaries(
            {name: part for name, part in parts.items() if name in needed},
            optional={name: part for name, part in parts.items() if name not in needed},
        )
    if "patternProperties" in schema:
        ((pattern, part),) = schema["patternProperties"].items()
        keys = texts(pattern, schema.get("propertyNames", {}).get("maxLength"))
        return st.dictionaries(keys, of_schema(part), min_size=schema.get("minProperties", 0), max_size=3)
    return st.dictionaries(st.text(_TEXT, max_size=20), of_schema(schema["additionalProperties"]), max_size=3)


def names(longest: int) -> st.SearchStrategy[str]:
    """Return names of teams or locations, among them the longest, and such as YAML takes for something else."""
    drawn = st.from_regex(r"[ab][ab1]{0,3}(-[ab1]{1,3}){0,3}", fullmatch=True, alphabet=st.characters(codec="ascii"))
    chosen = st.one_of(drawn, st.sampled_from(["on", "null", "true", "y", "a", "a-b", "a-b-c"]), st.just("x" * 45))
    return chosen.map(lambda name: name[:longest].rstrip("-"))


# No chart says whom to tell, and what the data is about.
_TEAM = st.fixed_dictionaries(
    {
        "description": st.just("x"),
        "groups": st.just({"everyone": "viewer"}),
        "quota": of_schema(_DEFINITIONS["Quota"]),
        "contact": st.just({"alerts": "#x", "email": "x@acme.example"}),
    },
    optional={"isolation": st.sampled_from(["shared", "dedicated"])},
)


@st.composite
def teams(draw: st.DrawFn, chosen: st.SearchStrategy[list[str]], each: st.SearchStrategy[str] | None) -> dict[str, Any]:
    """Draw the teams of a register, with names that no two locations share."""
    found: dict[str, Any] = {}
    taken: set[str] = set()
    for name in draw(chosen):
        body: dict[str, Any] = draw(_TEAM)
        of_locations = names(LONGEST - len(name) - 1) if each is None else each
        locations = draw(st.lists(of_locations, max_size=3, unique=True))
        body["locations"] = {each: {} for each in locations if f"{name}-{each}" not in taken}
        body["reads"] = []
        taken |= {f"{name}-{each}" for each in locations}
        found[name] = body
    for name, body in found.items():
        body["reads"] = draw(st.lists(st.sampled_from(sorted(found)), unique=True, max_size=2))
        body["reads"] = [other for other in body["reads"] if other != name]
    return found


_CPU = ("1m", "50m", "500m", "1", "2", "1500m", "64")
_MEMORY = ("1Mi", "64Mi", "256Mi", "1Gi", "1025Mi", "1Ti")


@st.composite
def resources(draw: st.DrawFn) -> dict[str, dict[str, str]]:
    """Draw resources, no request above its limit."""
    cpu = sorted(draw(st.lists(st.sampled_from(_CPU), min_size=2, max_size=2)), key=_amount)
    memory = sorted(draw(st.lists(st.sampled_from(_MEMORY), min_size=2, max_size=2)), key=_amount)
    return {"requests": {"cpu": cpu[0], "memory": memory[0]}, "limits": {"cpu": cpu[1], "memory": memory[1]}}


def _amount(text: str) -> float:
    number = float(text.rstrip("mMGTi"))
    return number * {"m": 1e-3, "Mi": 1, "Gi": 1024, "Ti": 1024**2}.get(text.lstrip("0123456789"), 1)


_VARIABLE = st.from_regex(r"[A-Z][A-Z0-9_]{0,8}", fullmatch=True, alphabet=st.characters(codec="ascii"))
_TAKEN = ("ENVIRONMENT", "HOME", "LEDGER_SCHEMA", "LEDGER_URL", "LOCATION", "TEAM")
_SCALAR = st.one_of(
    st.text(_TEXT, max_size=20),
    st.sampled_from(["$(TEAM)", "$$(TEAM)", "$", "a $ b", '"', "{{ .Values }}", "- a: b", "\n\n", "null", " "]),
    st.integers(-(2**53), 2**53),
    st.floats(allow_nan=False, allow_infinity=False),
    st.booleans(),
)
variables = st.deferred(
    lambda: st.dictionaries(
        st.one_of(_VARIABLE, st.sampled_from(["Y", "ON", "NULL"])).filter(
            lambda name: name not in _TAKEN and not name.startswith(("DAGSTER_", "DATABASE_", "KUBERNETES_", "PYTHON"))
        ),
        st.one_of(_SCALAR, of_schema(_DEFINITIONS["SecretRef"])),
        max_size=4,
    )
)
"""Environment variables of every kind that a person may write."""

_CIDRS = st.sampled_from(["10.0.0.0/8", "0.0.0.0/0", "1.2.3.4/32", "172.16.0.0/12"])
_HOLE = st.fixed_dictionaries(
    {"ports": st.lists(st.integers(1, 65535), min_size=1, max_size=2)},
    optional={
        "cidrs": st.lists(_CIDRS, min_size=1, max_size=2),
        "namespace": of_schema({"type": "string", "pattern": "[a-z0-9]{1,63}"}),
    },
).filter(lambda hole: "cidrs" in hole or "namespace" in hole)

_KEY = {"key": st.sampled_from(["a", "b.example/c"])}
_TOLERATION = st.one_of(
    st.just({"operator": "Exists"}),
    st.fixed_dictionaries(_KEY, optional={"value": st.sampled_from(["", "on"]), "effect": st.just("NoSchedule")}),
    st.fixed_dictionaries(
        {**_KEY, "operator": st.just("Exists"), "effect": st.just("NoExecute")},
        optional={"tolerationSeconds": st.integers(0, 10**9)},
    ),
)

_KNOWN: Mapping[str, st.SearchStrategy[Any]] = {
    "Egress": _HOLE,
    "Resources": resources(),
    "Toleration": _TOLERATION,
}
_LOCATION = st.fixed_dictionaries(
    {"variables": variables},
    optional={
        key: of_schema(part).map(lambda own: {name: value for name, value in own.items() if value is not None})
        for key, part in _DEFINITIONS["LocationOnCluster"]["properties"].items()
        if key in {"code_servers", "run_pods"}
    }
    | {
        "scheduling": of_schema(_DEFINITIONS["Scheduling"]).map(
            lambda own: {"node_selector": {}, "tolerations": [], **own}
        )
    },
)


@st.composite
def values(
    draw: st.DrawFn,
    of_teams: st.SearchStrategy[list[str]] | None = None,
    of_locations: st.SearchStrategy[str] | None = None,
) -> dict[str, Any]:
    """Draw all values of an environment: a register, what differs on the cluster, and images.

    Args:
        of_teams: names of the teams, any that are allowed by default.
        of_locations: name of a location, any that is allowed by default.
    """
    drawn: dict[str, Any] = {}
    for name, schema in SCHEMA["properties"].items():
        given = name in SCHEMA["required"] or draw(st.booleans())
        if given and name not in {"teams", "images", "locations", "variables"}:
            drawn[name] = draw(of_schema(schema))
    any_teams = st.lists(names(LONGEST - 2), min_size=1, max_size=4, unique=True)
    drawn["teams"] = draw(teams(any_teams if of_teams is None else of_teams, of_locations))
    drawn["variables"] = draw(variables)
    full = [f"{team}-{name}" for team, body in drawn["teams"].items() for name in body["locations"]]
    drawn["locations"] = {name: draw(_LOCATION) for name in full}
    drawn["images"] = {"platform": f"a.b/p@{DIGEST}", "locations": {name: f"a.b/{name}@{DIGEST}" for name in full}}
    return draw(_fitting(drawn))


@st.composite
def _fitting(draw: st.DrawFn, drawn: dict[str, Any]) -> dict[str, Any]:
    """Make one key fit to the other, as the guards want it."""
    drawn["environment"] = draw(st.sampled_from(["dev", "staging", "prod"]))
    plane = drawn.setdefault("control_plane", {})
    plane.pop("dedicated_to", None)
    plane["variables"] = draw(variables)
    assume(plane.get("namespace") not in drawn["teams"])
    database = drawn.setdefault("database", {})
    if database.get("embedded", {}).get("enabled"):
        drawn["environment"] = "dev"
        assume(not database["embedded"].get("image", "").endswith(":latest"))
    else:
        database["host"] = database.get("host") or "postgres.example"
        database["cidrs"] = database.get("cidrs") or ["10.0.0.0/8"]
    if drawn.get("gateway", {}).get("host"):
        drawn["gateway"]["name"] = drawn["gateway"].get("name") or "gateway"
    pods = drawn.setdefault("run_pods", {})
    pods["most"] = {"cpu": "64", "memory": "1Ti"}
    network = drawn.setdefault("network", {})
    network["blocked_cidrs"] = [each for each in network.get("blocked_cidrs", []) if not each.endswith("/0")]
    network["blocked_cidrs"] = network["blocked_cidrs"] or ["10.0.0.0/8"]
    if "service_accounts" in drawn:
        annotations = of_schema(SCHEMA["$defs"]["ServiceAccounts"]["properties"]["annotations"])
        teams_of = st.dictionaries(st.sampled_from(sorted(drawn["teams"])), annotations, max_size=2)
        drawn["service_accounts"]["team_annotations"] = draw(teams_of)
    network["team_egress"] = draw(
        st.dictionaries(st.sampled_from(sorted(drawn["teams"])), st.dictionaries(names(45), _HOLE, max_size=2))
    )
    drawn["image_pull_secrets"] = draw(
        st.lists(of_schema({"type": "string", "pattern": "[a-z0-9]{1,20}"}), unique=True)
    )
    return PlatformValues.model_validate(drawn) and drawn
