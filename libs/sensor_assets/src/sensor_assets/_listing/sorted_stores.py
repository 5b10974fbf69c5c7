"""Lists a store that sorts its keys through obstore, page by page, around keys that obstore refuses."""

from collections import deque
from collections.abc import Iterator

import obstore
from obstore.exceptions import BaseError, InvalidPathError
from obstore.store import ObjectStore

from sensor_assets._listing.answers import REFUSED, ListingError, Remaining, forever
from sensor_assets._listing.columns import NOTHING, Columns, joined, of_batch, of_one
from sensor_assets._listing.refused import beyond, is_refused, named
from sensor_assets._listing.stores import StoreLister, StorePage, reason_of
from sensor_assets._pages import order

# More than any store shows in one answer: how far back a listing may have to begin to end before a refused key.
MOST_SEEN = 5000


class SortedStoreLister(StoreLister):
    """Lists a store that sorts its keys and can begin after one: S3, GCS, Azure, memory.

    Questions that follow each other are answered by one listing that goes on.

    Args:
        store: The store, which shows keys without `prefix`.
        prefix: What every key begins with in the bucket.
        salt: Makes digests differ.
    """

    def __init__(self, store: ObjectStore, prefix: str, salt: bytes) -> None:
        super().__init__(store, salt)
        self._prefix = prefix
        self._stream: Iterator[Columns] = iter(())
        self._rest = NOTHING
        self._at: str | None = ""
        # Where a listing may begin that gets to what was listed last: where that began, and its keys.
        self._offsets: deque[str | None] = deque(maxlen=MOST_SEEN)

    def begin(self, remaining: Remaining = forever) -> None:  # noqa: ARG002 - obstore has bounds of its own
        self._at = ""
        self._offsets.clear()
        self.unseen.clear()

    def list(self, after: str | None, limit: int) -> StorePage:
        if after != self._at:
            self._go_to(after)
            self._stream, self._rest = self._listed(after), NOTHING
        self._at = ""  # until this succeeds
        parts = [self._rest] if self._rest.keys else []
        number = len(self._rest.keys)
        while number < limit and (more := next(self._stream, None)) is not None:
            parts.append(more)
            number += len(more.keys)
        lines = joined(parts) if parts else NOTHING
        found, self._rest = lines.part(0, limit), lines.part(limit)
        # The listing that ended here is of no use for the next question.
        self._at = found.keys[-1] if found.keys and number >= limit else ""
        return StorePage(found, number < limit, self)

    def _go_to(self, after: str | None) -> None:
        """Forget what was listed behind a key, and all when the listing did not get there."""
        rank = _rank(after)
        while self._offsets and _rank(self._offsets[-1]) > rank:
            self._offsets.pop()
        if not self._offsets or _rank(self._offsets[-1]) < rank:
            self._offsets.clear()
            self._offsets.append(after)

    def _listed(self, after: str | None) -> Iterator[Columns]:
        """Yield what follows a key; a key that obstore refuses is told, and the listing goes on behind it."""
        if after is not None and is_refused(after):
            after = self._pass(after)
            yield self._one(after)
        while True:
            try:
                for columns in self.shown(after):
                    if fresh := self._following(columns, after):
                        after = fresh.keys[-1]
                        self._offsets.extend(fresh.keys)
                        yield fresh
            except InvalidPathError as error:
                refused = self._refused(error, after)
                before, complete = self._before(refused, after)
                if not complete:
                    self.unseen.append(refused)
                yield before
                yield Columns([refused], [REFUSED], [0], [0])
                after = self._pass(refused)
                yield self._one(after)
            else:
                return

    def _pass(self, refused: str) -> str:
        """Return where the listing goes on behind a refused key; none that begins before it gets there."""
        following = beyond(refused)
        self._offsets.clear()
        self._offsets.append(following)
        return following

    def _following(self, columns: Columns, after: str | None) -> Columns | None:
        """Return the lines that follow a key, which are all but for two reasons.

        Azure begins with the key that it is asked to begin with; and a folder, shown without the slash at its end,
        stands behind keys that it comes before.
        """
        keys = columns.keys
        if not keys or (list(keys) == sorted(keys) and (after is None or keys[0] > after)):
            return columns if keys else None
        places: list[int] = []
        last = first = order(after or "")
        for place, key in enumerate(map(order, keys)):
            if key <= first or key == last or (key < last and columns.sizes[place] == 0):
                continue
            places.append(place)
            last = key
        return columns.take(places) if places else None

    def _refused(self, error: InvalidPathError, after: str | None) -> str:
        """Return the key that an error is about."""
        full = named(str(error))
        if full is None or not full.startswith(self._prefix):
            raise ListingError(f"{reason_of(error)}; remove the object or rename it") from error
        key = full.removeprefix(self._prefix)
        if after is not None and order(key) <= order(after):
            raise ListingError("the store does not begin where it is asked to begin") from error
        return key

    def _before(self, refused: str, after: str | None) -> tuple[Columns, bool]:
        """Return what lies between the last key that was shown and a refused one, and whether that is all.

        A listing that begins so far back that an answer ends just before the refused key shows it. How many keys an
        answer has is the store's secret, so that place is searched for.
        """
        parts: list[Columns] = []
        while True:
            offsets = list(self._offsets)
            shown = self._until_refused(after)
            if not shown.keys:
                fails, works = 0, len(offsets) - 1
                if works < 1 or not (shown := self._until_refused(offsets[-1 - works])).keys:
                    return joined(parts or [NOTHING]), False
                while works - fails > 1:
                    middle = (works + fails) // 2
                    found = self._until_refused(offsets[-1 - middle])
                    shown = found if found.keys else shown
                    fails, works = (fails, middle) if found.keys else (middle, works)
            last = order(after or "")
            fresh = [place for place, key in enumerate(shown.keys) if last < order(key) < order(refused)]
            if fresh:
                parts.append(shown.take(fresh))
                after = parts[-1].keys[-1]
                self._offsets.extend(parts[-1].keys)
            else:
                return joined(parts or [NOTHING]), True

    def _until_refused(self, offset: str | None) -> Columns:
        """Return what obstore shows after a key, up to the answer in which a refused key stands."""
        parts = [NOTHING]
        self.calls += 1
        try:
            # One by one: of a batch that an error interrupts nothing is shown.
            for batch in obstore.list(self._store, offset=offset, chunk_size=1, return_arrow=True):
                parts.append(of_batch(batch))
                if len(parts) > MOST_SEEN:
                    break
        except InvalidPathError:
            pass
        except (BaseError, OSError) as error:
            raise ListingError(reason_of(error)) from error
        return joined(parts)

    def _one(self, key: str) -> Columns:
        """Return the line of one key, if there is such an object."""
        try:
            meta = obstore.head(self._store, key)
        except FileNotFoundError:
            return NOTHING
        except (BaseError, OSError) as error:
            raise ListingError(reason_of(error)) from error
        return of_one(key, meta)


def _rank(offset: str | None) -> bytes:
    """Return what offsets are sorted by; nothing comes before the empty key but the beginning, which is the same."""
    return order(offset or "")
