"""S3 in its own protocol: signatures, every key that S3 allows, and servers on bad days."""

from collections.abc import Iterator
from datetime import UTC, datetime
from email.message import Message
from typing import Any

import httpx
import pytest
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from sensor_assets import SourceError
from sensor_assets._items import UNMATCHED
from sensor_assets._listing import s3_wire, s3_xml
from sensor_assets._listing.answers import Entry, ListingError
from sensor_assets._listing.s3 import S3Lister
from sensor_assets._listing.s3_signature import signed
from sensor_assets._listing.s3_wire import Wire
from sensor_assets._sources import object_places
from sensor_assets.ledger import PostgresLedger

from .faulty_proxy import Proxy, answering, before, half, hanging_up, slowly
from .object_stores import client, lists, scanner
from .scanning import BUDGET_SECONDS

# --- every key


def test_a_key_that_s3_allows_is_listed_and_read_whatever_it_is(s3: str, ledger: PostgresLedger) -> None:
    bucket = client("s3")
    keys = [
        "plain.csv",
        "a b+c&d=e?f#g%41.csv",
        "quotes\"'`.csv",
        "<tag>&amp;.csv",
        "double//slash.csv",
        "/leading.csv",
        "dot/./segment.csv",
        "dots/../segment.csv",
        "größe/ñandú/日本/\U0001f600.csv",
        "e\u0301 decomposed.csv",
        "tab\there.csv",
        "\x01control\x7f.csv",
        "long/" + "x" * (1024 - len("landing/long/")),
    ]
    for key in keys:
        bucket.put_object(Bucket="bucket", Key=f"landing/{key}", Body=key.encode())
    source = scanner(ledger, "s3://bucket/landing")
    assert source.scan() == len(keys)
    assert source.keys() == sorted(keys)
    assert {item.key: source.client.read(item).decode() for item in source.items()} == {key: key for key in keys}
    assert source.scan() == 0


def test_a_key_that_postgres_cannot_hold_is_set_aside_and_stops_nothing(s3: str, ledger: PostgresLedger) -> None:
    bucket = client("s3")
    for key in ("a", "nul\0in it", "z"):
        bucket.put_object(Bucket="bucket", Key=f"landing/{key}", Body=b"")
    source = scanner(ledger, "s3://bucket/landing")
    assert source.scan() == 3
    assert source.scan() == 0
    assert {item.key: UNMATCHED in item.metadata for item in source.items()} == {
        "a": False,
        r"nul\x00in it": True,
        "z": False,
    }


def test_folder_markers_are_no_items_but_objects_with_such_a_name_are(s3: str, ledger: PostgresLedger) -> None:
    bucket = client("s3")
    for key, body in {"": b"", "2013/": b"", "2013/a.csv": b"", "odd/": b"with bytes"}.items():
        bucket.put_object(Bucket="bucket", Key=f"landing/{key}", Body=body)
    source = scanner(ledger, "s3://bucket/landing")
    source.scan()
    assert source.keys() == ["2013/a.csv", "odd/"]


def test_a_prefix_may_have_spaces_and_other_characters(s3: str, ledger: PostgresLedger) -> None:
    client("s3").put_object(Bucket="bucket", Key="läufe 2013/+/a.csv", Body=b"a")
    source = scanner(ledger, "s3://bucket/läufe%202013/+")
    assert source.scan() == 1
    assert source.client.read(source.item("a.csv")) == b"a"


def test_a_bucket_may_be_followed_as_a_whole(s3: str, ledger: PostgresLedger) -> None:
    client("s3").put_object(Bucket="bucket", Key="a.csv", Body=b"a")
    source = scanner(ledger, "s3://bucket")
    assert source.scan() == 1
    assert source.client.read(source.item("a.csv")) == b"a"


# --- what servers write


def listing(*lines: str, quoted: bool = False) -> list[Entry]:
    text = "".join(f"<Contents>{line}</Contents>" for line in lines)
    return list(s3_xml.parsed(text.encode("utf-8", "surrogatepass"), 0, quoted=quoted))


