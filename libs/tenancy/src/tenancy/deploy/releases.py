"""Which releases an environment has, and the Helm command of each; nothing is run here."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from tenancy.cluster_values import ControlPlane
from tenancy.deploy.errors import DeployError
from tenancy.register import Register

ROLLBACK = {3: "--atomic", 4: "--rollback-on-failure"}
"""What leaves nothing half installed, by Helm's major version."""


@dataclass(frozen=True)
class Release:
    """One release of Helm: the control plane, or a location."""

    name: str
    namespace: str
    chart: Path
    options: Sequence[str]

    def command(self, files: Sequence[Path], timeout: str, *, helm: int, context: str) -> list[str]:
        """Return the command that installs or upgrades it, for that major version of Helm."""
        values = [part for file in files for part in ("-f", str(file))]
        return [
            *(
                "helm",
                "--kube-context",
                context,
                "upgrade",
                "--install",
                self.name,
                str(self.chart),
                "--namespace",
                self.namespace,
                *self.options,
            ),
            *(*values, ROLLBACK[helm], "--wait", "--wait-for-jobs", "--timeout", timeout),
        ]


def planned(root: Path, register: Register, control_plane: ControlPlane, names: Collection[str]) -> list[Release]:
    """Return the releases of those names, or all that belong to the control plane, which comes first.

    Args:
        root: of the repository.
        register: teams and their locations.
        control_plane: of the environment.
        names: empty: all.

    Raises:
        DeployError: There is no release of such a name.
    """
    chart = root / "helm/code-location"
    releases = [
        Release(control_plane.release, control_plane.namespace, root / "helm/platform", ["--create-namespace"]),
        *(
            Release(each.dagster_name, each.team, chart, ["--set", f"location={each.dagster_name}"])
            for each in register.locations
            if _served_by(register, each.team) == control_plane.dedicated_to
        ),
    ]
    known = [release.name for release in releases]
    if unknown := [name for name in names if name not in known]:
        raise DeployError(f"there is no release {', '.join(unknown)}; there are {', '.join(known)}")
    return [release for release in releases if not names or release.name in names]


def _served_by(register: Register, team: str) -> str:
    """Return whose control plane serves a team: its own, or ("") that which teams share."""
    return team if register.teams[team].isolation == "dedicated" else ""
