"""What is installed in an environment: the values that people write, and the releases that come of them."""

from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from typing import Any

from tenancy import register
from tenancy.environments import ENVIRONMENTS, values_path
from tenancy.reading import read

from tests.helm.rendering import ROOT, Object, Rendered, Values, render

CLUSTERS = tuple(name for name in ENVIRONMENTS if name != "local")
DIGEST = "sha256:" + "0123456789abcdef" * 4


@cache
def environment(name: str) -> Values:
    """Return the values of an environment as Helm lays them over each other, with images that are made up."""
    files = [read(ROOT / "tenants.yaml").value, read(values_path(ROOT, name)).value]
    names = [location.dagster_name for location in register.load(ROOT / "tenants.yaml").locations]
    images = {
        "platform": f"registry.example/platform@{DIGEST}",
        "locations": {each: f"registry.example/{each}@{DIGEST}" for each in names},
    }
    values: Values = {}
    for file in [*files, {"images": images}]:
        assert isinstance(file, dict)
        values = laid_over(values, file)
    return values


def laid_over(values: Values, over: Mapping[str, Any]) -> dict[str, Any]:
    """Return values with others laid over them, as `helm -f ... -f ...` does; None takes a key away."""
    merged = dict(values)
    for key, value in over.items():
        below = merged.get(key)
        if value is None:
            merged.pop(key, None)
        elif isinstance(value, Mapping):
            merged[key] = laid_over(below if isinstance(below, Mapping) else {}, value)
        else:
            merged[key] = value
    return merged


def many(teams: int, locations: int) -> Values:
    """Return values with so many teams of so many locations each."""
    values = environment("prod")
    team = {**values["teams"]["fleet"], "locations": {f"location-{each}": {} for each in range(locations)}}
    names = {f"team-{each}": team for each in range(teams)}
    full = [f"{name}-{each}" for name in names for each in team["locations"]]
    image = values["images"]["platform"]
    return {
        **values,
        "teams": names,
        "locations": {name: {"variables": {}} for name in full},
        "images": {"platform": image, "locations": dict.fromkeys(full, image)},
    }


def without_team(values: Values, team: str) -> Values:
    """Return values after a team was taken out of the register and its locations out of the environment."""
    gone = [f"{team}-{name}" for name in values["teams"][team]["locations"]]
    return laid_over(
        values,
        {
            "teams": {team: None},
            "locations": dict.fromkeys(gone),
            "images": {"locations": dict.fromkeys(gone)},
            "network": {"team_egress": {team: None}},
            "service_accounts": {"team_annotations": {team: None}},
        },
    )


def dedicated(values: Values) -> list[str]:
    """Return the teams that have their own control plane."""
    return [name for name, team in values["teams"].items() if team.get("isolation") == "dedicated"]


def locations(values: Values) -> list[tuple[str, str]]:
    """Return team and name of every location."""
    return [(team, name) for team, body in values["teams"].items() for name in body["locations"]]


def serves(values: Values, plane: str, team: str) -> bool:
    """Tell whether a control plane is a team's: that of a dedicated team, or "" for the one that teams share."""
    return plane == (team if team in dedicated(values) else "")


def for_team(values: Values, team: str) -> Values:
    """Return the values with which a team's releases are installed: a dedicated team has its own control plane."""
    if team not in dedicated(values):
        return values
    # Names of another length than the shared control plane's, so that nothing depends on it.
    own = {"dedicated_to": team, "namespace": f"dagster-{team}"[:45].rstrip("-"), "release": "own"}
    return laid_over(values, {"control_plane": own})


def platform(values: Values, team: str = "") -> Rendered:
    """Render the control plane of all teams that share one, or that of a dedicated team."""
    values = for_team(values, team) if team else values
    plane = {"namespace": "dagster", "release": "platform", **values.get("control_plane", {})}
    return render("platform", values, name=plane["release"], namespace=plane["namespace"])


def location(values: Values, team: str, name: str) -> Rendered:
    """Render a code location."""
    full = f"{team}-{name}"
    return render("code-location", {**for_team(values, team), "location": full}, name=full, namespace=team)


def everything(values: Values) -> Iterator[Object]:
    """Yield every object of every release of an environment."""
    yield from platform(values).objects
    for team in dedicated(values):
        yield from platform(values, team).objects
    for team, name in locations(values):
        yield from location(values, team, name).objects


def label(thing: Object) -> str:
    """Return which object it is: kind/namespace/name."""
    metadata = thing["metadata"]
    return f"{thing['kind']}/{metadata.get('namespace', '')}/{metadata['name']}"


def by_label(objects: Iterable[Object]) -> dict[str, Object]:
    """Return objects by which they are."""
    return {label(thing): thing for thing in objects}


def without_passwords(objects: Iterable[Object]) -> Iterator[Object]:
    """Yield objects without the content of Secrets: where `lookup` finds nothing it is new in each rendering."""
    for thing in objects:
        yield {**thing, "data": sorted(thing["data"])} if thing["kind"] == "Secret" else thing
