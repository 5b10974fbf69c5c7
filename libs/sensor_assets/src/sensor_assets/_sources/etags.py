"""Entity tags as servers, proxies and indexes write them."""

import re

# What a server appends to the ETag of a resource that it compresses on the way: Apache writes "x-gzip" or "x-br", Jetty
# "x--gzip". nginx and most proxies write W/"x" instead.
_CODING = re.compile(r"(?:--?|;)(?:gzip|br|zstd|deflate)$")

HASHED = "sha256:"


def same_version(one: str | None, other: str | None) -> bool:
    """Tell whether two versions are the same: equal hashes, or ETags that differ in form alone.

    ``"x"``, ``W/"x"``, ``"x-gzip"`` and, in an index, a plain ``x`` name the same state of a resource. RFC 9110 calls
    this weak comparison (8.8.3.2), as far as it is about ``W/``.
    """
    if one is None or other is None:
        return False
    return one == other or _plain(one) == _plain(other)


def condition(version: str | None) -> dict[str, str]:
    """Return the headers that ask for a resource only if it has another version."""
    if not version or version.startswith(HASHED):
        return {}
    return {"If-None-Match": version if version.endswith('"') else f'"{version}"'}


def _plain(version: str) -> str:
    if version.startswith(HASHED):
        return version
    return _CODING.sub("", re.sub(r"^W/", "", version, flags=re.IGNORECASE).strip('"'))
