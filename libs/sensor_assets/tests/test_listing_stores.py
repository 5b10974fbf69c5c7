"""Stores through obstore: the digests of columns, and keys that obstore cannot take."""

from typing import Any

import obstore
import pytest
from obstore.store import LocalStore, MemoryStore
from sensor_assets import SourceError
from sensor_assets._listing.answers import Piece
from sensor_assets._listing.sorted_stores import SortedStoreLister
from sensor_assets._listing.stores import WholeStoreLister
from sensor_assets.ledger import PostgresLedger

from .object_stores import client, placed, scanner

Anything = Any


@pytest.fixture(params=[SortedStoreLister, WholeStoreLister])
def lister(request: pytest.FixtureRequest, tmp_path: Any) -> Anything:
    sorts = request.param is SortedStoreLister
    store = MemoryStore() if sorts else LocalStore(tmp_path)
    for number in range(10):
        obstore.put(store, f"{number}", b"x" * number)
    return SortedStoreLister(store, "", b"salt") if sorts else WholeStoreLister(store, b"salt")


def test_a_page_put_together_from_pieces_has_the_digest_of_one_answer(lister: Anything) -> None:
    whole = lister.list("1", 6)
    first, second = lister.list("0", 4), lister.list("4", 10)
    assert whole.lines().keys == ["2", "3", "4", "5", "6", "7"]
    assert lister.digest([Piece(first, 1, 4), Piece(second, 0, 3)]) == whole.digest
    assert lister.digest([Piece(first, 1, 4), Piece(second, 0, 2)]) != whole.digest


def test_questions_in_any_order_are_answered_alike(lister: Anything) -> None:
    in_turn = [lister.list(None, 3).digest, lister.list("2", 3).digest, lister.list("5", 3).digest]
    assert [lister.list("5", 3).digest, lister.list("2", 3).digest, lister.list(None, 3).digest] == in_turn[::-1]


def test_an_answer_with_less_than_was_asked_for_is_the_end(lister: Anything) -> None:
    assert not lister.list(None, 9).complete
    assert lister.list(None, 11).complete
    assert lister.list("9", 5).complete
    assert lister.list("9", 5).keys == 0


def test_another_scan_sees_what_happened_meanwhile(lister: Anything) -> None:
    lister.begin()
    lister.list(None, 3)
    obstore.put(lister._store, "3", b"other")
    lister.begin()
    assert lister.list("2", 1).lines().sizes == [5]


def test_what_else_decides_about_items_is_part_of_the_digest() -> None:
    store = MemoryStore()
    obstore.put(store, "a", b"")
    digests = {SortedStoreLister(store, "", salt).list(None, 1).digest for salt in (b"", b"ignore *.tmp")}
    assert len(digests) == 2


def test_a_key_that_obstore_cannot_take_is_named_and_what_comes_before_its_page_is_recorded(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, ledger: PostgresLedger
) -> None:
    place = placed("s3 through obstore", request, monkeypatch)
    place.put("a.csv")
    client("s3").put_object(Bucket="bucket", Key="landing/b//c.csv", Body=b"")
    source = scanner(ledger, place)
    with pytest.raises(SourceError, match=r'cannot read s3://bucket/landing: .*"landing/b//c.csv".*remove the object'):
        source.scan()
    client("s3").delete_object(Bucket="bucket", Key="landing/b//c.csv")
    assert source.scan() == 1
