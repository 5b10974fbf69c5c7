"""Where the database is and who logs in, from the environment's variables.

| variable | is |
|---|---|
| DATABASE_HOST, DATABASE_PORT, DATABASE_SSLMODE | the server, and how connections to it are secured |
| DATABASE_USERNAME, DATABASE_PASSWORD | the login of this process |
| DATABASE_ADMIN_USERNAME, DATABASE_ADMIN_PASSWORD | the login that makes roles and databases; the migration's only |
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from urllib.parse import quote

from tenancy.cluster.errors import ControlPlaneError

SERVER = ("DATABASE_HOST", "DATABASE_PORT", "DATABASE_SSLMODE")
LOGIN = ("DATABASE_USERNAME", "DATABASE_PASSWORD")
ADMIN = ("DATABASE_ADMIN_USERNAME", "DATABASE_ADMIN_PASSWORD")

MEANING: Mapping[str, str] = {
    "DAGSTER_HOME": "the directory with dagster.yaml",
    "DATABASE_HOST": "values key database.host",
    "DATABASE_PORT": "values key database.port",
    "DATABASE_SSLMODE": "values key database.sslmode",
    "DATABASE_USERNAME": "dagster in the control plane",
    "DATABASE_PASSWORD": "key password of the control plane's database Secret; values key database.passwords",
    "DATABASE_ADMIN_USERNAME": "the Secret of values key database.admin_secret",
    "DATABASE_ADMIN_PASSWORD": "the Secret of values key database.admin_secret",
}
SSLMODES = ("disable", "require", "verify-full")
"""Those that the values key takes. allow and prefer go on without TLS when the server has none, and verify-ca takes the
certificate of any server that the same authority knows."""


@dataclass(frozen=True)
class Login:
    """A role and its password."""

    username: str
    password: str = field(repr=False)


@dataclass(frozen=True)
class Server:
    """A Postgres server."""

    host: str
    port: int
    sslmode: str

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"

    def url(self, database: str, login: Login) -> str:
        """Return the URL of one of its databases."""
        host = f"[{self.host}]" if ":" in self.host else quote(self.host, safe="")
        user = f"{quote(login.username, safe='')}:{quote(login.password, safe='')}"
        return f"postgresql://{user}@{host}:{self.port}/{quote(database, safe='')}?sslmode={self.sslmode}"


def require(environment: Mapping[str, str], names: Iterable[str]) -> None:
    """Refuse an environment in which variables are missing or empty.

    Raises:
        ControlPlaneError: with all that are missing, and where each comes from.
    """
    missing = [name for name in names if not environment.get(name)]
    if missing:
        told = "; ".join(f"{name} ({MEANING[name]})" for name in missing)
        raise ControlPlaneError(f"missing environment variables: {told}")


def server(environment: Mapping[str, str]) -> Server:
    """Return the server.

    Raises:
        ControlPlaneError: a variable is missing or has no usable value.
    """
    require(environment, SERVER)
    host, port, sslmode = (environment[name] for name in SERVER)
    if not (port.isascii() and port.isdigit() and 0 < int(port) < 2**16):
        raise ControlPlaneError(f"DATABASE_PORT is {port!r}, not a port; check the values key database.port")
    if sslmode not in SSLMODES:
        raise ControlPlaneError(
            f"DATABASE_SSLMODE is {sslmode!r}, not one of {', '.join(SSLMODES)}; check the values key database.sslmode"
        )
    return Server(host, int(port), sslmode)


def login(environment: Mapping[str, str], names: tuple[str, str] = LOGIN) -> Login:
    """Return a login.

    Raises:
        ControlPlaneError: a variable is missing.
    """
    require(environment, names)
    return Login(*(environment[name] for name in names))
