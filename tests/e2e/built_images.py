"""The images that `make images` has pushed, read from the registry: layers, and the files that a container sees."""

import io
import json
import re
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import zstandard

ROOT = Path(__file__).parents[2]
WRITTEN = ROOT / ".local" / "images.yaml"
_ENTRY = re.compile(r" +([a-z0-9-]+): (\S+@sha256:[0-9a-f]{64})")
_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_WHITEOUT = ".wh."


@dataclass(frozen=True)
class Entry:
    """A file, directory or link in a layer."""

    name: str
    mode: int
    user: int
    time: int
    """Seconds since 1970."""
    is_file: bool
    head: bytes
    """The first 8 bytes."""


@dataclass(frozen=True)
class Layer:
    """A layer, the same one in whichever image."""

    digest: str
    size: int
    """Bytes as it is stored, compressed."""
    url: str = field(compare=False)

    @property
    def entries(self) -> list[Entry]:
        """Return what it holds."""
        return _entries(self)


@dataclass(frozen=True)
class Image:
    """An image in a registry that asks for no password, by digest."""

    reference: str

    @property
    def repository(self) -> str:
        """Return where its parts are, as a URL."""
        host, _, name = self.reference.partition("@")[0].partition("/")
        return f"http://{host}/v2/{name}"

    @cached_property
    def manifest(self) -> dict[str, Any]:
        """Return its manifest."""
        return json.loads(_read(f"{self.repository}/manifests/{self.reference.partition('@')[2]}"))

    @cached_property
    def config(self) -> dict[str, Any]:
        """Return its configuration."""
        return json.loads(_read(f"{self.repository}/blobs/{self.manifest['config']['digest']}"))

    @cached_property
    def layers(self) -> list[Layer]:
        """Return its layers, the lowest first."""
        blobs = f"{self.repository}/blobs"
        return [Layer(item["digest"], item["size"], f"{blobs}/{item['digest']}") for item in self.manifest["layers"]]

    @cached_property
    def files(self) -> dict[str, Entry]:
        """Return what a container sees, by path without the leading slash."""
        seen: dict[str, Entry] = {}
        for layer in self.layers:
            for entry in layer.entries:
                folder, _, name = entry.name.rpartition("/")
                if name.startswith(_WHITEOUT):
                    gone = f"{folder}/{name.removeprefix(_WHITEOUT)}"
                    for path in [path for path in seen if path == gone or path.startswith(f"{gone}/")]:
                        del seen[path]
                else:
                    seen[entry.name] = entry
        return seen


def written(file: Path = WRITTEN) -> dict[str, Image]:
    """Return the images that the file of `images/build` names, by name; none if there is no such file."""
    found = map(_ENTRY.fullmatch, file.read_text().splitlines()) if file.exists() else []
    return {entry[1]: Image(entry[2]) for entry in found if entry}


def _read(url: str) -> bytes:
    with urlopen(Request(url, headers={"Accept": _MANIFEST}), timeout=30) as answer:
        return answer.read()


@cache
def _entries(layer: Layer) -> list[Entry]:
    return list(_unpacked(_read(layer.url)))


def _unpacked(blob: bytes) -> Iterator[Entry]:
    with (
        zstandard.ZstdDecompressor().stream_reader(io.BytesIO(blob)) as stream,
        tarfile.open(fileobj=stream, mode="r|") as archive,
    ):
        for member in archive:
            content = archive.extractfile(member) if member.isfile() else None
            head = content.read(8) if content else b""
            name = member.name.removeprefix("./")
            yield Entry(name, member.mode, member.uid, int(member.mtime), member.isfile(), head)
