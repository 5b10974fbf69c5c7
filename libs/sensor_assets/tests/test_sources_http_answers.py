"""What an HTTP source makes of answers as servers really give them."""

import json
import logging
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from pydantic import SecretStr
from sensor_assets import DefinitionError, HttpSource, Item, ItemGone, Settings, SourceError
from sensor_assets._items import UNMATCHED
from sensor_assets.ledger import PostgresLedger

from .location import OutsideSettings, settings
from .scanning import Scanner
from .site_server import Answer, Site, running_site

SECRET = "tell+no+one"
BIG = b"x" * 2**20


class TokenSettings(OutsideSettings):
    """Settings with a secret."""

    token: SecretStr


@pytest.fixture
def site() -> Iterator[Site]:
    with running_site() as site:
        yield site


@pytest.fixture
def other_site() -> Iterator[Site]:
    with running_site() as site:
        yield site


Follow = Callable[..., Scanner]


@pytest.fixture
def follow(ledger: PostgresLedger, site: Site) -> Iterator[Follow]:
    """Return a function that makes a scanner of a source, closed in the end."""
    made: list[Scanner] = []

    def make(*, url: str = "{outside}", given: Settings | None = None, **source: Any) -> Scanner:
        made.append(Scanner(ledger, HttpSource("pages", url=url, **source), given=given or settings(site.url)))
        return made[-1]

    yield make
    for scanner in made:
        scanner.close()


def always(answer: Answer) -> Callable[[Mapping[str, str]], Answer]:
    return lambda _: answer


def in_turn(*answers: Answer) -> Callable[[Mapping[str, str]], Answer]:
    left = list(answers)
    return lambda _: left.pop(0) if len(left) > 1 else left[0]


@pytest.mark.parametrize("indexed", ['"x"', "x", 'W/"x"'])
@pytest.mark.parametrize("answered", ['"x"', 'W/"x"', 'w/"x"', '"x-gzip"', '"x--gzip"', '"x;gzip"', '"x-br"'])
def test_an_etag_is_the_same_in_whatever_form_index_and_server_write_it(
    indexed: str, answered: str, follow: Follow, site: Site
) -> None:
    site.special["/index.json"] = always(Answer(json.dumps([{"href": "a", "etag": indexed}]).encode()))
    site.special["/a"] = always(Answer(b"1", headers={"ETag": answered}))
    told = follow(index="index.json")
    assert told.scan() == 1
    assert told.read("a") == b"1"
    site.special["/index.json"] = always(Answer(b'["a"]'))
    assert told.scan() == 0


def test_another_etag_in_whatever_form_is_a_change(follow: Follow, site: Site) -> None:
    site.special["/rates"] = in_turn(*(Answer(b"1", headers={"ETag": tag}) for tag in ('"x"', 'W/"y"', '"z-gzip"')))
    rates = follow(url="{outside}rates")
    assert [rates.scan() for _ in range(4)] == [1, 1, 1, 0]


def test_where_etags_change_without_the_content_the_body_is_hashed(follow: Follow, site: Site) -> None:
    machines = [Answer(b"1", headers={"ETag": tag}) for tag in ('"one"', '"two"')]
    site.special["/rates"] = in_turn(*machines, *machines, *machines)
    rates = follow(url="{outside}rates", etags=False)
    assert [rates.scan() for _ in range(3)] == [1, 0, 0]
    assert rates.read("rates") == b"1"


def paged(site: Site, *pages: str) -> None:
    """Write an index of several pages, each naming the next."""
    for number, body in enumerate(pages):
        link = (
            {"Link": f'</index/{number + 1}>; rel="next", </index/0>; rel="first"'} if number + 1 < len(pages) else {}
        )
        site.special[f"/index/{number}"] = always(Answer(body.encode(), headers={"ETag": '"same"', **link}))


def test_an_index_of_several_pages_is_read_to_the_end_every_time(follow: Follow, site: Site) -> None:
    site.pages = {"/a": b"1", "/b": b"2", "/c": b"3"}
    paged(site, '["/a"]', '[{"href": "/b", "etag": "x"}]', '["/c"]')
    source = follow(index="index/0")
    assert [source.scan(), source.scan()] == [3, 0]
    paged(site, '["/a"]', '[{"href": "/b", "etag": "x"}]', '[{"href": "/c", "etag": "y"}]')
    assert source.scan() == 1


