"""A sink that writes whole Parquet files to the paths that it is told."""

import io
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import dagster as dg
import obstore
from obstore.store import ObjectStore, from_url

from sensor_assets._batch import Batch
from sensor_assets._sources.object_places import open_store
from sensor_assets.errors import SensorAssetsError

if TYPE_CHECKING:
    import polars as pl


@dataclass(frozen=True)
class LakeFile:
    """A file in the lake: path below the lake's URL, ETag, size in bytes."""

    path: str
    etag: str
    size: int


class Lake(dg.ConfigurableResource[None]):
    """Parquet files in an object store, by URL: ``s3://``, ``gs://``, ``az://`` or ``file:///``.

    A file appears whole or not at all, and writing it again replaces it; so a run that is repeated leaves one effect.
    """

    url: str

    @cached_property
    def _store(self) -> ObjectStore:
        # mkdir: a new lake on a disk is an empty directory; stores in the cloud have no directories.
        return from_url(self.url, mkdir=True) if self.url.startswith("file:") else open_store(self.url)

    def write(self, path: str, frame: "pl.DataFrame") -> str:
        """Write a file and return its URL."""
        buffer = io.BytesIO()
        frame.write_parquet(buffer)
        obstore.put(self._store, path, buffer.getvalue())
        return self._url_of(path)

    def _url_of(self, path: str) -> str:
        return f"{self.url.rstrip('/')}/{path}"

    def read(self, path: str) -> "pl.DataFrame | None":
        """Read a file, or return None when there is none."""
        import polars as pl  # noqa: PLC0415 - 0.2 s that only a run which reads needs

        try:
            return pl.read_parquet(io.BytesIO(obstore.get(self._store, path).bytes()))
        except FileNotFoundError:
            return None

    def append(self, directory: str, batch: Batch, frame: "pl.DataFrame") -> str:
        """Add a batch's rows to a directory as a file named after the batch, and return its URL.

        A repeated attempt writes the same file again; files of batches that this one takes the place of are removed. A
        batch without items adds none.

        Raises:
            SensorAssetsError: The run was launched by hand, has no batch and would add every row once more.
        """
        if batch.attempt == 0:
            raise SensorAssetsError(
                f"Lake.append: a run launched by hand would add to {directory} what is there already; declare "
                "@sensor_asset(..., appends=True), then such a launch processes the asset's batches again"
            )
        self.delete(*(f"{directory}/{replaced}.parquet" for replaced in batch.replaces))
        path = f"{directory}/{batch.id}.parquet"
        if batch.items:
            return self.write(path, frame)
        # An attempt that was killed may have found more.
        self.delete(path)
        return self._url_of(path)

    def delete(self, *paths: str) -> None:
        """Remove files; one that is not there is no error."""
        for path in paths:
            with suppress(FileNotFoundError):
                obstore.delete(self._store, path)

    def list(self, prefix: str) -> list[LakeFile]:
        """Return the files below a path, in order of path."""
        found = [
            LakeFile(path=meta["path"], etag=meta["e_tag"] or str(meta["last_modified"]), size=meta["size"])
            for page in obstore.list(self._store, prefix)
            for meta in page
        ]
        return sorted(found, key=lambda file: file.path)
