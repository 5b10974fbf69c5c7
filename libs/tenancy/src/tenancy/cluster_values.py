"""What a cluster needs to know beside the register and the environments: the charts' own values.

Everything here has a default and may stand in `environments/<env>/values.yaml`. The charts' `values.yaml`, their
`values.schema.json` and the page docs/reference/helm-values.md are made from these models by `tenancy render`.
"""

from typing import Annotated, Literal

from pydantic import Field

from tenancy.closed import Closed
from tenancy.environments import SecretKey, SecretName
from tenancy.register import Cpu, Memory, matching

Host = Annotated[str, *matching(r"^([a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?)?$", "must be a host name, or empty")]
Port = Annotated[int, Field(ge=1, le=65535)]
Cidr = Annotated[str, *matching(r"^([0-9]{1,3}\.){3}[0-9]{1,3}/([0-9]|[12][0-9]|3[0-2])$", "must be as in 10.0.0.0/8")]
Labels = dict[str, str]


class Amounts(Closed):
    """Processor and memory of one container."""

    cpu: Cpu
    """Cores: "1" or "250m"."""
    memory: Memory
    """Memory: 512Mi."""


class Resources(Closed):
    """What a container is given at least, and at most."""

    requests: Amounts
    """What the scheduler sets aside."""
    limits: Amounts
    """What it may use."""


def resources(cpu: str, memory: str, most_cpu: str, most_memory: str) -> Resources:
    """Return resources, for defaults."""
    return Resources(requests=Amounts(cpu=cpu, memory=memory), limits=Amounts(cpu=most_cpu, memory=most_memory))


class PythonClass(Closed):
    """A class that takes the place of the platform's own."""

    module: str
    """Module to import; it must be in the platform's image."""
    name: str
    """Name in it."""


class Webserver(Closed):
    """The UI and GraphQL."""

    replicas: Annotated[int, Field(ge=1, le=20)] = 2
    """Pods. With two or more, an upgrade or a lost node is not seen from outside."""
    module: str = "tenancy.cluster.webserver"
    """Python module with `run(workspace, port, path_prefix)` that serves."""
    path_prefix: Annotated[str, *matching(r"^(/[A-Za-z0-9._-]+)*$", 'must be as in "/dagster", or empty')] = ""
    """Path under which the UI is reached, as in /dagster."""
    resources: Resources = resources("100m", "400Mi", "2", "1Gi")
    """Of each pod."""


class Daemon(Closed):
    """Sensors, schedules, queue and run monitor; one pod, always."""

    sensor_threads: Annotated[int, Field(ge=1, le=256)] = 16
    """Sensors evaluated at once. More than there are sensors that may hang at the same time."""
    schedule_threads: Annotated[int, Field(ge=1, le=256)] = 4
    """Schedules evaluated at once."""
    run_coordinator: PythonClass = PythonClass(module="tenancy.cluster.coordinator", name="TeamRunCoordinator")
    """The queue of runs."""
    resources: Resources = resources("200m", "400Mi", "2", "2Gi")
    """Of the pod."""


class CodeServers(Closed):
    """The pods that serve a location's definitions and evaluate its sensors."""

    replicas: Annotated[int, Field(ge=1, le=10)] = 2
    """Pods of each location."""
    drain_seconds: Annotated[int, Field(ge=5, le=600)] = 60
    """How long a pod that is replaced may finish what it has begun: a sensor's evaluation takes up to 60 s."""
    resources: Resources = resources("100m", "300Mi", "1", "1Gi")
    """Of each pod."""


class RunPods(Closed):
    """The pods in which runs are executed."""

    resources: Resources = resources("250m", "512Mi", "1", "2Gi")
    """Of each run that asks for nothing else by its tag tenancy/resources."""
    most: Amounts = Amounts(cpu="4", memory="16Gi")
    """Most that the tag may ask for."""
    keep_seconds: Annotated[int, Field(ge=60, le=604_800)] = 86_400
    """How long a finished run's pod is kept, for its log."""
    start_timeout_seconds: Annotated[int, Field(ge=30, le=3600)] = 300
    """A run whose pod has not begun after this long fails; pulling an image and finding room count."""
    max_seconds: Annotated[int, Field(ge=60, le=604_800)] = 86_400
    """A run that takes longer is ended."""


class SecretKeys(Closed):
    """An existing Secret with the login of a role that may create roles and databases."""

    name: SecretName
    """Name of the Secret, in the release's namespace."""
    username: SecretKey = "username"
    """Key that holds the role's name."""
    password: SecretKey = "password"  # noqa: S105 - the name of a key
    """Key that holds its password."""


class EmbeddedDatabase(Closed):
    """A Postgres in the cluster, for development: one pod, no backup, no failover."""

    enabled: bool = False
    """true: the chart brings the database; host, admin_secret and sslmode are then not yours to set."""
    image: str = "postgres:17"
    """Its image."""
    storage: Memory = "8Gi"
    """Size of its volume."""
    storage_class: str = ""
    """Class of its volume; empty: the cluster's default."""
    resources: Resources = resources("100m", "256Mi", "2", "1Gi")
    """Of its pod."""


class Database(Closed):
    """The Postgres that holds the instance and the ledgers."""

    embedded: EmbeddedDatabase = EmbeddedDatabase()
    """A database in the cluster, for development."""
    host: Host = ""
    """Host name. Must be set unless the database is embedded."""
    port: Port = 5432
    """Port."""
    sslmode: Literal["disable", "require", "verify-full"] = "require"
    """How connections are secured, as libpq names it."""
    admin_secret: SecretKeys = SecretKeys(name="database-admin")
    """Login with which the migration makes databases, schemas and the roles of control plane and teams."""