def test_a_scan_that_stopped_goes_on_with_the_next_page_of_the_index(follow: Follow, site: Site) -> None:
    site.pages = {"/a": b"1", "/b": b"2"}
    paged(site, '["/a"]', '["/b"]')
    source = follow(index="index/0")
    source.scan(pages=2)
    site.answers.clear()
    assert source.scan() == 1
    assert site.answers == [("/index/1", 200), ("/b", 200)]
    assert source.scan() == 0
    assert ("/index/0", 200) in site.answers


def test_a_page_of_the_index_that_is_no_longer_there_begins_it_anew(follow: Follow, site: Site) -> None:
    site.pages = {"/a": b"1", "/b": b"2"}
    paged(site, '["/a"]', '["/b"]')
    source = follow(index="index/0")
    source.scan(pages=2)
    paged(site, '["/b", "/a"]')
    del site.special["/index/1"]
    assert source.scan() == 1


def test_an_index_whose_pages_name_each_other_is_told(follow: Follow, site: Site) -> None:
    for number in (0, 1):
        link = {"Link": f'</index/{1 - number}>; rel="next"'}
        site.special[f"/index/{number}"] = always(Answer(b"[]", headers=link))
    with pytest.raises(SourceError, match="index/0 is named as the next page of an index that it belongs to"):
        follow(index="index/0").scan()


def dated(body: bytes, *, age: timedelta) -> Answer:
    return Answer(body, headers={"Last-Modified": format_datetime(datetime.now(UTC) - age, usegmt=True)})


def test_a_large_body_without_an_etag_is_not_read_again_while_its_date_stays(follow: Follow, site: Site) -> None:
    site.special["/rates"] = always(dated(BIG * 8, age=timedelta(hours=1)))
    rates = follow(url="{outside}rates")
    assert [rates.scan() for _ in range(3)] == [1, 0, 0]
    assert site.whole.count("/rates") == 1
    # An older date is a change as well: a file that was put back.
    site.special["/rates"] = always(dated(b"y" + BIG, age=timedelta(days=1)))
    assert [rates.scan(), rates.scan()] == [1, 0]
    assert rates.item("rates").modified is not None


def test_a_date_of_this_minute_says_nothing_about_the_body(follow: Follow, site: Site) -> None:
    answers = [dated(body * 2**20, age=timedelta()) for body in (b"a", b"b")]
    answers = [Answer(answer.body, headers=answers[0].headers) for answer in answers]
    site.special["/rates"] = in_turn(*answers)
    rates = follow(url="{outside}rates")
    assert [rates.scan() for _ in range(3)] == [1, 1, 0]


@pytest.mark.parametrize("status", [429, 503])
def test_a_busy_server_is_asked_again_after_the_time_that_it_names(status: int, follow: Follow, site: Site) -> None:
    busy = Answer(status=status, headers={"Retry-After": "0"})
    site.special["/rates"] = in_turn(busy, busy, Answer(b"1"))
    assert follow(url="{outside}rates").scan() == 1
    assert len(site.answers) == 3


def in_seconds() -> str:
    return "3600"


def as_date() -> str:
    return format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True)


@pytest.mark.parametrize("after", [in_seconds, as_date])
def test_a_server_that_wants_to_be_left_alone_for_long_is_left_alone(
    after: Callable[[], str], follow: Follow, site: Site
) -> None:
    site.special["/rates"] = always(Answer(status=429, headers={"Retry-After": after()}))
    rates = follow(url="{outside}rates")
    with pytest.raises(SourceError, match=r"rates answered 429 Too Many Requests and asks to wait 3[56]"):
        rates.scan()
    with pytest.raises(SourceError, match=r"rates asked to be left alone for another 3[56]"):
        rates.scan()
    assert len(site.answers) == 1


def test_a_server_that_stays_busy_is_not_asked_more_than_three_times(follow: Follow, site: Site) -> None:
    site.special["/rates"] = always(Answer(status=503, headers={"Retry-After": "0"}))
    with pytest.raises(SourceError, match="answered 503"):
        follow(url="{outside}rates").scan()
    assert len(site.answers) == 3


def secretive(site: Site) -> TokenSettings:
    return TokenSettings.model_validate({**settings(site.url).model_dump(), "token": SECRET})


