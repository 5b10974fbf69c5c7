"""What must hold for the objects of any environment: functions from all of them to what is wrong, one line each."""

import ipaddress
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from tests.helm import restricted, schemas
from tests.helm.releases import label
from tests.helm.rendering import Object

NAME = re.compile(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?")
LABEL = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?")
KEY = re.compile(r"([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")
MAY_HAVE_A_TOKEN = {"daemon", "webserver"}


class Pod(NamedTuple):
    """A pod that an object is or makes."""

    owner: Object
    metadata: Mapping[str, Any]
    spec: Mapping[str, Any]


def pods(objects: Sequence[Object]) -> Iterator[Pod]:
    """Yield every pod that objects are or make."""
    for thing in objects:
        if thing["kind"] == "Pod":
            yield Pod(thing, thing["metadata"], thing["spec"])
        elif thing["kind"] in {"Deployment", "StatefulSet", "Job"}:
            template = thing["spec"]["template"]
            yield Pod(thing, template["metadata"], template["spec"])


def strings(value: Any) -> Iterator[str]:
    """Yield every text in a value, keys too."""
    if isinstance(value, Mapping):
        for key, below in value.items():
            yield str(key)
            yield from strings(below)
    elif isinstance(value, list):
        for below in value:
            yield from strings(below)
    elif isinstance(value, str):
        yield value


def invalid_for_kubernetes(objects: Sequence[Object]) -> Iterator[str]:
    """Say what the API's schemas refuse."""
    for thing in objects:
        for problem in schemas.invalid(thing):
            yield f"{label(thing)}: {problem}"


def left_empty(objects: Sequence[Object]) -> Iterator[str]:
    """Say where a template wrote a key and no value; the API takes it for a default that nobody chose."""

    def below(value: Any, path: str) -> Iterator[str]:
        if value is None:
            yield path
        for key, part in value.items() if isinstance(value, Mapping) else ():
            yield from below(part, f"{path}.{key}")
        for index, part in enumerate(value) if isinstance(value, list) else ():
            yield from below(part, f"{path}[{index}]")

    for thing in objects:
        yield from below(thing, label(thing))


def given_twice(objects: Sequence[Object]) -> Iterator[str]:
    """Say which objects come twice, and which variables."""
    for name, count in Counter(map(label, objects)).items():
        if count > 1:
            yield f"{name} is there {count} times"
    for pod in pods(objects):
        for container in restricted.containers(pod.spec):
            for name, count in Counter(each["name"] for each in container.get("env", ())).items():
                if count > 1:
                    yield f"{label(pod.owner)}: {container['name']}: {name} is set {count} times"


def not_restricted(objects: Sequence[Object]) -> Iterator[str]:
    """Say what the restricted profile refuses."""
    for pod in pods(objects):
        for problem in restricted.violations(pod.spec):
            yield f"{label(pod.owner)}: {problem}"


def without_bounds(objects: Sequence[Object]) -> Iterator[str]:
    """Say which containers lack a request or a limit, or have a root file system that can be written."""
    for pod in pods(objects):
        for container in restricted.containers(pod.spec):
            where = f"{label(pod.owner)}: {container['name']}"
            for kind in ("requests", "limits"):
                for what in ("cpu", "memory"):
                    if not container.get("resources", {}).get(kind, {}).get(what):
                        yield f"{where}: no {kind}.{what}"
            if container["securityContext"].get("readOnlyRootFilesystem") is not True:
                yield f"{where}: the root file system can be written"
        if pod.spec["securityContext"].get("runAsUser", 0) < 10_000:
            yield f"{label(pod.owner)}: the user is one of the system's"


def wrong_names(objects: Sequence[Object]) -> Iterator[str]:
    """Say which names and labels Kubernetes would refuse or cut."""
    for thing in objects:
        for metadata in [thing["metadata"], *(pod.metadata for pod in pods([thing]))]:
            for text in (metadata.get("name", "x"), metadata.get("namespace", "x")):
                if not NAME.fullmatch(str(text)):
                    yield f"{label(thing)}: {text!r} is no name"
            for key, value in metadata.get("labels", {}).items():
                if not KEY.fullmatch(key) or not LABEL.fullmatch(value):
                    yield f"{label(thing)}: label {key}={value!r}"
            for key in metadata.get("annotations", {}):
                if not KEY.fullmatch(key):
                    yield f"{label(thing)}: annotation {key!r}"


def wrong_tokens(objects: Sequence[Object]) -> Iterator[str]:
    """Say which pods and accounts have a token for the Kubernetes API, and should not."""
    for thing in objects:
        if thing["kind"] == "ServiceAccount" and thing.get("automountServiceAccountToken") is not False:
            yield f"{label(thing)}: gives every pod a token"
    for pod in pods(objects):
        component = pod.metadata.get("labels", {}).get("app.kubernetes.io/component")
        has = pod.spec.get("automountServiceAccountToken") is not False
        if has is not (component in MAY_HAVE_A_TOKEN):
            yield f"{label(pod.owner)}: {component} has {'a' if has else 'no'} token"


def moving_images(objects: Sequence[Object]) -> Iterator[str]:
    """Say which images are of no fixed version."""
    for pod in pods(objects):
        for container in restricted.containers(pod.spec):
            image = container["image"]
            name, _, tag = image.rpartition("/")[2].partition(":")
            if "@sha256:" not in image and tag in {"", "latest"}:
                yield f"{label(pod.owner)}: {name} has the tag {tag!r}"


def wrong_addresses(objects: Sequence[Object]) -> Iterator[str]:
    """Say which addresses of network policies are none, and which rules are open to everything by mistake."""
    for thing in objects:
        if thing["kind"] != "NetworkPolicy":
            continue
        for direction, side in (("ingress", "from"), ("egress", "to")):
            for rule in thing["spec"].get(direction, ()):
                if not rule.get(side):
                    yield f"{label(thing)}: a rule of {direction} says nothing of {side}"
                for peer in rule.get(side) or ():
                    yield from (f"{label(thing)}: {problem}" for problem in _wrong_block(peer.get("ipBlock")))


def _wrong_block(block: Mapping[str, Any] | None) -> Iterator[str]:
    if block is None:
        return
    try:
        whole = ipaddress.ip_network(block["cidr"], strict=False)
        parts = [ipaddress.ip_network(each, strict=False) for each in block.get("except", ())]
    except ValueError as error:
        yield str(error)
        return
    for part in parts:
        if not (isinstance(part, ipaddress.IPv4Network) and isinstance(whole, ipaddress.IPv4Network)):
            yield f"{part} is of IPv6"
        elif part == whole or not part.subnet_of(whole):
            yield f"{part} is not a part of {whole}"


def dangling(objects: Sequence[Object]) -> Iterator[str]:
    """Say which objects name something that is not there, among what the charts make themselves."""
    there = set(map(label, objects))
    for thing in objects:
        namespace = thing["metadata"].get("namespace", "")
        for kind, name in _named(thing):
            if f"{kind}/{namespace}/{name}" not in there:
                yield f"{label(thing)} names {kind} {name}"
    for pod in pods(objects):
        yield from _dangling_inside(pod)
    for thing in objects:
        if thing["kind"] in {"Service", "PodDisruptionBudget"}:
            selector = thing["spec"]["selector"]
            wanted = (selector.get("matchLabels", selector)).items()
            chosen = [
                pod
                for pod in pods(objects)
                if pod.owner["metadata"].get("namespace") == thing["metadata"]["namespace"]
                and wanted <= pod.metadata.get("labels", {}).items()
            ]
            if len(chosen) != 1:
                yield f"{label(thing)} chooses {[label(pod.owner) for pod in chosen]}"


def _named(thing: Object) -> Iterator[tuple[str, str]]:
    for pod in pods([thing]):
        if account := pod.spec.get("serviceAccountName"):
            yield "ServiceAccount", account
        for volume in pod.spec.get("volumes", ()):
            if "configMap" in volume:
                yield "ConfigMap", volume["configMap"]["name"]
    match thing:
        case {"kind": "RoleBinding", "roleRef": {"name": name}}:
            yield "Role", name
        case {"kind": "StatefulSet", "spec": {"serviceName": name}}:
            yield "Service", name
        case {"kind": "Ingress", "spec": {"rules": [{"http": {"paths": [{"backend": {"service": {"name": name}}}]}}]}}:
            yield "Service", name
        case {"kind": "HTTPRoute", "spec": {"rules": [{"backendRefs": [{"name": name}]}]}}:
            yield "Service", name
        case _:
            pass


def _dangling_inside(pod: Pod) -> Iterator[str]:
    claims = pod.owner["spec"].get("volumeClaimTemplates", ())
    volumes = {each["name"] for each in pod.spec.get("volumes", ())} | {each["metadata"]["name"] for each in claims}
    for container in restricted.containers(pod.spec):
        ports = {each["name"] for each in container.get("ports", ())}
        for mount in container.get("volumeMounts", ()):
            if mount["name"] not in volumes:
                yield f"{label(pod.owner)}: no volume {mount['name']}"
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            handler = container.get(probe, {})
            port = (handler.get("httpGet") or handler.get("tcpSocket") or {}).get("port")
            if isinstance(port, str) and port not in ports:
                yield f"{label(pod.owner)}: {probe} asks at {port}"
    selector = pod.owner["spec"].get("selector", {}).get("matchLabels", {})
    if not selector.items() <= pod.metadata.get("labels", {}).items():
        yield f"{label(pod.owner)} does not choose its own pods"


CHECKS: Sequence[Callable[[Sequence[Object]], Iterator[str]]] = (
    invalid_for_kubernetes,
    left_empty,
    given_twice,
    not_restricted,
    without_bounds,
    wrong_names,
    wrong_tokens,
    moving_images,
    wrong_addresses,
    dangling,
)


def problems(objects: Sequence[Object]) -> list[str]:
    """Return what any of the checks finds."""
    return [problem for check in CHECKS for problem in check(objects)]