def test_fields_may_come_in_any_order_and_between_others() -> None:
    assert listing(
        "<Key>a</Key><LastModified>2013-01-01T00:00:00.000Z</LastModified><ETag>&quot;1&quot;</ETag><Size>7</Size>",
        "<ETag>&#34;2&#34;</ETag><Owner><ID>me</ID></Owner><Size>8</Size><LastModified>2013-01-01T01:00:00+01:00"
        "</LastModified><StorageClass>STANDARD</StorageClass><Key>b</Key>",
    ) == [
        Entry("a", '"1"', 7, datetime(2013, 1, 1, tzinfo=UTC)),
        Entry("b", '"2"', 8, datetime(2013, 1, 1, tzinfo=UTC)),
    ]


def test_without_an_etag_time_and_size_are_the_version() -> None:
    modified = "<LastModified>2013-01-01T00:00:00.5Z</LastModified>"
    assert listing(f"<Key>a</Key>{modified}<Size>7</Size>", f"<Key>b</Key>{modified}<ETag></ETag><Size>8</Size>") == [
        Entry("a", "2013-01-01T00:00:00.500000+00:00/7", 7, datetime(2013, 1, 1, 0, 0, 0, 500_000, tzinfo=UTC)),
        Entry("b", "2013-01-01T00:00:00.500000+00:00/8", 8, datetime(2013, 1, 1, 0, 0, 0, 500_000, tzinfo=UTC)),
    ]


@pytest.mark.parametrize(
    ("text", "quoted", "key"),
    [
        ("a+b%20c%2Bd%2F%25", True, "a b c+d/%"),
        ("plain", True, "plain"),
        ("a+b%20c", False, "a+b%20c"),
        ("&lt;a&gt;&amp;amp;&quot;&apos;&#39;&#x1;&#10;&unknown;", False, "<a>&amp;\"''\x01\n&unknown;"),
        ("%FF%C3%A9", True, "\udcffé"),
    ],
)
def test_keys_are_unquoted_as_the_server_quoted_them(text: str, quoted: bool, key: str) -> None:
    rest = "<LastModified>2013-01-01T00:00:00Z</LastModified><ETag>1</ETag><Size>0</Size>"
    assert [entry.key for entry in listing(f"<Key>{text}</Key>{rest}", quoted=quoted)] == [key]


def test_an_object_put_again_as_it_was_is_no_change_and_costs_one_look(s3: str, ledger: PostgresLedger) -> None:
    bucket = client("s3")
    bucket.put_object(Bucket="bucket", Key="landing/a", Body=b"same")
    source = scanner(ledger, "s3://bucket/landing")
    source.scan()
    bucket.put_object(Bucket="bucket", Key="landing/a", Body=b"same", StorageClass="STANDARD_IA")
    assert source.scan() == 0
    assert lists(source) == (1, 0)


