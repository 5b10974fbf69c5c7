"""Versioned buckets: every version is an item of its own, read as exactly that version."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sensor_assets import Batch, Item, ItemGone, ObjectSource, sensor_asset
from sensor_assets._listing.s3_versions import VersionsLister
from sensor_assets.ledger import PostgresLedger
from sensor_assets.ledger._operations import Operations
from sensor_assets.ledger._quarantine import release
from sensor_assets.ledger._selection import Selection
from sensor_assets.ledger._version import decode

from .location import SOON, Location, ephemeral
from .object_stores import client, lists, scanner
from .scanning import Scanner


@pytest.fixture(params=["s3", "versity"])
def bucket(request: pytest.FixtureRequest) -> Any:
    """A versioned bucket."""
    request.getfixturevalue(request.param)
    s3 = client("s3")
    s3.put_bucket_versioning(Bucket="bucket", VersioningConfiguration={"Status": "Enabled"})
    return s3


def put(bucket: Any, key: str, body: bytes) -> str:
    return bucket.put_object(Bucket="bucket", Key=f"landing/{key}", Body=body).get("VersionId", "null")


def followed(ledger: PostgresLedger) -> Scanner:
    return scanner(ledger, "s3://bucket/landing", versions=True)


def arrivals(source: Scanner) -> list[tuple[str, str]]:
    """Return key and version of everything in the log, in order of arrival."""
    with source.ledger.transaction() as connection:
        rows = connection.execute("select key, version from item order by arrival").fetchall()
    return [(row["key"], decode(row["version"])) for row in rows]


def contents(source: Scanner) -> list[bytes]:
    return [source.client.read(Item(key=key, version=version, source="objects")) for key, version in arrivals(source)]


def test_every_version_arrives_oldest_first_and_is_read_as_it_was(bucket: Any, ledger: PostgresLedger) -> None:
    versions = [put(bucket, "a", body) for body in (b"1", b"2", b"3")]
    source = followed(ledger)
    assert source.scan() == 3
    assert arrivals(source) == [("a", version) for version in versions]
    assert contents(source) == [b"1", b"2", b"3"]
    assert source.scan() == 0
    put(bucket, "a", b"4")
    put(bucket, "a", b"5")
    assert source.scan() == 2
    assert contents(source)[3:] == [b"4", b"5"]


def test_a_delete_marker_is_no_item_and_what_comes_after_it_is(bucket: Any, ledger: PostgresLedger) -> None:
    put(bucket, "a", b"1")
    put(bucket, "b", b"2")
    bucket.delete_object(Bucket="bucket", Key="landing/a")
    source = followed(ledger)
    assert source.scan() == 2
    assert sorted(contents(source)) == [b"1", b"2"]
    put(bucket, "a", b"3")
    assert source.scan() == 1
    bucket.delete_object(Bucket="bucket", Key="landing/b")
    assert source.scan() == 0


def test_removing_the_newest_version_for_good_brings_no_older_one_back(bucket: Any, ledger: PostgresLedger) -> None:
    put(bucket, "a", b"1")
    newest = put(bucket, "a", b"2")
    source = followed(ledger)
    assert source.scan() == 2
    bucket.delete_object(Bucket="bucket", Key="landing/a", VersionId=newest)
    assert source.scan() == 0
    with pytest.raises(ItemGone):
        contents(source)


def test_what_was_there_before_versions_were_is_read_as_long_as_it_is_the_same(s3: str, ledger: PostgresLedger) -> None:
    bucket = client("s3")
    bucket.put_object(Bucket="bucket", Key="landing/a", Body=b"0")
    bucket.put_bucket_versioning(Bucket="bucket", VersioningConfiguration={"Status": "Enabled"})
    put(bucket, "a", b"1")
    source = followed(ledger)
    assert source.scan() == 2
    assert arrivals(source)[0][1].startswith('null:"')
    assert contents(source) == [b"0", b"1"]


def test_a_key_with_more_versions_than_a_page_is_listed_whole(
    bucket: Any, ledger: PostgresLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sensor_assets._listing.s3_versions.MOST_KEYS", 3)
    monkeypatch.setattr(VersionsLister, "page_keys", 2)
    put(bucket, "a", b"first")
    for number in range(7):
        put(bucket, "b", b"%d" % number)
    put(bucket, "c", b"last")
    source = followed(ledger)
    assert source.scan() == 9
    assert contents(source) == [b"first", *(b"%d" % number for number in range(7)), b"last"]
    asked, new = lists(source)
    assert new == 0
    assert lists(source) == (asked, 0)
    put(bucket, "b", b"7")
    put(bucket, "a", b"second")
    assert source.scan() == 2
    assert source.scan() == 0


def test_versions_of_any_key_are_followed(s3: str, ledger: PostgresLedger) -> None:
    bucket = client("s3")
    bucket.put_bucket_versioning(Bucket="bucket", VersioningConfiguration={"Status": "Enabled"})
    keys = ["a b+c.csv", "double//slash", "dot/./x", "quotes\"'&<>", "größe", "nul\0in it", "tab\there", "x" * 1000]
    for key in keys:
        put(bucket, key, b"1")
        put(bucket, key, b"2")
    source = followed(ledger)
    assert source.scan() == 2 * len(keys)
    assert source.scan() == 0
    put(bucket, "double//slash", b"3")
    assert source.scan() == 1
    key, version = arrivals(source)[-1]
    assert source.client.read(Item(key=key, version=version, source="objects")) == b"3"


def test_a_batch_has_the_older_versions_too(bucket: Any, ledger: PostgresLedger) -> None:
    files = ObjectSource("files", url="s3://bucket/landing", versions=True, every=SOON)
    seen: list[bytes] = []

    @sensor_asset(files)
    def loaded(batch: Batch) -> None:
        seen.extend(item.read() for item in batch.items)

    with ephemeral() as instance:
        location = Location(ledger, [loaded], instance)
        for body in (b"1", b"2", b"3"):
            put(bucket, "a", body)
        [request] = location.evaluate().run_requests
        put(bucket, "a", b"4")
        location.evaluate()
        location.run(request)
        location.work()
    assert seen == [b"1", b"2", b"3", b"4"]


def test_an_older_version_in_quarantine_is_shown_and_can_be_released(bucket: Any, ledger: PostgresLedger) -> None:
    files = ObjectSource("files", url="s3://bucket/landing", versions=True, every=SOON)
    seen: list[bytes] = []
    bad = [b"2"]

    @sensor_asset(files)
    def loaded(batch: Batch) -> None:
        for item in batch.items:
            if (body := item.read()) in bad:
                batch.reject(item, "bad")
            else:
                seen.append(body)

    with ephemeral() as instance:
        location = Location(ledger, [loaded], instance)
        for body in (b"1", b"2", b"3"):
            put(bucket, "a", body)
        location.work_off()
        assert (location.status()["loaded"]["done"], location.status()["loaded"]["quarantined"]) == (2, 1)
        bad.clear()
        [row] = release(Operations(ledger, now=datetime.now(UTC)), Selection()).decided
        assert row["key"] == "a"
        location.work_off()
    assert seen == [b"1", b"3", b"2"]
    assert location.status()["loaded"]["done"] == 3


def test_pruning_brings_no_old_version_back(bucket: Any, ledger: PostgresLedger) -> None:
    files = ObjectSource("files", url="s3://bucket/landing", versions=True, every=SOON)
    seen: list[bytes] = []

    @sensor_asset(files)
    def loaded(batch: Batch) -> None:
        seen.extend(item.read() for item in batch.items)

    with ephemeral() as instance:
        location = Location(ledger, [loaded], instance)
        for body in (b"1", b"2", b"3"):
            put(bucket, "a", body)
            location.work_off()
        soon = datetime.now(UTC) + timedelta(seconds=1)
        pruned = Operations(ledger, now=soon).prune(soon)
        assert (pruned.batches, pruned.items) == (3, 0)
        put(bucket, "b", b"4")
        location.work_off()
    assert seen == [b"1", b"2", b"3", b"4"]


def test_a_version_whose_key_fitted_no_template_is_processed_when_the_template_changes(
    bucket: Any, ledger: PostgresLedger
) -> None:
    seen: list[bytes] = []

    def location_with(key: str) -> Location:
        files = ObjectSource("files", url="s3://bucket/landing", key=key, versions=True, every=SOON)

        @sensor_asset(files)
        def loaded(batch: Batch) -> None:
            seen.extend(item.read() for item in batch.items)

        return Location(ledger, [loaded], instance)

    with ephemeral() as instance:
        before = location_with("*.csv")
        for body in (b"1", b"2"):
            put(bucket, "a.txt", body)
        before.work_off()
        after = location_with("*.txt")
        after.cursors = before.cursors
        assert after.work_off() == 0, "the listing has not changed"
        assert len(release(Operations(ledger, now=datetime.now(UTC)), Selection()).looked_at) == 2
        after.work_off()
        assert seen == [b"1", b"2"]
        assert after.status()["loaded"]["quarantined"] == 0
        assert not release(Operations(ledger, now=datetime.now(UTC)), Selection()).looked_at