def test_headers_follow_a_redirect_on_the_same_server_and_to_no_other(
    follow: Follow, site: Site, other_site: Site
) -> None:
    site.special["/rates"] = always(Answer(status=302, headers={"Location": "/moved"}))
    site.special["/moved"] = always(Answer(status=307, headers={"Location": f"{other_site.url}rates?signature=5"}))
    other_site.pages["/rates?signature=5"] = b"1"
    rates = follow(url="{outside}rates", headers={"X-Key": "{token}"}, given=secretive(site))
    assert rates.scan() == 1
    assert rates.read("rates") == b"1"
    assert site.seen_headers["X-Key"] == SECRET
    assert "X-Key" not in other_site.seen_headers
    del other_site.pages["/rates?signature=5"]
    with pytest.raises(SourceError, match="rates answered 404") as error:
        rates.scan()
    assert "signature" not in str(error.value)


def test_headers_do_not_go_to_another_server_that_an_index_names(follow: Follow, site: Site, other_site: Site) -> None:
    site.pages["/index.json"] = f'["{other_site.url}a"]'.encode()
    other_site.pages["/a"] = b"1"
    source = follow(index="index.json", headers={"X-Key": "{token}"}, given=secretive(site))
    assert source.scan() == 1
    assert site.seen_headers["X-Key"] == SECRET
    assert "X-Key" not in other_site.seen_headers


def test_redirects_in_a_circle_are_told(follow: Follow, site: Site) -> None:
    site.special["/rates"] = always(Answer(status=302, headers={"Location": "/rates"}))
    with pytest.raises(SourceError, match=r"rates led to more than 5 redirects, the last to .*rates"):
        follow(url="{outside}rates").scan()


def test_a_secret_is_shown_nowhere(ledger: PostgresLedger, site: Site) -> None:
    given = secretive(site)
    source = HttpSource("pages", url=f"http://me:{{token}}@127.0.0.1:{site.server_port}/rates?key={{token}}")
    scanner = Scanner(ledger, source, given=given)
    with pytest.raises(SourceError, match="answered 404") as error:
        scanner.scan()
    scanner.close()
    shown = f"{error.value} {source.describe(given)}"
    assert "/rates?key=***" in shown
    assert SECRET not in shown
    assert "tell" not in shown


@pytest.mark.parametrize("url", ["ftp://outside/x", "outside/x", "http:///x", "/x", "http://me:{token}/x@outside"])
def test_what_is_no_url_is_refused_when_definitions_load(url: str, site: Site) -> None:
    with pytest.raises(DefinitionError, match="source 'pages': url must begin with http:// or https://") as error:
        HttpSource("pages", url=url).open(secretive(site))
    assert SECRET not in str(error.value)


def test_a_link_that_is_none_does_not_stop_the_others(follow: Follow, site: Site) -> None:
    site.pages = {"/a": b"1", "/z": b"2", "/index.json": b'["a", "http://x:y/", "z"]'}
    source = follow(index="index.json")
    with pytest.raises(SourceError, match=r"1 resource.* the first: source 'pages': 'http://x:y/' is no link"):
        source.scan()
    assert source.keys() == ["a", "z"]


def unmatched(item: Item) -> str:
    return str(item.metadata.get(UNMATCHED))


def test_a_body_that_is_too_large_is_quarantined_and_never_read_into_memory(follow: Follow, site: Site) -> None:
    site.pages = {"/large": BIG, "/small": b"1", "/index.json": b'["large", "small"]'}
    source = follow(index="index.json", max_bytes="1 KiB")
    assert source.scan() == 2
    assert "'large' has 1048576 bytes, has more than max_bytes=1024" in unmatched(source.item("large"))
    assert source.read("small") == b"1"
    with pytest.raises(SourceError, match="/large has more than max_bytes=1024"):
        source.read("large")


def test_a_size_that_is_none_is_refused() -> None:
    with pytest.raises(DefinitionError, match="source 'pages': max_bytes 'huge' is not a size"):
        HttpSource("pages", url="http://outside", max_bytes="huge")


def test_a_body_that_comes_byte_by_byte_fails_when_the_time_is_up(follow: Follow, site: Site) -> None:
    site.special["/rates"] = always(Answer(b"x" * 100_000, pauses=0.01))
    rates = follow(url="{outside}rates")
    rates.seconds = 0.0
    with pytest.raises(SourceError, match="rates did not send all of it in time"):
        rates.scan()
    assert rates.items() == []


def test_half_a_body_is_not_taken_for_the_whole(follow: Follow, site: Site) -> None:
    site.special["/rates"] = in_turn(Answer(b"half", told=8), Answer(b"complete"))
    rates = follow(url="{outside}rates")
    with pytest.raises(SourceError, match=r"source 'pages' cannot reach .*rates: .*without sending complete"):
        rates.scan()
    assert rates.scan() == 1
    site.special["/rates"] = always(Answer(b"comp", told=8))
    with pytest.raises(SourceError, match="without sending complete"):
        rates.read("rates")


