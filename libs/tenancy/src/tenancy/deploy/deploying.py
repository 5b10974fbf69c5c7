"""Run Helm, look at the pods meanwhile, and end what cannot succeed."""

import json
import shutil
import signal
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, Self

from tenancy.deploy.errors import DeployError
from tenancy.deploy.explaining import explained, not_made
from tenancy.deploy.pods import Key, Kind, Trouble, troubles
from tenancy.deploy.releases import Release
from tenancy.log_excerpt import excerpt

LOOK_SECONDS = 2.0
WITH_LOG = {Kind.ENDED, Kind.NOT_READY}
LOG_LINES = 1000
"""Of which those are shown that say why; the tracebacks of a code server are long."""


@dataclass(frozen=True)
class Cluster:
    """A cluster, as kubectl reaches it.

    Args:
        context: of the kubeconfig.
    """

    context: str

    @classmethod
    def of(cls, context: str) -> Self:
        """Return the cluster of a context, or of the current one, which then stays the same to the end.

        Raises:
            DeployError: There is none.
        """
        which = ["get-contexts", context, "--output", "name"] if context else ["current-context"]
        done = subprocess.run(["kubectl", "config", *which], capture_output=True, text=True, check=False)
        if done.returncode:
            raise DeployError(f"kubectl: {done.stderr.strip()}; give --context one of `kubectl config get-contexts`")
        return cls(done.stdout.strip())

    def kubectl(self, *arguments: str) -> str:
        """Return what kubectl prints, or nothing when it fails: whoever deploys hears of that from Helm."""
        command = ["kubectl", "--context", self.context, *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout

    def items(self, kind: str, namespace: str, selector: str = "") -> list[dict[str, Any]]:
        """Return the objects of a kind."""
        options = ["--selector", selector] if selector else []
        text = self.kubectl("get", kind, "--namespace", namespace, "--output", "json", *options)
        return json.loads(text)["items"] if text else []

    def log(self, trouble: Trouble, namespace: str) -> list[str]:
        """Return the lines of a container's log that say why: of its last end, when it was started again since."""
        which = [trouble.pod, "--namespace", namespace, "--container", trouble.container, f"--tail={LOG_LINES}"]
        before = self.kubectl("logs", *which, "--previous") if trouble.kind is Kind.ENDED else ""
        return excerpt(before or self.kubectl("logs", *which)).splitlines()


@dataclass
class Watch:
    """What keeps the pods of a release from coming up, look by look.

    Pods that were there before are not watched: what is deployed may be what puts them right.

    Args:
        patience: seconds that a trouble that does not pass by waiting may last: a Secret may be a moment late.
    """

    cluster: Cluster
    release: Release
    environment: Path
    images: Path
    patience: float
    texts: dict[Key, str] = field(default_factory=dict[Key, str])
    since: dict[Key, float] = field(default_factory=dict[Key, float])

    def __post_init__(self) -> None:
        """Remember the pods that are there."""
        self.started = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        self.before = {pod["metadata"]["uid"] for pod in self._pods()}

    def look(self) -> list[str]:
        """Look once more, and return what has lasted too long to pass by waiting."""
        new = [pod for pod in self._pods() if pod["metadata"]["uid"] not in self.before]
        found = {each.key: each for each in troubles(new)}
        self.since = {key: self.since.get(key, time.monotonic()) for key in found}
        for key, each in found.items():
            if key not in self.texts or each.kind in WITH_LOG:  # which grows, or was another's when it was read
                self.texts[key] = self._text(each)
        over = time.monotonic() - self.patience
        return [self.texts[key] for key, each in found.items() if each.lasting and self.since[key] <= over]

    def said(self) -> list[str]:
        """Return what has kept pods from coming up, and why others were not made.

        Of all looks: at the last one Helm may have put the old pods back.
        """
        stopped = [text for (_, _, kind), text in self.texts.items() if kind is not Kind.NOT_READY]
        events = self.cluster.items("events", self.release.namespace)
        return [*(stopped or self.texts.values()), *not_made(events, self.release, self.started)]

    def _pods(self) -> list[dict[str, Any]]:
        selector = f"app.kubernetes.io/instance={self.release.name}"
        return self.cluster.items("pods", self.release.namespace, selector)

    def _text(self, trouble: Trouble) -> str:
        log = self.cluster.log(trouble, self.release.namespace) if trouble.kind in WITH_LOG else []
        return explained(trouble, self.release, self.environment, self.images, log)


def deploy(watch: Watch, command: Sequence[str]) -> None:
    """Install or upgrade a release by a command of Helm, and return when its pods serve.

    Raises:
        DeployError: It does not come up, and Helm has undone it; the text says why.
    """
    lasting: list[str] = []
    with TemporaryFile("w+") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, text=True)
        try:
            while not lasting and _runs(process):
                lasting = watch.look()
        finally:  # also after Ctrl-C: Helm undoes what it has begun
            if _runs(process, seconds=0):
                process.send_signal(signal.SIGINT)
            process.wait()
        output.seek(0)
        printed = output.read()
    if process.returncode:
        error = printed.rpartition("Error: ")[2].strip()
        raise DeployError("\n".join([*(lasting or watch.said()), f"Helm: {error}"]))


def _runs(process: subprocess.Popen[str], seconds: float = LOOK_SECONDS) -> bool:
    """Return whether a process still runs after some time."""
    with suppress(subprocess.TimeoutExpired):
        process.wait(timeout=seconds)
    return process.returncode is None


def helm_version() -> int:
    """Return the major version of Helm.

    Raises:
        DeployError: A program is missing, or is too old or too new.
    """
    pages = {"helm": "https://helm.sh/docs/intro/install", "kubectl": "https://kubernetes.io/docs/tasks/tools"}
    for program, page in pages.items():
        if not shutil.which(program):
            raise DeployError(f"{program} is not on PATH: {page}")
    printed = subprocess.run(["helm", "version", "--short"], capture_output=True, text=True, check=False).stdout.strip()
    for major in (3, 4):
        if printed.startswith(f"v{major}."):
            return major
    raise DeployError(f"helm says that it is {printed or 'nothing'}; Helm 3 or 4 is needed")
