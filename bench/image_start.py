"""What a code server costs until it serves: the locations' images, in pods as restricted as the charts make them.

    python -m bench.image_start [ROUNDS] --json bench/results/image_start.json

Needs a cluster (the current kubeconfig context) and the images of `.local/images.yaml` (`make images`). Each image is a
pod of its own in the namespace `bench`, one after the other. There a program starts `dagster api grpc` in turns: with
the location, with an empty one (what Dagster itself takes), and with the location and nothing compiled (what an image
without bytecode would take), and asks the health service until it says SERVING. Time is processor time of the server
up to then, which other load on the machine hardly moves.
"""

import argparse
import json
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import yaml
from tenancy import environments, register
from tenancy.environments import values_path
from tenancy.variables import SecretRef

from bench.report import Bar, Report, Table

ROOT = Path(__file__).parents[1]
IMAGES = ROOT / ".local/images.yaml"
ROUNDS = 5
MOST_OF_UNCOMPILED = 0.5
NAMESPACE = "bench"
STARTER = '''
import json, os, subprocess, sys, time
import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

SERVING = health_pb2.HealthCheckResponse.SERVING
EMPTY = "/tmp/empty.py"
with open(EMPTY, "w") as file:
    file.write("import dagster as dg\\n\\ndefs = dg.Definitions()\\n")


def started(definitions, **more):
    """Return seconds of processor time, and of the clock, until a server serves."""
    command = ["dagster", "api", "grpc", "--host=127.0.0.1", "--port=4000", *definitions]
    began = time.monotonic()
    server = subprocess.Popen(command, env={**os.environ, **more}, stdout=subprocess.DEVNULL)
    channel = grpc.insecure_channel("127.0.0.1:4000", options=[("grpc.max_reconnect_backoff_ms", 50)])
    health = health_pb2_grpc.HealthStub(channel)
    while server.poll() is None:
        try:
            if health.Check(health_pb2.HealthCheckRequest(), timeout=1).status == SERVING:
                break
        except grpc.RpcError:
            time.sleep(0.02)
    took = time.monotonic() - began
    with open(f"/proc/{server.pid}/stat") as file:
        ticks = sum(map(int, file.read().rpartition(")")[2].split()[11:13]))
    server.kill()
    server.wait()
    channel.close()
    return ticks / os.sysconf("SC_CLK_TCK"), took


package, rounds = sys.argv[1], int(sys.argv[2])
found = {"own": [], "empty": [], "uncompiled": []}
for number in range(rounds):
    own = ["--module-name", f"{package}.definitions"]
    found["own"].append(started(own))
    found["empty"].append(started(["--python-file", EMPTY]))
    found["uncompiled"].append(started(own, PYTHONPYCACHEPREFIX=f"/tmp/{number}", PYTHONDONTWRITEBYTECODE="1"))
print(json.dumps(found))
'''


def kubectl(*arguments: str, stdin: str | None = None) -> str:
    """Run kubectl; what it says of an error is shown."""
    done = subprocess.run(["kubectl", *arguments], input=stdin, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"kubectl {' '.join(arguments)} failed: is there a cluster?")
    return done.stdout


def pod(name: str, image: str, package: str, variables: Mapping[str, str], rounds: int) -> dict[str, Any]:
    """Return a pod that measures, as restricted as that of a code server."""
    container = {
        "name": "starter",
        "image": image,
        "command": ["python", "-c", STARTER, package, str(rounds)],
        "env": [{"name": key, "value": value} for key, value in variables.items()],
        "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],  # noqa: S108 - of the pod
        "resources": {"requests": {"cpu": "1", "memory": "512Mi"}, "limits": {"cpu": "2", "memory": "1Gi"}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {
            "restartPolicy": "Never",
            "automountServiceAccountToken": False,
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": 10001,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [container],
            "volumes": [{"name": "tmp", "emptyDir": {}}],
        },
    }


def measured(described: Mapping[str, Any]) -> dict[str, list[tuple[float, float]]]:
    """Run a pod and return what it has measured."""
    name = described["metadata"]["name"]
    kubectl("apply", "--filename=-", stdin=json.dumps(described))
    try:
        while (phase := kubectl("get", "pod", name, "-n", NAMESPACE, "-o", "jsonpath={.status.phase}")) != "Succeeded":
            if phase == "Failed":
                raise SystemExit(f"pod {name} failed:\n{kubectl('logs', name, '-n', NAMESPACE)}")
            time.sleep(1)
        return json.loads(kubectl("logs", name, "-n", NAMESPACE).splitlines()[-1])
    finally:
        kubectl("delete", "pod", name, "-n", NAMESPACE, "--wait=true")


def measure(rounds: int) -> Report:
    """Return what was measured of every location."""
    if not IMAGES.exists():
        raise SystemExit(f"{IMAGES} is missing: make images")
    images = yaml.safe_load(IMAGES.read_text())["images"]["locations"]
    dev = environments.load(values_path(ROOT, "dev"))
    kubectl("create", "namespace", NAMESPACE)
    rows: list[list[str | float]] = []
    try:
        for location in register.load(ROOT / "tenants.yaml").locations:
            name = location.dagster_name
            given = {
                key: "postgresql://nobody@localhost/none" if isinstance(value, SecretRef) else str(value)
                for key, value in dev.variables_for(name).items()
            }
            ours = {"ENVIRONMENT": "dev", "TEAM": location.team, "LOCATION": name, "HOME": "/tmp"}  # noqa: S108 - of the pod
            ledger = {"LEDGER_URL": "postgresql://nobody@localhost/none", "LEDGER_SCHEMA": location.ledger_schema}
            found = measured(pod(name, images[name], location.package, {**given, **ours, **ledger}, rounds))
            seconds = {what: median(processor for processor, _ in each) for what, each in found.items()}
            clock = median(took for _, took in found["own"])
            ratio = seconds["own"] / seconds["empty"]
            rows.append([name, seconds["own"], seconds["empty"], ratio, seconds["uncompiled"], clock])
    finally:
        kubectl("delete", "namespace", NAMESPACE)
    table = Table(
        title=f"Until a code server serves, medians of {rounds} rounds",
        columns=["location", "cpu s", "empty location cpu s", "times that", "nothing compiled cpu s", "clock s"],
        rows=rows,
    )
    bars = [
        Bar(
            what=f"{name}: part of what it costs with nothing compiled",
            measured=float(own) / float(uncompiled),
            unit="",
            most=MOST_OF_UNCOMPILED,
        )
        for name, own, _, _, uncompiled, _ in rows
    ]
    return Report(tables=[table], bars=bars)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, and write the figures to a file; 1 when a location takes too long."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="file to write the figures to")
    parser.add_argument("rounds", nargs="?", type=int, default=ROUNDS, help="number of rounds")
    options = parser.parse_args(arguments)
    return measure(options.rounds).deliver(options.json)


if __name__ == "__main__":
    raise SystemExit(main())