@pytest.mark.parametrize(
    ("declared", "media", "reason"),
    [
        ({}, "text/html; charset=utf-8", "answered with an HTML page, which its name does not promise"),
        ({"content_type": "text/csv"}, "text/plain", "answered with 'text/plain' instead of 'text/csv'"),
        ({"content_type": "text/csv"}, "", "answered with '' instead of 'text/csv'"),
    ],
)
def test_a_sign_in_page_is_not_taken_for_data(
    declared: dict[str, str], media: str, reason: str, follow: Follow, site: Site
) -> None:
    headers = {"Content-Type": media} if media else {}
    site.special["/rates.csv"] = in_turn(
        Answer(b"a,b", headers={"Content-Type": "text/csv"}), Answer(b"?", 200, headers)
    )
    rates = follow(url="{outside}rates.csv", **declared)
    assert rates.scan() == 1
    with pytest.raises(SourceError, match=f"rates.csv {reason}"):
        rates.scan()
    with pytest.raises(SourceError, match=f"rates.csv {reason}"):
        rates.read("rates.csv")
    assert len(rates.items()) == 1


def test_html_may_be_the_data(follow: Follow, site: Site) -> None:
    html = Answer(b"<table/>", headers={"Content-Type": "text/html"})
    site.special = {"/rates.html": always(html), "/rates": always(html), "/rates.csv": always(html)}
    assert follow(url="{outside}rates.html").scan() == 1
    assert follow(url="{outside}rates").scan() == 1
    assert follow(url="{outside}rates.csv", content_type="text/html").scan() == 1


def test_one_resource_that_cannot_be_read_does_not_stop_the_others(
    follow: Follow, site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    site.pages = {"/a": b"1", "/z": b"2", "/index.json": b'["a", "broken", "missing", "z"]'}
    site.special["/broken"] = always(Answer(status=500))
    source = follow(index="index.json")
    with (
        caplog.at_level(logging.WARNING),
        pytest.raises(SourceError, match=r"1 resource.* could not be read, the first: .*/broken answered 500"),
    ):
        source.scan()
    assert source.keys() == ["a", "z"]
    assert "/missing answered 404 Not Found, though the index names it" in caplog.text
    site.special["/broken"] = always(Answer(b"3"))
    assert source.scan() == 1


def test_a_server_that_is_gone_is_not_asked_for_every_resource_of_its_index(
    follow: Follow, site: Site, other_site: Site
) -> None:
    site.pages["/index.json"] = json.dumps([f"{other_site.url}{number}" for number in range(50)]).encode()
    other_site.special = {f"/{number}": always(Answer(b"x", told=5)) for number in range(50)}
    with pytest.raises(SourceError, match="cannot reach"):
        follow(index="index.json").scan()
    assert len(other_site.answers) == 3


def test_a_thousand_links_with_etags_are_recorded_page_by_page(follow: Follow, site: Site) -> None:
    site.pages["/index.json"] = json.dumps([{"href": str(number), "etag": "x"} for number in range(2500)]).encode()
    source = follow(index="index.json")
    assert [source.scan(pages=1), source.scan(), source.scan()] == [1000, 1500, 0]


def test_a_link_that_an_index_names_twice_is_one_thing(follow: Follow, site: Site) -> None:
    site.pages["/index.json"] = b'[{"href": "a", "etag": "1"}, {"href": "a", "etag": "2"}]'
    source = follow(index="index.json")
    assert [source.scan(), source.scan()] == [1, 0]
    assert source.item("a").version == "2"


def test_a_client_that_was_closed_opens_again(follow: Follow, site: Site) -> None:
    site.pages["/rates"] = b"1"
    rates = follow(url="{outside}rates")
    rates.scan()
    rates.client.close()
    rates.client.close()
    assert rates.read("rates") == b"1"


def test_a_resource_that_returns_after_it_was_gone_is_read_again(follow: Follow, site: Site) -> None:
    site.pages["/rates"] = b"1"
    rates = follow(url="{outside}rates")
    rates.scan()
    body = site.pages.pop("/rates")
    with pytest.raises(ItemGone, match="rates answered 404 Not Found after it was recorded"):
        rates.read("rates")
    rates.ledger.finish("nobody", None, "run", rejected=[], gone=[rates.item("rates")], now=datetime.now(UTC))
    site.pages["/rates"] = body
    assert rates.scan() == 1
