"""Whether Kubernetes' API would take an object: kubernetes-validate's schemas, and those of two foreign kinds."""

from collections.abc import Sequence
from functools import cache
from typing import Any, cast

import jsonschema
from kubernetes_validate import utils
from referencing import Registry, Resource

from tests.helm.rendering import KUBERNETES, Object

_DIRECTORY = "kubernetes-json-schema/v{version}-local-strict"
_LABEL = {"type": "string", "pattern": r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?\Z", "minLength": 1, "maxLength": 63}
_NAME = {"type": "string", "pattern": r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?\Z", "minLength": 1, "maxLength": 253}
_HOST = {
    "type": "string",
    "pattern": r"^(\*\.)?[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*\Z",
    "minLength": 1,
    "maxLength": 253,
}
_PORT = {"type": "integer", "minimum": 1, "maximum": 65535}


def _closed(required: Sequence[str] = (), **properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(required), "additionalProperties": False}


def _list(items: Any, most: int) -> dict[str, Any]:
    return {"type": "array", "items": items, "minItems": 1, "maxItems": most}


_FOREIGN = {
    # What we use of https://external-secrets.io/latest/api/externalsecret/
    ("external-secrets.io/v1", "ExternalSecret"): _closed(
        data={
            "type": "array",
            "items": _closed(
                ["secretKey", "remoteRef"],
                secretKey={"type": "string", "pattern": r"^[-._a-zA-Z0-9]+\Z", "minLength": 1, "maxLength": 253},
                remoteRef=_closed(["key"], key={"type": "string"}, property={"type": "string"}),
            ),
        },
        secretStoreRef=_closed(name=_NAME, kind={"enum": ["SecretStore", "ClusterSecretStore"]}),
        target=_closed(
            name=_NAME,
            template=_closed(data={"type": "object", "additionalProperties": {"type": "string"}}),
        ),
        refreshInterval={"type": "string"},
    ),
    # What we use of https://gateway-api.sigs.k8s.io/reference/spec/#httproute
    ("gateway.networking.k8s.io/v1", "HTTPRoute"): _closed(
        hostnames=_list(_HOST, 16),
        parentRefs=_list(_closed(["name"], name=_NAME, namespace=_LABEL), 32),
        rules=_list(
            _closed(
                matches=_list(
                    _closed(
                        path=_closed(
                            type={"enum": ["Exact", "PathPrefix", "RegularExpression"]},
                            value={"type": "string", "pattern": "^/", "maxLength": 1024},
                        )
                    ),
                    64,
                ),
                backendRefs=_list(_closed(["name"], name=_NAME, port=_PORT), 16),
            ),
            16,
        ),
    ),
}


def invalid(thing: Object, version: str = KUBERNETES) -> list[str]:
    """Return what the API of a version would refuse, empty when it takes the object."""
    schema = _schema(thing["apiVersion"], thing["kind"], version)
    if schema is None:
        return [f"{thing['apiVersion']} {thing['kind']} is unknown"]
    return [f"{'.'.join(map(str, error.path))}: {error.message}" for error in schema.iter_errors(thing)]


@cache
def _schema(api_version: str, kind: str, version: str) -> jsonschema.Draft202012Validator | None:
    if (api_version, kind) in _FOREIGN:
        metadata = _schema("v1", "Namespace", version)
        assert metadata is not None
        of_any = cast("dict[str, Any]", metadata.schema)["properties"]
        closed = _closed(
            ["apiVersion", "kind", "metadata", "spec"],
            apiVersion={"const": api_version},
            kind={"const": kind},
            metadata=of_any["metadata"],
            spec=_FOREIGN[api_version, kind],
        )
        # Its id is that of a neighbour of the definitions, which metadata refers to.
        foreign = {**closed, "$id": f"https://kubernetes.io/api/{kind.lower()}"}
        return jsonschema.Draft202012Validator(foreign, registry=_definitions(version))
    group, _, revision = api_version.rpartition("/")
    name = "-".join([kind.lower(), *group.split(".")[:1], revision] if group else [kind.lower(), revision])
    try:
        schema = utils.schema_contents(f"{_DIRECTORY.format(version=version)}/{name}.json", version)
    except FileNotFoundError:
        return None
    return jsonschema.Draft202012Validator(schema, registry=_definitions(version))


@cache
def _definitions(version: str) -> Registry[Any]:
    # kubernetes_validate.validate() reads them anew for each object, which takes longer than to validate it.
    definitions = utils.schema_contents(f"{_DIRECTORY.format(version=version)}/_definitions.json", version)
    return Resource[Any].from_contents(definitions) @ Registry[Any]()
