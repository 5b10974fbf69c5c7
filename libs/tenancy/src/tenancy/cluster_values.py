"""What a cluster needs to know beside the register and the environments: the charts' own values.

Everything here has a default and may stand in `environments/<env>/values.yaml`. The charts' `values.yaml`, their
`values.schema.json` and the page docs/reference/helm-values.md are made from these models by `tenancy render`.
"""

from typing import Annotated, Literal, Self

from pydantic import Field, WithJsonSchema, model_validator

from tenancy.closed import Closed
from tenancy.register import Cpu, Label, Memory, matching
from tenancy.variables import DNS_LABEL, DNS_NAME, SecretKey, SecretName, Variables

Host = Annotated[str, *matching(rf"^({DNS_NAME})?$", "must be a host name, or empty")]
Namespace = Annotated[str, *matching(rf"^({DNS_LABEL})?$", "must be a namespace, or empty")]
Port = Annotated[int, Field(ge=1, le=65535)]
_URL = rf"^(https?://{DNS_NAME}(:[0-9]{{1,5}})?(/[A-Za-z0-9._~/-]*)?)?$"
_OCTET = "(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
Cidr = Annotated[str, *matching(rf"^({_OCTET}\.){{3}}{_OCTET}/([0-9]|[12][0-9]|3[0-2])$", "must be as in 10.0.0.0/8")]
_TAG, _DIGEST = ":[A-Za-z0-9_][A-Za-z0-9._-]{0,127}", "@sha256:[0-9a-f]{64}"
Image = Annotated[
    str,
    *matching(
        rf"^[a-z0-9][a-z0-9._/:-]{{0,200}}({_TAG}({_DIGEST})?|{_DIGEST})$",
        "must be an image with its tag or digest, as in registry.example/team@sha256:...",
    ),
]
Path = Annotated[str, *matching(r"^(/[A-Za-z0-9._-]+)*$", 'must be as in "/dagster", or empty')]
_QUALIFIED = rf"({DNS_NAME}/)?[A-Za-z0-9]([A-Za-z0-9._-]{{0,61}}[A-Za-z0-9])?"
LabelKey = Annotated[str, *matching(rf"^{_QUALIFIED}$", "must be as in example.com/name")]
LabelValue = Annotated[
    str,
    *matching(
        r"^([A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?)?$", "must be at most 63 letters, digits, dashes or dots"
    ),
]
Annotations = dict[LabelKey, str]
Labels = dict[LabelKey, LabelValue]
_SECONDS = WithJsonSchema({"type": "integer", "minimum": 0, "maximum": 10**9})
Module = Annotated[str, *matching(r"^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*$", "must be a Python name")]


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
    """A class that takes the place of the platform's own; it must be in the platform's image."""

    module: Module
    """Module to import."""
    name: Module
    """Name in it."""


class ControlPlane(Closed):
    """Where webserver and daemon are, and what both see."""

    namespace: Label = "dagster"
    """Namespace of the release of helm/platform."""
    release: Label = "platform"
    """Name of that release."""
    dedicated_to: str = ""
    """A team with `isolation: dedicated`: this release is its own control plane. Empty: the one that teams share."""
    variables: Variables = {}
    """Environment variables of webserver and daemon, such as credentials for the store of compute logs."""
    pod_annotations: Annotations = {}
    """Annotations of the pods of webserver and daemon."""
    pod_labels: Labels = {}
    """Labels of these pods, beside the platform's own."""


class Webserver(Closed):
    """The UI and GraphQL."""

    replicas: Annotated[int, Field(ge=1, le=20)] = 2
    """Pods. With two or more, a lost node is not seen from outside."""
    module: Module = "tenancy.cluster.webserver"
    """Module of the platform's image whose `run` serves."""
    path_prefix: Path = ""
    """Path under which the UI is reached, as in /dagster."""
    resources: Resources = resources("100m", "384Mi", "2", "1Gi")
    """Of each pod."""


class Daemon(Closed):
    """Sensors, schedules, queue and run monitor: one pod, always."""

    sensor_threads: Annotated[int, Field(ge=1, le=256)] = 16
    """Sensors evaluated at once. More than there are sensors that may hang at the same time."""
    schedule_threads: Annotated[int, Field(ge=1, le=256)] = 4
    """Schedules evaluated at once."""
    run_coordinator: PythonClass = PythonClass(module="tenancy.cluster.coordinator", name="TeamRunCoordinator")
    """The queue of runs."""
    resources: Resources = resources("200m", "384Mi", "2", "2Gi")
    """Of the pod."""


class CodeServers(Closed):
    """The pods that serve a location's definitions and evaluate its sensors."""

    replicas: Annotated[int, Field(ge=1, le=10)] = 2
    """Pods of each location."""
    drain_seconds: Annotated[int, Field(ge=5, le=600)] = 65
    """How long a pod that is replaced may finish what it has begun; a sensor's evaluation takes up to 60 s."""
    start_seconds: Annotated[int, Field(ge=10, le=3600)] = 180
    """How long a pod may take until it serves; one that takes longer is started again."""
    resources: Resources = resources("100m", "256Mi", "1", "512Mi")
    """Of each pod."""
    pod_annotations: Annotations = {}
    """Annotations of the pods."""
    pod_labels: Labels = {}
    """Labels of the pods, beside the platform's own."""


