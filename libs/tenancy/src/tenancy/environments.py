"""The environments: what differs between local, dev, staging and prod, read from `environments/<env>/values.yaml`.

All of them have the same keys, so that what runs in one can run in the next; only values differ.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from tenancy.capacity import shortages
from tenancy.closed import Closed, near, nearest, validate
from tenancy.cluster_values import ClusterValues
from tenancy.document import Document, InvalidFileError, Key, Problem, mapping
from tenancy.location_values import LocationOnCluster, LocationValues
from tenancy.reading import read
from tenancy.register import Register
from tenancy.variables import Scalar, SecretRef, Variables

ENVIRONMENTS = ("local", "dev", "staging", "prod")
"""In the order in which a change passes through them."""

PLACES = ("feeds_port", "postgres_socket", "state")
"""What `{...}` may stand for in a value of the local environment: the port of the demo's feeds, the directory of
Postgres' socket, the state directory."""

_PLACE = re.compile(r"\{([a-z_]+)\}")
_PASSWORD_IN_URL = re.compile(r"://[^/@:\s]*:[^/@\s]+@")


class Runs(Closed):
    """Limits on runs in this environment."""

    max_concurrent: Annotated[int, Field(ge=1, le=10_000)]
    """Runs of all teams at once; more wait in Dagster's queue."""


class Storage(Closed):
    """How the Dagster instance uses its database."""

    lean: bool
    """true: LeanPostgresStorage, which keeps connections. false: dagster-postgres as it comes, over the same tables."""


class Environment(Closed):
    """The values of one environment."""

    environment: Literal["local", "dev", "staging", "prod"]
    """Name of the environment: that of the folder."""
    runs: Runs
    """Limits on runs."""
    storage: Storage
    """How the Dagster instance uses its database."""
    variables: Variables
    """Environment variables of every code location."""
    locations: Mapping[str, LocationValues]
    """Every code location of the register, by its Dagster name."""

    def variables_for(self, dagster_name: str) -> dict[str, Scalar | SecretRef]:
        """Return a location's variables; raises LookupError when the environment does not know the location."""
        if dagster_name not in self.locations:
            raise LookupError(f"environment {self.environment} has no location {dagster_name}")
        return {**self.variables, **self.locations[dagster_name].variables}


class EnvironmentOnCluster(Environment, ClusterValues):
    """The values of an environment that is a cluster's: also what the charts want to know."""

    locations: Mapping[str, LocationOnCluster]  # pyright: ignore[reportIncompatibleVariableOverride] - frozen
    """Every code location of the register, by its Dagster name."""


def values_path(root: Path, environment: str) -> Path:
    """Return where the values of an environment are."""
    return root / "environments" / environment / "values.yaml"


def filled(variables: Mapping[str, Scalar | SecretRef], places: Mapping[str, str]) -> dict[str, str]:
    """Return variables as a process gets them, with each `{place}` of the local environment filled in.

    Raises LookupError for a reference to a secret and for a place that is not given.
    """

    def text(name: str, value: Scalar | SecretRef) -> str:
        match value:
            case SecretRef():
                raise LookupError(f"{name} is kept in the secret {value.secret.name}, which only a cluster can read")
            case bool():
                return str(value).lower()
            case _:
                return _PLACE.sub(lambda match: places[match[1]], str(value))

    return {name: text(name, value) for name, value in variables.items()}


def load(path: str | Path) -> Environment:
    """Read the values of one environment; raises InvalidFileError with every problem of the file, one line each."""
    document = read(Path(path))
    environment, problems = _environment(document, Path(path).resolve().parent.name)
    if environment is None or problems:
        raise InvalidFileError(problems)
    return environment


