"""A batch: the slice of arrivals that one run processes, as the function of a sensor asset sees it."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from sensor_assets._items import Item
from sensor_assets.errors import SensorAssetsError


@dataclass(kw_only=True)
class Batch:
    """What one run of a sensor asset works on.

    Args:
        id: Identity of the batch, the same for every attempt: a file named after it is written once, however often the
            run is repeated. A run started by hand or by a backfill has its run id here.
        attempt: Counts from 1; 0 for a run started by hand or by a backfill.
        route: Where the condition sent the batch, or None.
        replaces: Batches that this one takes the place of: those that kept failing and were halved on the way to it,
            and those whose items it processes again in a replay. An asset that names files after batches removes
            theirs, as `Lake.append` does.
        items: What arrived, in order of arrival; of each key only the newest version. A run started by hand gets
            everything that is recorded for its partitions.
        partitions: The partition keys of this run, empty for an asset without partitions.
    """

    id: str
    attempt: int = 0
    route: str | None = None
    replaces: tuple[str, ...] = ()
    items: tuple[Item, ...]
    partitions: tuple[str, ...] = ()
    rejections: list[tuple[Item, str]] = field(default_factory=list[tuple[Item, str]], repr=False)
    load_current: Callable[[str | None], Sequence[Item]] | None = field(default=None, repr=False)
    load_rows: Callable[[Sequence[Item]], list[dict[str, Any]]] | None = field(default=None, repr=False)

    def current(self) -> tuple[Item, ...]:
        """Return the newest version of every key that the source ever showed, in order of arrival.

        For an asset without partitions that is rebuilt as a whole. Items in quarantine are left out.
        """
        return tuple(self.load_current(None)) if self.load_current else self.items

    def by_partition(self) -> Iterator[tuple[str, tuple[Item, ...]]]:
        """Yield each partition of this run with the newest version of every key that belongs to it.

        For assets that rebuild a partition: what it holds afterwards depends on the state of the source alone, not on
        how often or in which order runs happened. A partition for which nothing is there, in a backfill or because all
        of it is in quarantine, is left out; `partitions` names it all the same.
        """
        for key in self.partitions:
            if self.load_current:
                items = tuple(self.load_current(key))
            else:
                items = tuple(item for item in self.items if item.partition == key)
            if items:
                yield key, items

    def reject(self, item: Item, reason: str) -> None:
        """Put one item into quarantine with the reason; the others go on.

        It takes effect together with the end of the run. A newer version of the same key is processed as usual.
        """
        if all(item != other for other, _ in self.rejections):
            self.rejections.append((item, reason))

    def rows(self, items: Sequence[Item] | None = None) -> list[dict[str, Any]]:
        """Return the rows of a table source, by column: for `items`, or for those of `by_partition` or `current`.

        A row that changed after it was recorded is left out: the newer version arrives by itself. So are deletions.
        """
        if self.load_rows is None:
            raise SensorAssetsError("batch.rows() is for table sources; read objects by item.read()")
        return self.load_rows(self.items if items is None else items)

    @classmethod
    def of(
        cls,
        content: Mapping[str, bytes] | Sequence[Item] | Sequence[Mapping[str, Any]],
        *,
        partition: str | None = None,
        id: str = "test",  # noqa: A002 - the field's name
        source: str = "test",
    ) -> "Batch":
        """Make a batch by hand, for a test that calls the function of a sensor asset directly.

        Args:
            content: Bytes by key; or items; or the rows of a table.
            partition: Partition of every item that has none.
            id: Identity of the batch.
            source: Name of the source.

        Example:
            >>> Batch.of({"2013-01-01.csv": b"a,b"}, partition="2013-01-01").items[0].read()
            b'a,b'
        """
        if isinstance(content, Mapping):
            items = [
                Item(key=key, version="1", size=len(body), reader=lambda _, body=body: body)
                for key, body in content.items()
            ]
            rows = None
        else:
            items = [each for each in content if isinstance(each, Item)]
            rows = [dict(each) for each in content if not isinstance(each, Item)]
            items += [Item(key=str(index), version="1") for index in range(len(rows))]
        numbered = tuple(
            replace(item, arrival=number, source=source, partition=item.partition or partition)
            for number, item in enumerate(items, start=1)
        )
        partitions = tuple(dict.fromkeys(item.partition for item in numbered if item.partition is not None))
        return cls(
            id=id,
            attempt=1,
            items=numbered,
            partitions=partitions,
            load_rows=None if rows is None else lambda _: rows,
        )