class RunPods(Closed):
    """The pods in which runs are executed, one for each run."""

    resources: Resources = resources("250m", "512Mi", "1", "1Gi")
    """Of each run that asks for nothing else by its tag tenancy/resources."""
    most: Amounts = Amounts(cpu="4", memory="8Gi")
    """Most that the tag may ask for, and most that any container in a team's namespace may have."""
    scratch: Memory = "10Gi"
    """What a run may write to /tmp, and any container in a team's namespace to its node's disk."""
    keep_seconds: Annotated[int, Field(ge=60, le=604_800)] = 86_400
    """How long a finished run's pod is kept, for its log."""
    start_timeout_seconds: Annotated[int, Field(ge=30, le=3600)] = 300
    """A run whose pod has not begun after this long fails; pulling an image and finding room count."""
    max_seconds: Annotated[int, Field(ge=60, le=604_800)] = 86_400
    """A run that takes longer is ended."""
    pod_annotations: Annotations = {}
    """Annotations of the pods: cluster-autoscaler.kubernetes.io/safe-to-evict: "false"."""
    pod_labels: Labels = {}
    """Labels of the pods, beside Dagster's own."""


class Toleration(Closed):
    """A taint that is tolerated, as Kubernetes writes it."""

    key: Annotated[str, *matching(rf"^({_QUALIFIED})?$", "must be as in example.com/name, or empty")] = ""
    """Key of the taint; empty: every taint."""
    operator: Literal["Exists", "Equal"] = "Equal"
    """Whether the taint's value counts."""
    value: LabelValue = ""
    """Value of the taint."""
    effect: Literal["", "NoSchedule", "PreferNoSchedule", "NoExecute"] = ""
    """Effect of the taint; empty: every effect."""
    tolerationSeconds: Annotated[int | None, Field(ge=0, le=10**9), _SECONDS] = None  # noqa: N815 - Kubernetes' name
    """How long a pod stays after a taint NoExecute has come; not given: for ever."""

    @model_validator(mode="after")
    def _as_kubernetes_takes_it(self) -> Self:
        if self.operator == "Equal" and not self.key:
            raise ValueError("a toleration without key tolerates every taint: write operator: Exists")
        if self.operator == "Exists" and self.value:
            raise ValueError("a toleration with operator: Exists has no value")
        if self.tolerationSeconds is not None and self.effect != "NoExecute":
            raise ValueError("tolerationSeconds is for effect: NoExecute only")
        return self


class Scheduling(Closed):
    """Which nodes pods may be put on; for the control plane, code servers and runs alike."""

    node_selector: Labels = {}
    """Labels that a node must have."""
    tolerations: list[Toleration] = []
    """Taints that are tolerated, as Kubernetes writes them."""


class AdminSecret(Closed):
    """An existing Secret, in the control plane's namespace, with a login that may create roles and databases."""

    name: SecretName = "database-admin"
    """Name of the Secret."""
    username: SecretKey = "username"
    """Key that holds the role's name."""
    password: SecretKey = "password"  # noqa: S105 - the name of a key
    """Key that holds its password."""


class Passwords(Closed):
    """Where the passwords of the control plane's and the teams' logins come from."""

    source: Literal["generated", "existing", "external"] = "generated"
    """generated: made at the first install and kept; not with tools that render without a cluster, such as Argo CD.
    existing: Secrets that you bring. external: ExternalSecrets."""
    store: SecretName = "secrets"
    """ClusterSecretStore of the External Secrets Operator."""
    path: Annotated[str, *matching(r"^[A-Za-z0-9/_.+=@-]{1,400}$", "must be a path without spaces")] = (
        "dagster/database"
    )
    """Where the store keeps them: <path>/<role>, with the role `dagster` and one for each team."""


class EmbeddedDatabase(Closed):
    """A Postgres in the cluster, for development: one pod, no backup, no failover."""

    enabled: bool = False
    """true: the chart brings the database; host, sslmode and admin_secret are then its own."""
    image: Image = "postgres:17"
    """Its image."""
    storage: Memory = "8Gi"
    """Size of its volume."""
    storage_class: Host = ""
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
    """How connections are secured, as libpq names it. verify-full wants the authority's certificate in the images, and
    its path, in plain, as PGSSLROOTCERT in `variables` and `control_plane.variables`."""
    cidrs: list[Cidr] = ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"]
    """Where the database may be: the hole in the teams' network policies, at its port only."""
    admin_secret: AdminSecret = AdminSecret()
    """Login with which the migration makes databases, schemas and roles."""
    passwords: Passwords = Passwords()
    """Passwords of the roles that it makes."""
    migration_seconds: Annotated[int, Field(ge=60, le=7200)] = 600
    """How long a migration may take, and how long the control plane waits for it."""


