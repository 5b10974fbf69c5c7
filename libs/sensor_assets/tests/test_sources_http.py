"""HTTP sources against a real server."""

import time
from collections.abc import Iterator
from typing import Any

import pytest
from sensor_assets import HttpSource, ItemChanged, ItemGone, Link, Settings, SourceError
from sensor_assets.ledger import PostgresLedger

from .location import settings
from .scanning import Scanner
from .site_server import Site, etag, running_site


class Visits:
    """The scanners of a test, which are closed in its end."""

    def __init__(self, ledger: PostgresLedger) -> None:
        self.ledger = ledger
        self.scanners: list[Scanner] = []

    def __call__(self, source: HttpSource, given: Settings) -> Scanner:
        self.scanners.append(Scanner(self.ledger, source, given=given))
        return self.scanners[-1]


@pytest.fixture
def site() -> Iterator[Site]:
    with running_site() as site:
        yield site


@pytest.fixture
def visit(ledger: PostgresLedger) -> Iterator[Visits]:
    visits = Visits(ledger)
    yield visits
    for scanner in visits.scanners:
        scanner.close()


def scanner(visit: Visits, site: Site, **source: Any) -> Scanner:
    return visit(HttpSource("pages", url=site.url, **source), settings(site.url))


def single(visit: Visits, site: Site, **source: Any) -> Scanner:
    return visit(HttpSource("page", url=f"{site.url}rates.csv", **source), settings(site.url))


def test_a_resource_that_did_not_change_costs_an_answer_without_a_body(visit: Visits, site: Site) -> None:
    site.pages["/rates.csv"] = b"one"
    source = single(visit, site)
    assert [source.scan() for _ in range(3)] == [1, 0, 0]
    assert site.answers == [("/rates.csv", 200), ("/rates.csv", 304), ("/rates.csv", 304)]
    site.pages["/rates.csv"] = b"two"
    assert source.scan() == 1
    assert source.item("rates.csv").version == etag(b"two")
    assert source.client.read(source.item("rates.csv")) == b"two"


def test_without_an_etag_the_version_is_the_hash_of_the_body(visit: Visits, site: Site) -> None:
    site.etags = False
    site.pages["/rates.csv"] = b"one"
    source = single(visit, site)
    assert [source.scan() for _ in range(2)] == [1, 0]
    # echo -n one | sha256sum
    assert source.item("rates.csv").version == (
        "sha256:7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed"
    )
    assert source.client.read(source.item("rates.csv")) == b"one"
    site.pages["/rates.csv"] = b"two"
    assert source.scan() == 1
    assert site.count(304) == 0


def test_an_index_with_etags_tells_what_changed_without_asking_for_each_page(visit: Visits, site: Site) -> None:
    site.index(etags=True, **{f"2013-01-{day:02}.csv": b"x%d" % day for day in range(1, 31)})
    source = scanner(visit, site, index="index.json", key="{date:%Y-%m-%d}.csv")
    assert source.scan() == 30
    assert source.scan() == 0
    assert site.answers == [("/index.json", 200), ("/index.json", 304)]
    site.index(etags=True, **{"2013-01-07.csv": b"corrected"})
    assert source.scan() == 1
    assert len(site.answers) == 3
    item = source.item("2013-01-07.csv")
    assert item.partition == "2013-01-07"
    assert source.client.read(item) == b"corrected"


def test_an_index_without_etags_makes_a_conditional_request_for_each_page(visit: Visits, site: Site) -> None:
    site.index(etags=False, a=b"1", b=b"2", c=b"3")
    source = scanner(visit, site, index="index.json")
    assert source.scan() == 3
    site.answers.clear()
    site.pages["/b"] = b"22"
    assert source.scan() == 1
    assert sorted(site.answers) == [("/a", 304), ("/b", 200), ("/c", 304), ("/index.json", 200)]
    assert source.scan() == 0


def test_a_scan_that_is_cut_short_goes_on_with_what_is_missing(visit: Visits, site: Site) -> None:
    site.index(etags=False, a=b"1", b=b"2", c=b"3")
    source = scanner(visit, site, index="index.json")
    assert [source.scan(pages=1), source.scan(), source.scan()] == [1, 2, 0]


def test_an_index_may_be_read_by_a_function_of_the_teams_own(visit: Visits, site: Site) -> None:
    site.pages["/list.txt"] = b"a\nb\n"
    site.pages |= {"/a": b"1", "/b": b"2"}
    source = scanner(
        visit, site, index="list.txt", links=lambda body: [Link(line) for line in body.decode().splitlines()]
    )
    assert source.scan() == 2
    assert source.keys() == ["a", "b"]


def test_a_header_may_hold_a_setting(visit: Visits, site: Site) -> None:
    site.pages["/rates.csv"] = b"one"
    source = HttpSource("page", url="{outside}rates.csv", headers={"Authorization": "Bearer {team}"})
    visit(source, settings(site.url)).scan()
    assert site.seen_headers["Authorization"] == "Bearer tested"


def test_a_page_that_changed_after_it_was_seen_is_not_taken_for_the_version_that_was_seen(
    visit: Visits, site: Site
) -> None:
    site.index(etags=True, a=b"1")
    source = scanner(visit, site, index="index.json")
    source.scan()
    site.pages["/a"] = b"2"
    with pytest.raises(ItemChanged, match="/a changed after it was recorded"):
        source.client.read(source.item("a"))
    del site.pages["/a"]
    with pytest.raises(ItemGone, match="/a answered 404"):
        source.client.read(source.item("a"))


@pytest.mark.parametrize("status", [404, 500, 503])
def test_an_error_of_the_server_is_told_with_url_and_status(status: int, visit: Visits, site: Site) -> None:
    site.pages["/rates.csv"] = b"one"
    source = single(visit, site)
    source.scan()
    site.status = status
    with pytest.raises(SourceError, match=f"source 'page': {site.url}rates.csv answered {status} "):
        source.scan()
    with pytest.raises((SourceError, ItemGone), match=f"answered {status}"):
        source.client.read(source.item("rates.csv"))
    site.status = None
    assert source.scan() == 0


def test_a_server_that_does_not_answer_in_time_is_named(visit: Visits, site: Site) -> None:
    site.pages["/rates.csv"] = b"one"
    site.delay = 1.0
    begin = time.monotonic()
    with pytest.raises(SourceError, match=f"cannot reach {site.url}rates.csv: .*Check the URL and that the server"):
        single(visit, site, timeout=0.1).scan()
    assert time.monotonic() - begin < 1.0


def test_a_server_that_is_not_there_is_named(visit: Visits) -> None:
    with Site() as closed:
        url = closed.url
    with pytest.raises(SourceError, match=f"source 'pages' cannot reach {url}: .*Check the URL"):
        visit(HttpSource("pages", url=url), settings(url)).scan()


@pytest.mark.parametrize("body", [b"<html>Sign in</html>", b"{}", b"[5]", b"[{}]", b"\xff\xfe", b""])
def test_something_that_is_no_index_is_named(body: bytes, visit: Visits, site: Site) -> None:
    site.pages["/index.json"] = body
    with pytest.raises(SourceError, match=f"source 'pages': {site.url}index.json is no index"):
        scanner(visit, site, index="index.json").scan()


def test_an_index_that_became_empty_takes_nothing_back(visit: Visits, site: Site) -> None:
    site.index(etags=True, a=b"1")
    source = scanner(visit, site, index="index.json")
    source.scan()
    site.pages["/index.json"] = b"[]"
    assert source.scan() == 0
    assert source.keys() == ["a"]
