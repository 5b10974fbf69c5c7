"""Stores through obstore: the digests of columns, and keys that obstore cannot take."""

import os
from collections.abc import Iterator
from pathlib import Path
from random import Random, SystemRandom
from typing import Any

import obstore
import pytest
from obstore.store import LocalStore, MemoryStore
from sensor_assets import ItemGone
from sensor_assets._items import UNMATCHED
from sensor_assets._listing.answers import Piece
from sensor_assets._listing.refused import beyond, is_refused
from sensor_assets._listing.sorted_stores import SortedStoreLister
from sensor_assets._listing.stores import WholeStoreLister
from sensor_assets._sources import object_places
from sensor_assets.ledger import PostgresLedger

from .faulty_proxy import Proxy, before
from .object_stores import client, scanner
from .scanning import Scanner

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


# --- keys that obstore refuses


def accepted(store: MemoryStore, key: str) -> bool:
    """Tell whether obstore takes a key."""
    try:
        obstore.head(store, key)
    except FileNotFoundError:
        return True
    except ValueError:
        return False
    raise AssertionError(f"there is {key!r} in an empty store")


def test_what_is_skipped_with_a_refused_key_is_refused_as_well() -> None:
    seed = SystemRandom().randrange(2**32)
    print(f"seed {seed}")
    random, store = Random(seed), MemoryStore()

    def text(least: int, most: int) -> str:
        return "".join(random.choice("ab./ -\0\x1f\x7f\x80é") for _ in range(random.randint(least, most)))

    compared = 0
    for _ in range(20_000):
        key = text(1, 6)
        if key.startswith("/"):
            continue
        assert accepted(store, key) == (not is_refused(key))
        if is_refused(key):
            following = beyond(key)
            assert following > key
            assert accepted(store, following)
            for other in (key + text(0, 3), key[: random.randint(0, len(key))] + text(0, 3), key[:-1] + text(0, 3)):
                if key <= other < following and not other.endswith("/"):
                    compared += 1
                    assert not accepted(store, other)
    assert compared > 1000


ODD = ["2013//b.csv", "2013//c.csv", "dot/./a.csv", "dots/../a.csv", "end/.", "tab\there.csv", "z/\x7f"]
PLAIN = ["2012/a.csv", "2013/0", "2013/a.csv", "dot/.0", "end/. ", "taba.csv", "z/a.csv", "zz.csv"]


