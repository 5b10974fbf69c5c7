"""Many items as columns, and how what they hold is stored."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sensor_assets import Item, _template
from sensor_assets._columns import Columns
from sensor_assets._items import UNMATCHED
from sensor_assets._sources.base import place, place_all
from sensor_assets._template import KeyTemplate
from sensor_assets.ledger import _version
from sensor_assets.ledger._storable import storable

from .recording_model import ITEMS

MODIFIED = datetime(2013, 1, 1, tzinfo=UTC)


@given(st.lists(ITEMS, max_size=20), st.data())
def test_columns_are_the_items_that_they_were_made_of(items: list[Item], data: st.DataObject) -> None:
    columns = Columns.of(items)
    assert list(columns) == items
    cut = data.draw(st.slices(len(items)))
    assert list(columns[cut]) == items[cut]
    assert [columns[-1 - place] for place in range(len(items))] == items[::-1]


def test_a_lister_fills_columns_without_making_items() -> None:
    columns = Columns(keys=["a", "b"], versions=["1", "2"], sizes=[3, 4], modified=[MODIFIED, None], source="world")
    assert columns[1] == Item(key="b", version="2", size=4, source="world")
    assert columns[0].modified == MODIFIED
    with pytest.raises(IndexError):
        columns[2]


def test_columns_of_different_length_are_refused() -> None:
    with pytest.raises(ValueError, match="columns of different length"):
        Columns(keys=["a", "b"], versions=["1", "2"], sizes=[3, 4], modified=[None, None], partitions=["only one"])


def test_what_can_be_stored_is_not_copied() -> None:
    columns = Columns(keys=["a", "é"], versions=["1", "2"], sizes=[3, 4], modified=[None, None], metadata={1: {"a": 1}})
    assert storable(columns) is columns


@pytest.mark.parametrize(
    "changed",
    [{"keys": ["a", "b\0"]}, {"versions": ["1", "\ud800"]}, {"partitions": [None, "x" * 3000]}],
    ids=["key", "version", "partition"],
)
def test_one_item_that_cannot_be_stored_is_marked_and_the_others_stay(changed: dict[str, list[str]]) -> None:
    columns = {"keys": ["a", "b"], "versions": ["1", "2"], **changed}
    first, second = storable(Columns(sizes=[3, 4], modified=[None, None], source="world", **columns))  # type: ignore[arg-type]
    assert first == Item(key="a", version="1", size=3, source="world")
    assert "cannot be stored" in second.metadata[UNMATCHED]


# --- the places of many keys


@pytest.mark.parametrize("text", [None, "{date:%Y-%m-%d}*.csv", "{name}/*", "**.csv"])
def test_many_keys_are_placed_as_one_by_one(text: str | None) -> None:
    template = None if text is None else KeyTemplate(text)
    keys = ["2013-01-01.csv", "2013-01-01-b.csv", "2013-02-30.csv", "north/a", "north/a.csv", "2013-01-01.csv"]
    partitions, metadata = place_all(keys, template)
    columns = Columns(
        keys=keys, versions=keys, sizes=[0] * 6, modified=[None] * 6, partitions=partitions, metadata=metadata
    )
    assert [(item.partition, item.metadata) for item in columns] == [place(key, template) for key in keys]


def test_a_template_remembers_a_bounded_number_of_dates(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_template, "MOST_DATES", 2)
    keys = [f"2013-01-{day:02}.csv" for day in range(1, 30)] * 2
    partitions, misfits = KeyTemplate("{date:%Y-%m-%d}.csv").match_all(keys)
    assert partitions == [key.removesuffix(".csv") for key in keys]
    assert misfits == []


# --- versions

_HEX = st.text("0123456789abcdefABCDEF ", min_size=30, max_size=33)
VERSIONS = st.one_of(
    st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=40),
    st.text("0123456789abcdef", min_size=32, max_size=32).map('"{}"'.format),
    _HEX.map('"{}"'.format),
    st.text("aé", min_size=12, max_size=18),
)


@given(VERSIONS)
def test_a_version_is_read_as_it_was_stored(version: str) -> None:
    assert _version.decode(_version.encode(version)) == version


@pytest.mark.parametrize(
    ("version", "size"),
    [('"d41d8cd98f00b204e9800998ecf8427e"', 16), ('"D41D8CD98F00B204E9800998ECF8427E"', 34), ("a" * 16, 17), ("", 0)],
    ids=["MD5", "capitals", "sixteen bytes", "empty"],
)
def test_the_etag_of_an_object_store_takes_half_of_its_bytes(version: str, size: int) -> None:
    assert len(_version.encode(version)) == size
