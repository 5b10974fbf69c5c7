"""The register: the one list of teams and locations, read from `tenants.yaml`.

>>> from tenancy import register
>>> [location.dagster_name for location in register.load("tenants.yaml").locations]  # doctest: +SKIP
['operations-departures', 'operations-punctuality', 'weather-observations', 'weather-alerts', 'fleet-aircraft']
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, WithJsonSchema

from tenancy.closed import Closed, nearest, validate
from tenancy.document import Document, InvalidFileError, Problem, mapping, sequence
from tenancy.names import LONGEST, PATTERN, check_label, check_name, too_long
from tenancy.reading import parse, read

_NAME_SCHEMA = WithJsonSchema({"type": "string", "pattern": PATTERN, "maxLength": LONGEST})
Label = Annotated[str, AfterValidator(check_label), _NAME_SCHEMA]
Name = Annotated[str, AfterValidator(check_name), _NAME_SCHEMA]


def matching(pattern: str, rule: str) -> tuple[AfterValidator, WithJsonSchema]:
    """Return what makes a text field keep to a pattern, and say the rule where it does not."""

    def check(text: str) -> str:
        if not re.fullmatch(pattern, text):
            raise ValueError(rule)
        return text

    return AfterValidator(check), WithJsonSchema({"type": "string", "pattern": pattern})


Text = Annotated[
    str,
    *matching(
        r"^[^\s\x00-\x1f\x7f]([^\x00-\x1f\x7f]{0,198}[^\s\x00-\x1f\x7f])?$", "must be one line of 1 to 200 characters"
    ),
]
Cpu = Annotated[
    str, *matching(r"^([1-9][0-9]{0,5}|[1-9][0-9]{0,8}m)$", 'must be cores as in "8", or thousandths as in "500m"')
]
Memory = Annotated[
    str, *matching(r"^[1-9][0-9]{0,8}(Mi|Gi|Ti)$", "must be a whole number with Mi, Gi or Ti, as in 16Gi")
]
Email = Annotated[str, *matching(r"^[^@\s]{1,64}@[^@\s]{1,190}$", "must be an e-mail address")]


class Quota(Closed):
    """What a team may use at the same time, over all of its locations."""

    cpu: Cpu
    """Processor cores, as Kubernetes writes them: "8" or "500m"."""
    memory: Memory
    """Memory, as Kubernetes writes it: 16Gi."""
    concurrent_runs: Annotated[int, Field(ge=1, le=1000)]
    """Runs at once; more wait in Dagster's queue."""


class Contact(Closed):
    """Whom to tell."""

    alerts: Text
    """Channel that gets the team's alerts."""
    email: Email
    """Address of the people who answer for the team's data."""


class LocationOptions(Closed):
    """A code location. It has no options yet: write {}."""


class Team(Closed):
    """People, their budget and their code locations."""

    description: Text
    """What the team's data is about, in one line."""
    isolation: Literal["shared", "dedicated"] = "shared"
    """shared: on the common Dagster instance. dedicated: an own instance and database."""
    groups: Annotated[dict[Text, Literal["viewer", "launcher", "editor"]], Field(min_length=1)]
    """Group of the identity provider -> role. Admins are the platform's."""
    quota: Quota
    """What the team may use at the same time."""
    contact: Contact
    """Whom to tell."""
    reads: Annotated[list[str], Field(default_factory=list[str], json_schema_extra={"uniqueItems": True})]
    """Other teams whose locations this team sees in the UI."""
    locations: dict[Name, LocationOptions]
    """Code locations, each a folder code_locations/<team>/<location>."""


@dataclass(frozen=True)
class Location:
    """A Dagster code location of one team, and every name that follows from that."""

    team: str
    name: str

    @property
    def dagster_name(self) -> str:
        """Name in Dagster, of the socket, of the release: `<team>-<location>`."""
        return f"{self.team}-{self.name}"

    @property
    def package(self) -> str:
        """Python package: `<team>_<location>`, with underscores for dashes."""
        return self.dagster_name.replace("-", "_")

    @property
    def directory(self) -> PurePosixPath:
        """Folder of the dg project, from the root of the repository."""
        return PurePosixPath("code_locations", self.team, self.name)

    @property
    def ledger_schema(self) -> str:
        """Postgres schema, and login role, of the team's ledger."""
        return self.team.replace("-", "_")


Organization = Label
Teams = Annotated[dict[Name, Team], Field(min_length=1)]


class Register(Closed):
    """Who the teams are, what they may do and use, and which code locations they have."""

    organization: Organization
    """Name of the organization on GitHub; its teams own the folders (CODEOWNERS)."""
    teams: Teams
    """Teams by name. A map and not a list, so that a file laid over this one can change one team."""

    @property
    def locations(self) -> Sequence[Location]:
        """Every location of every team, in the order of the file."""
        return [Location(team, name) for team, body in self.teams.items() for name in body.locations]


def load(path: str | Path) -> Register:
    """Read the register; raises InvalidFileError with every problem of the file, one line each."""
    return _register(read(Path(path)))


def loads(text: str, file: str = "tenants.yaml") -> Register:
    """Read the register from text; `file` is the name for messages. Raises InvalidFileError as `load` does."""
    return _register(parse(text, file))


def _register(document: Document) -> Register:
    register, problems = validate(Register, document)
    problems = [*document.problems, *problems, *_between_teams(document)]
    if register is None or problems:
        raise InvalidFileError(problems)
    return register


def _between_teams(document: Document) -> Iterator[Problem]:
    """Yield what no single team can know. Works on the raw values, to be reported beside all other errors."""
    teams = mapping(mapping(document.value).get("teams"))
    taken: dict[str, str] = {}
    for team, body in teams.items():
        reads = sequence(mapping(body).get("reads"))
        for index, other in enumerate(reads):
            path = ("teams", team, "reads", index)
            if not isinstance(other, str):
                continue  # the model says so
            if other not in teams:
                yield document.problem(path, f"no such team; {nearest(other, list(teams))}")
            elif other == team:
                yield document.problem(path, "a team always reads its own; take it out")
            elif other in reads[:index]:
                yield document.problem(path, "is in the list twice")
        for name in mapping(mapping(body).get("locations")):
            path = ("teams", team, "locations", name)
            full = f"{team}-{name}"
            if full in taken:
                yield document.problem(path, f"has the Dagster name {full}, as {taken[full]} has; rename one")
            elif len(full) > LONGEST >= max(len(team), len(name)):
                yield document.problem(path, f"{full} {too_long(full)}")
            taken.setdefault(full, f"{team}/{name}")
