"""HTTP sources against a real server."""

import json
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest
from sensor_assets import HttpSource, ItemChanged, ItemGone, Link, SourceError
from sensor_assets.ledger import PostgresLedger

from .location import settings
from .scanning import Scanner


class Site(ThreadingHTTPServer):
    """A server whose pages a test writes; it counts how it answered."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Page)
        self.pages: dict[str, bytes] = {}
        self.etags = True
        self.status: int | None = None
        self.delay = 0.0
        self.answers: list[tuple[str, int]] = []
        self.seen_headers: dict[str, str] = {}
        self.scanners: list[Scanner] = []

    def scanned(self, ledger: PostgresLedger, source: HttpSource) -> Scanner:
        """Return a scanner that is closed together with the server."""
        self.scanners.append(Scanner(ledger, source, given=settings(self.url)))
        return self.scanners[-1]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/"

    def index(self, *, etags: bool, **pages: bytes) -> None:
        """Write pages and the index that names them."""
        self.pages |= {f"/{name}": body for name, body in pages.items()}
        links = [
            {"href": path[1:], **({"etag": etag(body)} if etags else {})}
            for path, body in self.pages.items()
            if path != "/index.json"
        ]
        self.pages["/index.json"] = json.dumps(links).encode()

    def count(self, status: int) -> int:
        return sum(answered == status for _, answered in self.answers)


def etag(body: bytes) -> str:
    return f'"{body.hex()[:40]}-{len(body)}"'


class Page(BaseHTTPRequestHandler):
    """Answers conditional GETs."""

    server: Any
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        site: Site = self.server
        site.seen_headers = dict(self.headers)
        time.sleep(site.delay)
        body = site.pages.get(self.path)
        status = site.status or (404 if body is None else 200)
        known = self.headers.get("If-None-Match")
        if status == 200 and body is not None and site.etags and known == etag(body):
            status = 304
        content = body if status == 200 and body is not None else b""
        site.answers.append((self.path, status))
        try:
            self.send_response(status)
            if site.etags and body is not None:
                self.send_header("ETag", etag(body))
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)
        except BrokenPipeError:  # the client's patience was at an end
            self.close_connection = True

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name is the base's
        pass


@pytest.fixture
def site() -> Iterator[Site]:
    with Site() as site:
        thread = Thread(target=site.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield site
        for scanner in site.scanners:
            scanner.close()
        site.shutdown()
        thread.join()


def scanner(ledger: PostgresLedger, site: Site, **source: Any) -> Scanner:
    return site.scanned(ledger, HttpSource("pages", url=site.url, **source))


def single(ledger: PostgresLedger, site: Site, **source: Any) -> Scanner:
    return site.scanned(ledger, HttpSource("page", url=f"{site.url}rates.csv", **source))


def test_a_resource_that_did_not_change_costs_an_answer_without_a_body(ledger: PostgresLedger, site: Site) -> None:
    site.pages["/rates.csv"] = b"one"
    source = single(ledger, site)
    assert [source.scan() for _ in range(3)] == [1, 0, 0]
    assert site.answers == [("/rates.csv", 200), ("/rates.csv", 304), ("/rates.csv", 304)]
    site.pages["/rates.csv"] = b"two"
    assert source.scan() == 1
    assert source.item("rates.csv").version == etag(b"two")
    assert source.client.read(source.item("rates.csv")) == b"two"


def test_without_an_etag_the_version_is_the_hash_of_the_body(ledger: PostgresLedger, site: Site) -> None:
    site.etags = False
    site.pages["/rates.csv"] = b"one"
    source = single(ledger, site)
    assert [source.scan() for _ in range(2)] == [1, 0]
    # echo -n one | sha256sum
    assert source.item("rates.csv").version == (
        "sha256:7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed"
    )
    assert source.client.read(source.item("rates.csv")) == b"one"
    site.pages["/rates.csv"] = b"two"
    assert source.scan() == 1
    assert site.count(304) == 0


def test_an_index_with_etags_tells_what_changed_without_asking_for_each_page(
    ledger: PostgresLedger, site: Site
) -> None:
    site.index(etags=True, **{f"2013-01-{day:02}.csv": b"x%d" % day for day in range(1, 31)})
    source = scanner(ledger, site, index="index.json", key="{date:%Y-%m-%d}.csv")
    assert source.scan() == 30
    assert source.scan() == 0
    assert site.answers == [("/index.json", 200), ("/index.json", 304)]
    site.index(etags=True, **{"2013-01-07.csv": b"corrected"})
    assert source.scan() == 1
    assert len(site.answers) == 3
    item = source.item("2013-01-07.csv")
    assert item.partition == "2013-01-07"
    assert source.client.read(item) == b"corrected"


def test_an_index_without_etags_makes_a_conditional_request_for_each_page(ledger: PostgresLedger, site: Site) -> None:
    site.index(etags=False, a=b"1", b=b"2", c=b"3")
    source = scanner(ledger, site, index="index.json")
    assert source.scan() == 3
    site.answers.clear()
    site.pages["/b"] = b"22"
    assert source.scan() == 1
    assert sorted(site.answers) == [("/a", 304), ("/b", 200), ("/c", 304), ("/index.json", 200)]
    assert source.scan() == 0


def test_a_scan_that_is_cut_short_goes_on_with_what_is_missing(ledger: PostgresLedger, site: Site) -> None:
    site.index(etags=False, a=b"1", b=b"2", c=b"3")
    source = scanner(ledger, site, index="index.json")
    assert [source.scan(pages=1), source.scan(), source.scan()] == [1, 2, 0]


def test_an_index_may_be_read_by_a_function_of_the_teams_own(ledger: PostgresLedger, site: Site) -> None:
    site.pages["/list.txt"] = b"a\nb\n"
    site.pages |= {"/a": b"1", "/b": b"2"}
    source = scanner(
        ledger, site, index="list.txt", links=lambda body: [Link(line) for line in body.decode().splitlines()]
    )
    assert source.scan() == 2
    assert source.keys() == ["a", "b"]


def test_a_header_may_hold_a_setting(ledger: PostgresLedger, site: Site) -> None:
    site.pages["/rates.csv"] = b"one"
    source = HttpSource("page", url="{outside}rates.csv", headers={"Authorization": "Bearer {team}"})
    site.scanned(ledger, source).scan()
    assert site.seen_headers["Authorization"] == "Bearer tested"


def test_a_page_that_changed_after_it_was_seen_is_not_taken_for_the_version_that_was_seen(
    ledger: PostgresLedger, site: Site
) -> None:
    site.index(etags=True, a=b"1")
    source = scanner(ledger, site, index="index.json")
    source.scan()
    site.pages["/a"] = b"2"
    with pytest.raises(ItemChanged, match="/a changed after it was recorded"):
        source.client.read(source.item("a"))
    del site.pages["/a"]
    with pytest.raises(ItemGone, match="/a answered 404"):
        source.client.read(source.item("a"))


@pytest.mark.parametrize("status", [404, 500, 503])
def test_an_error_of_the_server_is_told_with_url_and_status(status: int, ledger: PostgresLedger, site: Site) -> None:
    site.pages["/rates.csv"] = b"one"
    source = single(ledger, site)
    source.scan()
    site.status = status
    with pytest.raises(SourceError, match=f"source 'page': {site.url}rates.csv answered {status} "):
        source.scan()
    with pytest.raises((SourceError, ItemGone), match=f"answered {status}"):
        source.client.read(source.item("rates.csv"))
    site.status = None
    assert source.scan() == 0


def test_a_server_that_does_not_answer_in_time_is_named(ledger: PostgresLedger, site: Site) -> None:
    site.pages["/rates.csv"] = b"one"
    site.delay = 1.0
    begin = time.monotonic()
    with pytest.raises(SourceError, match=f"cannot reach {site.url}rates.csv: .*Check the URL and that the server"):
        single(ledger, site, timeout=0.1).scan()
    assert time.monotonic() - begin < 1.0


def test_a_server_that_is_not_there_is_named(ledger: PostgresLedger) -> None:
    with Site() as closed:
        url = closed.url
    with pytest.raises(SourceError, match=f"source 'pages' cannot reach {url}: .*Check the URL"):
        closed.scanned(ledger, HttpSource("pages", url=url)).scan()
    closed.scanners[0].close()


@pytest.mark.parametrize("body", [b"<html>Sign in</html>", b"{}", b"[5]", b"[{}]", b"\xff\xfe", b""])
def test_something_that_is_no_index_is_named(body: bytes, ledger: PostgresLedger, site: Site) -> None:
    site.pages["/index.json"] = body
    with pytest.raises(SourceError, match=f"source 'pages': {site.url}index.json is no index"):
        scanner(ledger, site, index="index.json").scan()


def test_an_index_that_became_empty_takes_nothing_back(ledger: PostgresLedger, site: Site) -> None:
    site.index(etags=True, a=b"1")
    source = scanner(ledger, site, index="index.json")
    source.scan()
    site.pages["/index.json"] = b"[]"
    assert source.scan() == 0
    assert source.keys() == ["a"]
