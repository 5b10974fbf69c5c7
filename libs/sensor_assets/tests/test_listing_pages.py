"""The page map in the ledger does what the model of it does, and knows which pages are in doubt."""

from dataclasses import replace
from random import Random, SystemRandom

import pytest
from sensor_assets import Item
from sensor_assets._pages import ListingPage, Relisting, order
from sensor_assets._sources.base import Page
from sensor_assets.ledger import PostgresLedger, Scan

from .listing_model import LETTERS, MemoryPages
from .scanning import NOW


@pytest.fixture
def scan(ledger: PostgresLedger) -> Scan:
    return ledger.begin_scan(ledger.sources(["objects"])["objects"])


def page(last: str) -> ListingPage:
    return ListingPage(last=last, keys=1, digest=b"digest")


def remember(ledger: PostgresLedger, scan: Scan, *lasts: str) -> None:
    relisting = Relisting(after=None, until=None, pages=[page(last) for last in lasts])
    ledger.record(scan, Page(items=(), relisting=relisting), NOW)


def test_the_map_in_the_ledger_does_what_the_model_of_it_does(ledger: PostgresLedger, scan: Scan) -> None:
    seed = SystemRandom().randrange(2**32)
    print(f"seed {seed}")
    random = Random(seed)
    model, pages = MemoryPages(), ledger.pages(scan.source.id)

    def key() -> str | None:
        return "".join(random.choice(LETTERS) for _ in range(random.randint(0, 2))) or None

    for _ in range(60):
        bounds = sorted((key(), key()), key=lambda each: order(each or ""))
        after, until = bounds[0], bounds[1] if random.random() < 0.7 else None
        lasts = {each for each in (key() for _ in range(4)) if each}
        inside = [
            last
            for last in sorted(lasts, key=order)
            if order(last) > order(after or "") and (until is None or order(last) <= order(until))
        ]
        relisting = Relisting(after=after, until=until, pages=[page(last) for last in inside])
        model.replace(relisting)
        ledger.record(scan, Page(items=(), relisting=relisting), NOW)
        for limit in (1, 2, 50):
            probe = key()
            assert pages.after(probe, limit) == model.after(probe, limit)
            assert pages.before(probe, limit) == model.before(probe, limit)


def test_a_page_in_doubt_is_the_one_that_holds_the_key(ledger: PostgresLedger, scan: Scan) -> None:
    remember(ledger, scan, "b", "d", "f")
    pages = ledger.pages(scan.source.id)
    for key in ("c", "d", "x"):
        ledger.doubt("objects", key)
    assert pages.doubtful() == ["d"]
    assert pages.after("b", 1) == [replace(page("d"), digest=b"")]


def test_what_a_run_does_not_find_puts_its_page_in_doubt(ledger: PostgresLedger, scan: Scan) -> None:
    remember(ledger, scan, "b", "d")
    item = Item(key="a", version="1", source="objects", arrival=1)
    ledger.finish("consumer", None, "run", rejected=[], gone=[item], now=NOW)
    assert ledger.pages(scan.source.id).doubtful() == ["b"]


def test_the_map_of_one_source_is_not_that_of_another(ledger: PostgresLedger, scan: Scan) -> None:
    remember(ledger, scan, "b", "d")
    other = ledger.begin_scan(ledger.sources(["other"])["other"])
    assert ledger.pages(other.source.id).after(None, 10) == []
    remember(ledger, other)
    assert len(ledger.pages(scan.source.id).after(None, 10)) == 2