class ComputeLogs(Closed):
    """What runs write to stdout and stderr, kept in an object store for the UI."""

    bucket: Annotated[str, *matching(r"^([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])?$", "must be a bucket's name, or empty")] = (
        ""
    )
    """Bucket. Empty: nothing is kept, only `kubectl logs` shows it."""
    prefix: Annotated[str, *matching(r"^[A-Za-z0-9/_.-]{1,200}$", "must be a path without spaces")] = "compute-logs"
    """First part of the keys."""
    region: Annotated[str, *matching(r"^([a-z][a-z0-9-]{0,39})?$", "must be a region, or empty")] = ""
    """Region; empty: as the pod's environment says."""
    endpoint: Annotated[str, *matching(_URL, "must be as in https://store.example:9000, or empty")] = ""
    """URL of a store that is not AWS's own; empty: AWS."""


class Egress(Closed):
    """One named hole in the teams' network policies: pods of a namespace, or addresses."""

    namespace: Namespace = ""
    """Namespace that may be reached; empty: the addresses below."""
    cidrs: list[Cidr] = []
    """Addresses that may be reached."""
    ports: Annotated[list[Port], Field(min_length=1)]
    """TCP ports there."""


class Network(Closed):
    """What pods of the teams may reach, and who may reach the webserver."""

    internet: bool = True
    """Whether teams' pods reach addresses outside blocked_cidrs."""
    blocked_cidrs: list[Cidr] = [
        "10.0.0.0/8",
        "100.64.0.0/10",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.168.0.0/16",
    ]
    """What is not the internet: the cluster's own and private addresses, and the cloud's metadata service."""
    dns_cidrs: list[Cidr] = []
    """Addresses that resolve names, beside the pods of kube-system: NodeLocal DNSCache's 169.254.20.10/32."""
    egress: dict[Label, Egress] = {}
    """Holes by name, for the pods of all teams: object-store: {namespace: minio, ports: [9000]}."""
    team_egress: dict[str, dict[Label, Egress]] = {}
    """Holes by team and name, for the pods of that team alone."""
    webserver_cidrs: list[Cidr] = []
    """Addresses outside the cluster that may reach the webserver, such as a load balancer's. Pods may, but for the
    teams' own."""


class Ingress(Closed):
    """An Ingress for the webserver."""

    host: Host = ""
    """Host name of the UI. Empty: no Ingress."""
    class_name: Host = ""
    """IngressClass; empty: the cluster's default."""
    tls_secret: Host = ""
    """Secret with the certificate; empty: the controller's own."""
    annotations: Annotations = {}
    """Annotations of the Ingress."""


class Gateway(Closed):
    """An HTTPRoute of the Gateway API for the webserver."""

    host: Host = ""
    """Host name of the UI. Empty: no HTTPRoute."""
    name: Host = ""
    """Name of the Gateway."""
    namespace: Namespace = ""
    """Its namespace."""


class ServiceAccounts(Closed):
    """The service accounts of code servers, runs and control plane."""

    annotations: Annotations = {}
    """On those of teams; {team} stands for the team's name. For an identity in the cloud on EKS:
    eks.amazonaws.com/role-arn: arn:aws:iam::123456789012:role/dagster-{team}"""
    team_annotations: dict[str, Annotations] = {}
    """On those of one team, by its name; they win over the ones of all."""
    control_plane_annotations: Annotations = {}
    """On those of daemon and webserver."""


class ClusterValues(Closed):
    """What may stand in an environment's values for the charts; the local platform knows nothing of it."""

    control_plane: ControlPlane = ControlPlane()
    """Where webserver and daemon are, and what both see."""
    webserver: Webserver = Webserver()
    """The UI and GraphQL."""
    daemon: Daemon = Daemon()
    """Sensors, schedules, queue and run monitor."""
    code_servers: CodeServers = CodeServers()
    """The pods that serve a location's definitions."""
    run_pods: RunPods = RunPods()
    """The pods in which runs are executed."""
    scheduling: Scheduling = Scheduling()
    """Which nodes pods may be put on."""
    database: Database = Database()
    """The Postgres that holds the instance and the ledgers."""
    compute_logs: ComputeLogs = ComputeLogs()
    """What runs write to stdout and stderr."""
    network: Network = Network()
    """What pods of the teams may reach, and who may reach the webserver."""
    ingress: Ingress = Ingress()
    """An Ingress for the webserver."""
    gateway: Gateway = Gateway()
    """An HTTPRoute for the webserver."""
    service_accounts: ServiceAccounts = ServiceAccounts()
    """The service accounts of code servers, runs and control plane."""
    image_pull_secrets: list[SecretName] = []
    """Secrets with a registry's login; they must exist in the control plane's and each team's namespace."""
    removed_teams: list[Label] = []
    """Teams whose namespace may be deleted, with everything in it, because tenants.yaml has them no more."""