def check(root: Path, register: Register | None) -> list[Problem]:
    """Return every problem of the environments below `root`, each file alone and all of them together.

    Without a register, which has then problems of its own, locations are not compared.
    """
    documents: dict[str, Document] = {}
    problems: list[Problem] = []
    for name in ENVIRONMENTS:
        try:
            documents[name] = read(values_path(root, name))
        except InvalidFileError as error:
            problems += error.problems
        else:
            environment, own = _environment(documents[name], name)
            problems += own
            if register and isinstance(environment, EnvironmentOnCluster):
                problems += [
                    documents[name].problem((), text)
                    for text in shortages(register, environment, environment.locations)
                ]
    for path in sorted((root / "environments").glob("*/values.yaml")):
        if path.parent.name not in ENVIRONMENTS:
            problems.append(Problem(str(path), 0, (), f"is no environment; known: {', '.join(ENVIRONMENTS)}"))
    for document in documents.values():
        problems += _against_register(document, register) if register else []
    return [*problems, *_between_environments(documents)]


def _environment(document: Document, name: str) -> tuple[Environment | None, list[Problem]]:
    environment, problems = validate(Environment if name == "local" else EnvironmentOnCluster, document)
    return environment, [*document.problems, *problems, *_alone(document, name)]


def _alone(document: Document, name: str) -> Iterator[Problem]:
    """Yield what pydantic does not see in one file: it depends on which environment this is."""
    stated = mapping(document.value).get("environment")
    if stated in ENVIRONMENTS and stated != name:
        yield document.problem(("environment",), f"is {stated}, but the folder is {name}")
    local = stated == "local"
    for path, value in _variables(document):
        if isinstance(value, str):
            if "\0" in value:
                yield document.problem(path, "holds a zero byte, which no environment variable can")
            for place in _PLACE.findall(value):
                if not local:
                    yield document.problem(path, f"{{{place}}} is filled in only locally; write the value out")
                elif place not in PLACES:
                    yield document.problem(path, f"{{{place}}} is unknown; {nearest(place, PLACES)}")
            if not local and _PASSWORD_IN_URL.search(value):
                yield document.problem(path, "a password in the open; use {secret: {name: ..., key: ...}}")
        if local and isinstance(value, dict):
            yield document.problem(path, "the local environment has no secrets; write the value")


def _against_register(document: Document, register: Register) -> Iterator[Problem]:
    wanted = [location.dagster_name for location in register.locations]
    found = mapping(mapping(document.value).get("locations"))
    lacking = [name for name in wanted if name not in found]
    meant: set[str | None] = set()  # a misspelt location is one problem, not also a missing one
    for name in found:
        if name not in wanted:
            meant.add(near(name, lacking))
            yield document.problem(("locations", name), f"no such location in the register; {nearest(name, wanted)}")
    for name in lacking:
        if name not in meant:
            yield document.problem(("locations", name), "is missing; the register has it. Write {variables: {}}")


def _between_environments(documents: Mapping[str, Document]) -> Iterator[Problem]:
    settings = {name: {path for path, _ in _variables(document)} for name, document in documents.items()}
    for path in sorted(set[tuple[Key, ...]]().union(*settings.values()), key=str):
        within = [name for name, document in documents.items() if path[:-1] in document.lines]
        have = [name for name in within if path in settings[name]]
        lack = [name for name in within if path not in settings[name]]
        if lack and len(have) == 1 < len(lack):
            yield documents[have[0]].problem(path, f"is not in {', '.join(lack)}; add it there or take it out here")
        else:
            for name in lack:
                yield documents[name].problem(
                    path, f"is missing; {', '.join(have)} {'has' if len(have) == 1 else 'have'} it"
                )


def _variables(document: Document) -> Iterator[tuple[tuple[Key, ...], object]]:
    """Yield every variable of a file with its path, whatever else is wrong with the file."""
    whole = mapping(document.value)
    for name, value in mapping(whole.get("variables")).items():
        yield ("variables", name), value
    for location, body in mapping(whole.get("locations")).items():
        for name, value in mapping(mapping(body).get("variables")).items():
            yield ("locations", location, "variables", name), value
