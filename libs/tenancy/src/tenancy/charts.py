"""The charts' values as files: `values.yaml` with every default, `values.schema.json`, and the page that lists them."""

import copy
import json
from collections.abc import Iterator
from typing import Any

from pydantic.fields import FieldInfo

from tenancy.closed import Closed, schema_of
from tenancy.cluster_values import Amounts, ClusterValues, Image
from tenancy.document import mapping, sequence
from tenancy.environments import EnvironmentOnCluster
from tenancy.register import Organization, Teams

HEAD = "Made from the models in libs/tenancy by `tenancy render`, checked in CI; edits here are lost."

_VALUES = f"""\
# {HEAD}
# Every key that is not of an environment's own, with its default. Change none here: write what differs into
# environments/<env>/values.yaml, which is laid over this file. docs/reference/helm-values.md lists all keys.
"""

_PAGE = f"""\
<!-- {HEAD} -->
# Values of the charts

`helm/platform` and `helm/code-location` take the same values, from three files that are laid over each other:
`tenants.yaml` (teams; its keys are described in `tenants.schema.json`), `environments/<env>/values.yaml` (what differs
between environments) and `environments/<env>/images.yaml` (what runs where, written by deployments):

```sh
helm upgrade --install platform helm/platform --namespace dagster --create-namespace \\
  -f tenants.yaml -f environments/dev/values.yaml -f environments/dev/images.yaml --rollback-on-failure --wait
helm upgrade --install operations-departures helm/code-location --namespace operations \\
  -f tenants.yaml -f environments/dev/values.yaml -f environments/dev/images.yaml \\
  --set location=operations-departures --rollback-on-failure --wait
```

`tenancy deploy dev` runs this for the control plane and all locations, and says why one does not come up.

The schema is closed: a key that is not listed is refused, by name. Every key below has a default and may stand in
`environments/<env>/values.yaml`. A location has its own `variables` there, and may have its `scheduling`, `run_pods`
(`resources`) and `code_servers` (`replicas`, `start_seconds`, `resources`):

```yaml
locations:
  weather-alerts:
    variables: {{}}
    run_pods: {{resources: {{requests: {{cpu: "1", memory: 4Gi}}, limits: {{cpu: "2", memory: 4Gi}}}}}}
```

| key | default | what it is |
| --- | --- | --- |
"""


class Images(Closed):
    """What runs where: the content of `environments/<env>/images.yaml`, which deployments write."""

    platform: Image
    """Image of webserver, daemon and migration."""
    locations: dict[str, Image] = {}
    """Image of each location, by its Dagster name."""


class PlatformValues(EnvironmentOnCluster):
    """All values of helm/platform: tenants.yaml, and an environment's values.yaml and images.yaml."""

    organization: Organization
    """Of the register (tenants.yaml): the organization on GitHub."""
    teams: Teams
    """Of the register (tenants.yaml): the teams, by name."""
    images: Images
    """What runs where."""


class CodeLocationValues(PlatformValues):
    """All values of helm/code-location: those of helm/platform, and which location it is."""

    location: str
    """Dagster name of the location, <team>-<location>; also the release's name."""


def schema_of_all(model: type[PlatformValues]) -> dict[str, object]:
    """Return the schema of a chart's values once `values.yaml` is below them: every key that stands there is there.

    Whoever writes a key and nothing after it takes the default away, in Helm's eyes; without this nobody would notice.
    """
    schema = copy.deepcopy(schema_of(model))
    definitions = mapping(schema["$defs"])
    parts = list(ClusterValues.model_fields)
    schema["required"] = [*sequence(schema["required"]), *parts]
    open_parts = [mapping(mapping(schema["properties"])[name]) for name in parts]
    while open_parts:
        name = str(open_parts.pop().get("$ref")).rpartition("/")[2]
        if name in definitions:
            part = mapping(definitions[name])
            part["required"] = list(mapping(part["properties"]))
            open_parts += map(mapping, mapping(part["properties"]).values())
    mapping(schema["properties"])["global"] = {"type": "object", "description": "Helm's own; not used."}
    return schema


def values() -> str:
    """Return `values.yaml` of both charts."""
    return _VALUES + "".join(_lines(ClusterValues(), 0))


def page() -> str:
    """Return docs/reference/helm-values.md."""
    rows = [
        f"| `{key}` | `{_json(value)}` | {' '.join((field.description or '').split()).replace('|', chr(92) + '|')} |\n"
        for key, value, field in _leaves(ClusterValues(), ())
    ]
    return _PAGE + "".join(rows)


def _lines(model: Closed, indent: int) -> Iterator[str]:
    space = " " * indent
    for name, field in type(model).model_fields.items():
        value = getattr(model, name)
        if indent == 0:
            yield "\n"
        for line in (field.description or "").splitlines():
            yield f"{space}# {line.strip()}\n"
        if _is_section(value):
            yield f"{space}{name}:\n"
            yield from _lines(value, indent + 2)
        else:
            yield f"{space}{name}: {_json(value)}\n"


def _leaves(model: Closed, path: tuple[str, ...]) -> Iterator[tuple[str, Any, FieldInfo]]:
    for name, field in type(model).model_fields.items():
        value = getattr(model, name)
        if _is_section(value):
            yield from _leaves(value, (*path, name))
        else:
            yield ".".join((*path, name)), value, field


def _is_section(value: object) -> bool:
    return isinstance(value, Closed) and not isinstance(value, Amounts)


def _json(value: object) -> str:
    """Return a value as JSON, which is YAML."""
    return json.dumps(value.model_dump() if isinstance(value, Closed) else value, ensure_ascii=False)
