"""Objects below a prefix of an object store: S3, GCS, Azure, a directory."""

from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, Unpack, get_args

from sensor_assets._batching import seconds
from sensor_assets._settings import Settings
from sensor_assets._sources.base import CommonOptions, Source, mismatch
from sensor_assets._sources.object_events import ObjectEvents
from sensor_assets._sources.object_plan import chosen, has_window, ignored
from sensor_assets._template import KeyTemplate
from sensor_assets.errors import DefinitionError

if TYPE_CHECKING:
    from sensor_assets._sources.object_client import ObjectClient

Strategy: TypeAlias = Literal["full", "window", "append_only"]


class ObjectSource(Source):
    """Follow the objects below a URL; an item is one version of one object.

    Args:
        name: Name of the source, unique within the team.
        url: ``s3://bucket/prefix``, ``gs://``, ``az://`` or ``file:///directory``; may hold ``{setting}``s. Credentials
            come from the environment.
        key: Template of the keys below the URL, such as ``{date:%Y-%m-%d}*.csv``: the date is the item's partition. A
            key that does not fit is quarantined, so that a misnamed file is seen.
        ignore: Globs of keys that are not data, such as ``*.tmp``; they are not recorded.
        strategy: What every scan looks at besides a slice of the sweep through everything: ``"window"`` the keys of
            open dates, ``"append_only"`` what comes after all known keys, ``"full"`` everything. Unless told, the
            window where the template's date makes one, nothing with `events`, else everything.
        open_for: How long a date is open (seconds or a timedelta): keys of older dates are found by the sweep. It
            covers the distance of the producer's time zone from UTC.
        sweep: LIST calls of a slice of the sweep, about 1,000 keys each.
        versions: Follow every version of a versioned bucket instead of the newest of each scan. S3 only.
        events: A queue with the store's notifications, so that a scan looks first where something happened. S3 only.
        common: See `Common`.

    A version is the ETag, or with `versions` the version id. Two overwrites between two scans of a bucket without
    versions are one change: only the last can be read by anyone. Deleting an object is no change.

    Raises:
        DefinitionError: What is asked for cannot work.
    """

    kind = "objects"

    def __init__(
        self,
        name: str,
        *,
        url: str,
        key: str | None = None,
        ignore: Sequence[str] = (),
        strategy: Strategy | None = None,
        open_for: timedelta | float = timedelta(days=3),
        sweep: int = 20,
        versions: bool = False,
        events: ObjectEvents | None = None,
        **common: Unpack[CommonOptions],
    ) -> None:
        super().__init__(name, **common)
        self.url = url
        self.key = KeyTemplate(key) if key is not None else None
        self.ignore = tuple(ignore)
        self.strategy = strategy
        self.open_for = timedelta(seconds=seconds(open_for))
        self.sweep = sweep
        self.versions = versions
        self.events = events
        if strategy is not None and strategy not in get_args(Strategy):
            raise DefinitionError(f"source '{name}': strategy is one of {get_args(Strategy)}, not '{strategy}'")
        if sweep < 1:
            raise DefinitionError(f"source '{name}': sweep is at least 1; what nothing else finds, it finds")
        if self.open_for <= timedelta():
            raise DefinitionError(f"source '{name}': open_for must be longer than nothing, not {self.open_for}")
        if strategy == "window" and not has_window(self):
            raise DefinitionError(
                f"source '{name}': strategy 'window' needs a key template that begins with a date, or with text and "
                f"then a date, such as '{{date:%Y-%m-%d}}*.csv', and at most 100 open dates if it does not begin with "
                f"the year"
            )

    @property
    def gives_partition(self) -> bool:
        return self.key is not None and self.key.has_partition

    @property
    def keeps_versions(self) -> bool:
        return self.versions

    @property
    def required_resource_keys(self) -> frozenset[str]:
        return frozenset({self.events.resource} if self.events and self.events.resource else ())

    def objection(self, key: str) -> str | None:
        for glob in self.ignore:
            if (ignores := ignored([glob])) is not None and ignores(key):
                return f"key '{key}' is ignored, it matches '{glob}'"
        if self.key is not None and self.key.match(key) is None:
            return f"{mismatch(key, self.key)}, so it is put into quarantine"
        return None

    def open(self, settings: Settings) -> "ObjectClient":
        from sensor_assets._sources.object_client import ObjectClient  # noqa: PLC0415 - it needs this module

        url = settings.fill(self.url, f"source '{self.name}', url")
        queue = settings.fill(self.events.queue, f"source '{self.name}', queue") if self.events else ""
        return ObjectClient(self, url, queue)

    def describe(self, settings: Settings) -> dict[str, Any]:
        url = settings.fill(self.url, f"source '{self.name}', url")
        return {"url": url, "key": self.key.text if self.key else "*", "strategy": chosen(self)}
