"""Reading the bodies of messages from the ledger, some at a time."""

from collections.abc import Mapping, Sequence

from sensor_assets._items import MESSAGE, Item
from sensor_assets.errors import ItemGone
from sensor_assets.ledger import Ledger

# What one statement brings into memory.
CHUNK_BYTES = 4 * 2**20
CHUNK_MESSAGES = 500


class Bodies:
    """The bodies of a batch's messages, read ahead in the order of the items."""

    def __init__(self, ledger: Ledger, items: Sequence[Item]) -> None:
        self._ledger = ledger
        self._items = [item for item in items if MESSAGE in item.metadata]
        self._places = {_identity(item): place for place, item in enumerate(self._items)}
        self._ahead: Mapping[tuple[str, str], bytes] = {}

    def read(self, item: Item) -> bytes:
        """Return a message's body.

        Raises:
            ItemGone: The ledger does not keep it any more.
        """
        if _identity(item) not in self._ahead:
            self._ahead = self._load(self._places.get(_identity(item), len(self._items)), item)
        try:
            return self._ahead[_identity(item)]
        except KeyError:
            raise ItemGone(item, f"the ledger no longer keeps the body of message {_identity(item)[1]}") from None

    def _load(self, place: int, item: Item) -> Mapping[tuple[str, str], bytes]:
        wanted = [item]
        total = item.size
        for following in self._items[place + 1 : place + CHUNK_MESSAGES]:
            total += following.size
            if total > CHUNK_BYTES or following.source != item.source:
                break
            wanted.append(following)
        found = self._ledger.bodies(item.source, [_identity(each)[1] for each in wanted])
        return {(item.source, message): body for message, body in found.items()}


def _identity(item: Item) -> tuple[str, str]:
    return item.source, str(item.metadata[MESSAGE])