def test_the_same_bytes_in_parts_have_another_etag_and_are_a_new_version(s3: str, ledger: PostgresLedger) -> None:
    bucket = client("s3")
    bucket.put_object(Bucket="bucket", Key="landing/a", Body=b"same")
    source = scanner(ledger, "s3://bucket/landing")
    source.scan()
    upload = bucket.create_multipart_upload(Bucket="bucket", Key="landing/a")["UploadId"]
    named = {"Bucket": "bucket", "Key": "landing/a", "UploadId": upload}
    part = bucket.upload_part(**named, PartNumber=1, Body=b"same")
    assert source.scan() == 0  # an upload that is not complete shows nothing
    parts = {"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}
    bucket.complete_multipart_upload(**named, MultipartUpload=parts)
    assert source.scan() == 1
    assert source.client.read(source.item("a")) == b"same"


# --- signatures


@pytest.mark.parametrize("token", [None, "a/session+token=="])
@pytest.mark.parametrize(
    ("path", "query", "headers"),
    [
        ("/bucket", "encoding-type=url&list-type=2&max-keys=1000&prefix=a%2F&start-after=a%2F%C3%A9%20%2B", {}),
        ("/bucket/a//b/../c%20d%2B%01.csv", "", {"If-Match": '"9dd4e461268c8034f5c8564e155c67a6"'}),
        ("/", "versions=", {}),
        ("/key", "versionId=null", {"If-Unmodified-Since": "Tue, 01 Jan 2013  00:00:00 GMT"}),
    ],
)
def test_a_request_is_signed_as_botocore_signs_it(
    path: str, query: str, headers: dict[str, str], token: str | None
) -> None:
    host = "bucket.s3.eu-west-1.amazonaws.com"
    request = AWSRequest("GET", f"https://{host}{path}" + (f"?{query}" if query else ""), headers=headers)
    S3SigV4Auth(Credentials("key", "secret", token), "s3", "eu-west-1").add_auth(request)
    theirs: dict[str, str] = dict(request.headers.items())
    ours = signed(
        host,
        path,
        query,
        headers,
        access_key="key",
        secret_key="secret",
        token=token,
        region="eu-west-1",
        now=datetime.strptime(theirs["X-Amz-Date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC),
    )
    assert ours == theirs


def test_a_server_that_checks_signatures_accepts_ours(versity: str, ledger: PostgresLedger) -> None:
    client("s3").put_object(Bucket="bucket", Key="landing/a b+c.csv", Body=b"a")
    source = scanner(ledger, "s3://bucket/landing")
    assert source.scan() == 1
    assert source.client.read(source.item("a b+c.csv")) == b"a"


def test_a_wrong_key_is_told_as_the_server_tells_it(
    versity: str, monkeypatch: pytest.MonkeyPatch, ledger: PostgresLedger
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    with pytest.raises(SourceError, match=r"s3://bucket/landing: SignatureDoesNotMatch: .*may list and read it"):
        scanner(ledger, "s3://bucket/landing").scan()


def test_without_credentials_it_is_said_how_to_give_some(
    s3: str, monkeypatch: pytest.MonkeyPatch, ledger: PostgresLedger
) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    with pytest.raises(SourceError, match="no AWS credentials were found: give the pod a role"):
        scanner(ledger, "s3://bucket/landing").scan()


# --- where the bucket is


@pytest.mark.parametrize(
    ("environment", "bucket", "base"),
    [
        ({"AWS_REGION": "eu-west-1"}, "landing", "https://landing.s3.eu-west-1.amazonaws.com"),
        ({"AWS_REGION": "eu-west-1"}, "land.ing", "https://s3.eu-west-1.amazonaws.com/land.ing"),
        ({"AWS_DEFAULT_REGION": "cn-north-1"}, "landing", "https://landing.s3.cn-north-1.amazonaws.com.cn"),
        ({}, "landing", "https://landing.s3.us-east-1.amazonaws.com"),
        ({"AWS_ENDPOINT_URL": "https://minio:9000/"}, "landing", "https://minio:9000/landing"),
        (
            {"AWS_ENDPOINT_URL": "https://minio", "AWS_VIRTUAL_HOSTED_STYLE_REQUEST": "true"},
            "landing",
            "https://landing.minio",
        ),
        ({"AWS_ENDPOINT_URL": "https://all", "AWS_ENDPOINT_URL_S3": "https://s3"}, "landing", "https://s3/landing"),
    ],
)
def test_the_environment_says_where_the_bucket_is(
    environment: dict[str, str], bucket: str, base: str, s3: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ENDPOINT_URL", "AWS_ALLOW_HTTP", "AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert Wire(bucket).base == base


@pytest.mark.parametrize(
    ("endpoint", "message"),
    [("http://minio:9000", "is not encrypted; set AWS_ALLOW_HTTP=true"), ("minio:9000", "is not the URL of a server")],
)
def test_an_endpoint_that_cannot_be_meant_is_refused(
    endpoint: str, message: str, s3: str, monkeypatch: pytest.MonkeyPatch, ledger: PostgresLedger
) -> None:
    monkeypatch.delenv("AWS_ALLOW_HTTP")
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    with pytest.raises(SourceError, match=message):
        scanner(ledger, "s3://bucket/landing").scan()


# --- bad days


@pytest.fixture
def proxy(s3: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    with before(s3) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
        monkeypatch.setattr(s3_wire, "PAUSE_SECONDS", 0)
        yield proxy


def put(url: str, *keys: str) -> None:
    for key in keys:
        httpx.put(f"{url}/bucket/landing/{key}", content=b"").raise_for_status()


BUSY = b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"


def test_a_server_that_is_busy_once_is_asked_again(proxy: Proxy, s3: str, ledger: PostgresLedger) -> None:
    put(s3, "a")
    proxy.faults = [answering(503, BUSY)]
    assert scanner(ledger, "s3://bucket/landing").scan() == 1


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (answering(503, BUSY), r"SlowDown: Please reduce your request rate\. Check"),
        (answering(500, b"oh"), r"HTTP status 500\. Check"),
        (answering(200, b"<html>Please log in</html>"), r"not a listing, or not all of one: 26 bytes .*<html>"),
        (answering(200, b""), r"not a listing, or not all of one: 0 bytes"),
        (half, r"not a listing, or not all of one: \d+ bytes that begin with .*ListBucketResult"),
        (hanging_up, r"does not answer: "),
        (answering(200, b"x" * (s3_wire.MOST_BYTES + 1)), r"more than 16,777,216 bytes"),
        (
            answering(301, b"<Error><Code>PermanentRedirect</Code><Message>Go</Message></Error>"),
            "PermanentRedirect: Go",
        ),
    ],
    ids=["503", "500", "a login page", "nothing", "half a page", "hangs up", "endless", "redirect"],
)
def test_what_a_server_answers_on_a_bad_day_is_one_error_and_loses_nothing(
    fault: Any, message: str, proxy: Proxy, s3: str, ledger: PostgresLedger
) -> None:
    put(s3, "a", "b")
    source = scanner(ledger, "s3://bucket/landing")
    assert source.scan() == 2
    put(s3, "c")
    proxy.faults = [fault, fault]
    with pytest.raises(
        SourceError, match=rf"(?s)source 'objects' cannot read s3://bucket/landing: .*{message}"
    ) as error:
        source.scan()
    assert "\n" not in str(error.value)
    proxy.faults = []
    assert source.scan() == 1
    assert source.keys() == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (answering(503, BUSY), "SlowDown: Please reduce your request rate"),
        (half, ""),
        (hanging_up, ""),
    ],
    ids=["503", "half a page", "hangs up"],
)
def test_bad_days_are_told_and_lose_nothing_through_obstore_as_well(
    fault: Any, message: str, proxy: Proxy, s3: str, monkeypatch: pytest.MonkeyPatch, ledger: PostgresLedger
) -> None:
    monkeypatch.setattr(object_places, "speaks_s3", lambda _: False)
    put(s3, "a", "b")
    source = scanner(ledger, "s3://bucket/landing")
    assert source.scan() == 2
    put(s3, "c")
    proxy.faults = [fault] * 4
    with pytest.raises(SourceError, match=rf"source 'objects' cannot read s3://bucket/landing: .*{message}") as error:
        source.scan()
    assert "\n" not in str(error.value)
    proxy.faults = []
    assert source.scan() == 1
    assert source.keys() == ["a", "b", "c"]


def test_a_page_that_obstore_takes_for_an_empty_listing_loses_and_doubles_nothing(
    proxy: Proxy, s3: str, monkeypatch: pytest.MonkeyPatch, ledger: PostgresLedger
) -> None:
    monkeypatch.setattr(object_places, "speaks_s3", lambda _: False)
    put(s3, "a", "b")
    source = scanner(ledger, "s3://bucket/landing")
    assert source.scan() == 2
    put(s3, "c")
    proxy.faults = [answering(200, b"<html>Please log in</html>")]
    assert source.scan() == 0
    assert source.scan() == 1
    assert source.scan() == 0


def test_another_time_for_the_same_content_is_no_change(proxy: Proxy, s3: str, ledger: PostgresLedger) -> None:
    put(s3, "a", "b")
    source = scanner(ledger, "s3://bucket/landing")
    assert source.scan() == 2

    def a_century_later(status: int, body: bytes) -> tuple[int, bytes]:
        return status, body.replace(b"<LastModified>20", b"<LastModified>21")

    proxy.faults = [a_century_later] * 2
    assert source.scan() == 0
    assert source.scan() == 0


def test_no_answer_is_waited_for_longer_than_the_scan_may_take(proxy: Proxy, s3: str, ledger: PostgresLedger) -> None:
    put(s3, "a")
    source = scanner(ledger, "s3://bucket/landing")
    source.seconds = s3_wire.LEAST_SECONDS + s3_wire.RESERVE
    proxy.faults = [slowly(s3_wire.LEAST_SECONDS + 1.5)]
    with pytest.raises(SourceError, match=r"does not answer: timed out\. Check"):
        source.scan()
    source.seconds = BUDGET_SECONDS
    assert source.scan() == 1


def test_an_answer_shorter_than_announced_is_told(proxy: Proxy, s3: str, ledger: PostgresLedger) -> None:
    put(s3, "a")
    proxy.cut = 10
    with pytest.raises(SourceError, match="broke off: 10 of its bytes are missing"):
        scanner(ledger, "s3://bucket/landing").scan()


def test_a_server_slower_than_it_may_be_is_given_up(
    proxy: Proxy, s3: str, monkeypatch: pytest.MonkeyPatch, ledger: PostgresLedger
) -> None:
    monkeypatch.setattr(s3_wire, "READ_SECONDS", 0.3)
    proxy.faults = [slowly(1)]
    with pytest.raises(SourceError, match=r"does not answer: timed out\. Check"):
        scanner(ledger, "s3://bucket/landing").scan()


def test_the_region_of_a_bucket_elsewhere_is_named() -> None:
    headers = Message()
    headers["x-amz-bucket-region"] = "eu-west-1"
    body = b"<Error><Code>PermanentRedirect</Code><Message>Use another endpoint.</Message></Error>"
    assert s3_wire.Answer(301, headers, body).reason == (
        "PermanentRedirect: Use another endpoint; the bucket is in region eu-west-1, set AWS_REGION"
    )


def test_what_was_listed_before_a_server_failed_is_recorded_and_the_next_scan_goes_on_there(
    proxy: Proxy, s3: str, monkeypatch: pytest.MonkeyPatch, ledger: PostgresLedger
) -> None:
    monkeypatch.setattr(S3Lister, "page_keys", 2)
    put(s3, *"abcdef")
    source = scanner(ledger, "s3://bucket/landing")

    def fail_at_the_third(status: int, body: bytes) -> tuple[int, bytes]:
        return (403, BUSY) if b"<Key>landing/e</Key>" in body else (status, body)

    proxy.faults = [fail_at_the_third] * 10
    with pytest.raises(SourceError, match="SlowDown"):
        source.scan()
    assert source.keys() == ["a", "b", "c", "d"]
    proxy.faults = []
    proxy.targets.clear()
    assert source.scan() == 2
    assert "start-after=landing%2Fd" in proxy.targets[0]


def test_keys_out_of_order_are_refused(proxy: Proxy, s3: str, ledger: PostgresLedger) -> None:
    put(s3, "a", "b")
    proxy.faults = [
        lambda status, body: (status, body.replace(b"landing/a<", b"landing/c<")),
    ]
    with pytest.raises(SourceError, match="does not list its keys in the order of their UTF-8 bytes"):
        scanner(ledger, "s3://bucket/landing").scan()


def test_an_empty_answer_that_says_more_follow_is_refused_instead_of_asked_for_ever(
    proxy: Proxy, s3: str, ledger: PostgresLedger
) -> None:
    empty = b"<ListBucketResult><IsTruncated>true</IsTruncated></ListBucketResult>"
    proxy.faults = [answering(200, empty)]
    with pytest.raises(SourceError, match="no keys, and that more follow"):
        scanner(ledger, "s3://bucket/landing").scan()


def test_the_calls_that_a_lister_counts_are_those_that_the_server_gets(
    proxy: Proxy, s3: str, ledger: PostgresLedger
) -> None:
    put(s3, "a", "b")
    source = scanner(ledger, "s3://bucket/landing")
    asked, _ = lists(source)
    assert asked == len(proxy.targets) == 1


def test_a_connection_that_the_server_closed_meanwhile_is_replaced(
    proxy: Proxy, s3: str, ledger: PostgresLedger
) -> None:
    put(s3, "a")
    source = scanner(ledger, "s3://bucket/landing")
    source.scan()
    client: Any = source.client
    for connection in client.place._wire._idle:
        connection.sock.shutdown(2)
    assert source.scan() == 0


def test_a_source_that_is_closed_leaves_no_connection_behind(proxy: Proxy, s3: str, ledger: PostgresLedger) -> None:
    put(s3, "a")
    source = scanner(ledger, "s3://bucket/landing")
    source.scan()
    client: Any = source.client
    [connection] = client.place._wire._idle
    source.close()
    assert connection.sock is None
    assert not client.place._wire._idle


def test_listing_errors_are_no_tracebacks_for_a_reader() -> None:
    with pytest.raises(ListingError, match="'x' in AWS_ENDPOINT_URL is not the URL of a server"):
        Wire("bucket").base_url("x")