@pytest.fixture
def small_answers(s3: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    """S3 with three keys in an answer, however many are asked for."""
    with before(s3) as proxy:
        proxy.most_keys = 3
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
        yield proxy


def put(*keys: str, body: bytes = b"x") -> None:
    for key in keys:
        client("s3").put_object(Bucket="bucket", Key=f"landing/{key}", Body=body)


def followed(monkeypatch: pytest.MonkeyPatch, ledger: PostgresLedger) -> Scanner:
    """Return a source on S3 that is listed through obstore."""
    monkeypatch.setattr(object_places, "speaks_s3", lambda _: False)
    return scanner(ledger, "s3://bucket/landing")


def set_aside(source: Scanner) -> list[str]:
    return [item.key for item in source.items() if UNMATCHED in item.metadata]


def test_a_key_that_obstore_refuses_is_set_aside_and_all_others_are_followed(
    s3: str, monkeypatch: pytest.MonkeyPatch, ledger: PostgresLedger
) -> None:
    put(*ODD[:1], *PLAIN[1:])
    source = followed(monkeypatch, ledger)
    assert source.scan() == len(PLAIN)
    assert source.keys() == sorted([*ODD[:1], *PLAIN[1:]])
    assert set_aside(source) == ["2013//b.csv"]
    refused = source.item("2013//b.csv")
    assert refused.metadata[UNMATCHED].startswith("key '2013//b.csv' has an empty, '.' or '..' segment")
    assert source.scan() == 0
    put("zz.csv", "new.csv", body=b"other")
    assert source.scan() == 2


def test_what_lies_before_a_refused_key_in_its_answer_is_asked_for_from_further_back(
    small_answers: Proxy, monkeypatch: pytest.MonkeyPatch, ledger: PostgresLedger
) -> None:
    numbered = [f"{number:02}" for number in range(20)]
    put(*numbered, "10//a", "17/./b")
    source = followed(monkeypatch, ledger)
    assert source.scan() == 22
    assert source.keys() == sorted([*numbered, "10//a", "17/./b"])
    assert set_aside(source) == ["10//a", "17/./b"]
    assert source.scan() == 0
    put("09", "16", "18", body=b"other")
    assert source.scan() == 3


def test_each_kind_of_refused_key_is_passed(
    small_answers: Proxy, monkeypatch: pytest.MonkeyPatch, ledger: PostgresLedger
) -> None:
    small_answers.most_keys = 1
    put(*ODD, *PLAIN)
    source = followed(monkeypatch, ledger)
    # Of keys that begin alike up to the part that is refused, the first stands for all.
    told = [key for key in ODD if key != "2013//c.csv"]
    assert source.scan() == len(PLAIN) + len(told)
    assert source.keys() == sorted([*PLAIN, *told])
    assert source.scan() == 0


def test_a_refused_key_with_no_whole_answer_before_it_is_told_in_the_log(
    s3: str, monkeypatch: pytest.MonkeyPatch, ledger: PostgresLedger, caplog: pytest.LogCaptureFixture
) -> None:
    put("a.csv", "b//c.csv", "d.csv")
    source = followed(monkeypatch, ledger)
    assert source.scan() == 2
    assert source.keys() == ["b//c.csv", "d.csv"]
    assert "source 'objects': keys just before 'b//c.csv' may not be seen" in caplog.text
    client("s3").delete_object(Bucket="bucket", Key="landing/b//c.csv")
    assert source.scan() == 1
    assert source.keys() == ["a.csv", "b//c.csv", "d.csv"]


def test_a_file_whose_name_obstore_refuses_is_set_aside_and_all_others_are_followed(
    tmp_path: Path, ledger: PostgresLedger
) -> None:
    landing = tmp_path / "landing"
    names = [b"a.csv", b"2013/b.csv", b"2013/tab\there.csv", b"\xff.csv", b"upload.csv#1", b"z.csv"]
    for name in names:
        file = os.fsencode(landing) + b"/" + name
        os.makedirs(os.path.dirname(file), exist_ok=True)
        with open(file, "wb"):
            pass
    (landing / "nowhere").symlink_to(landing / "none")
    source = scanner(ledger, f"file://{landing}")
    assert source.scan() == 5
    assert source.keys() == ["2013/b.csv", "2013/tab\there.csv", "\\udcff.csv", "a.csv", "z.csv"]
    assert set_aside(source) == ["2013/tab\there.csv", "\\udcff.csv"]
    assert source.scan() == 0
    for odd in (b"/2013/tab\there.csv", b"/\xff.csv"):
        os.remove(os.fsencode(landing) + odd)
    assert source.scan() == 0
    assert source.client.read(source.item("a.csv")) == b""


# --- folders


def test_a_folder_is_no_item_though_obstore_shows_it_like_an_object(
    small_answers: Proxy, monkeypatch: pytest.MonkeyPatch, ledger: PostgresLedger
) -> None:
    put("m-1", "m/a", "empty/x")
    put("m/", "n/", "empty", "_SUCCESS", body=b"")
    source = followed(monkeypatch, ledger)
    source.scan()
    assert source.keys() == ["_SUCCESS", "empty", "empty/x", "m-1", "m/a"]
    assert source.scan() == 0
    put("m-2", "m.csv")
    assert source.scan() == 2
    assert source.scan() == 0


def test_among_many_empty_objects_a_folder_without_content_is_one_more_of_them(
    s3: str, monkeypatch: pytest.MonkeyPatch, ledger: PostgresLedger
) -> None:
    monkeypatch.setattr("sensor_assets._listing.stores.MOST_EMPTY", 1)
    put("a", "b", "n/", body=b"")
    source = followed(monkeypatch, ledger)
    assert source.scan() == 3
    assert source.client.read(source.item("n")) == b""
    client("s3").delete_object(Bucket="bucket", Key="landing/n/")
    with pytest.raises(ItemGone):
        source.client.read(source.item("n"))
