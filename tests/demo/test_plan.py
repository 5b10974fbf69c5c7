"""The plan of the play: the same each time, and with every kind of trouble in it."""

from collections import Counter
from itertools import pairwise

import pytest

from demo.data import Year, load
from demo.plan import CORRECTED_AFTER, MOMENTS, PLANES, FileDelivery, Plan, make_plan
from demo.render import airports, flight_file, flight_rows, weather_document


def files(plan: Plan, kind: str) -> list[FileDelivery]:
    return [file for file in plan.files if file.kind == kind]


def test_the_same_seed_gives_the_same_plan_and_another_seed_another_one() -> None:
    assert make_plan(1, 60) == make_plan(1, 60)
    assert make_plan(1, 60) != make_plan(2, 60)


def test_the_same_plan_gives_the_same_bytes(plan: Plan, year: Year) -> None:
    again = load(plan.days)
    assert [flight_file(year, file) for file in plan.files] == [flight_file(again, file) for file in plan.files]


def test_a_longer_play_begins_like_a_shorter_one() -> None:
    short, long = make_plan(2013, 7), make_plan(2013, 30)
    assert set(short.files) <= set(long.files)
    assert set(short.weather) <= set(long.weather)
    assert long.planes[: len(short.planes)] == short.planes


@pytest.mark.parametrize("days", [0, 366])
def test_a_play_of_no_days_or_more_than_a_year_is_refused(days: int) -> None:
    with pytest.raises(ValueError, match=f"between 1 and 365, not {days}"):
        make_plan(2013, days)


@pytest.mark.parametrize("days", [1, 3, 7, 14])
def test_exactly_one_file_is_malformed(days: int, year: Year) -> None:
    plan = make_plan(2013, days)
    (bad,) = files(plan, "malformed")
    assert bad.name == plan.malformed
    if days <= 7:
        assert not set(year.flights.columns) & set(flight_rows(year, bad).columns)


def test_a_week_has_late_split_corrected_resent_and_rewritten_files(plan: Plan) -> None:
    assert {file.kind for file in plan.files} == {"daily", "part", "correction", "resend", "rewrite", "malformed"}
    late = [file.moment // MOMENTS + 1 - file.day for file in plan.files if file.late]
    assert late
    assert all(1 <= days <= 3 for days in late)
    assert {file.part for file in plan.files} == {"all", "am", "pm", "EWR", "JFK", "LGA"}


def test_nothing_comes_after_the_end() -> None:
    for days in (1, 7, 14, 365):
        plan = make_plan(2013, days)
        last = max(each.moment for each in (*plan.files, *plan.weather, *plan.airports))
        assert max(last, *(each.commits for each in plan.planes)) < plan.moments


def test_a_correction_changes_some_values_of_some_rows_under_the_same_key(plan: Plan, year: Year) -> None:
    for correction in files(plan, "correction"):
        first = next(file for file in plan.files if file.name == correction.name)
        assert correction.moment >= first.moment + (CORRECTED_AFTER - 1) * MOMENTS
        before, after = flight_rows(year, first), flight_rows(year, correction)
        changed = [old != new for old, new in zip(before.rows(), after.rows(), strict=True)]
        assert 0 < sum(changed) < len(changed) / 10


def test_what_is_sent_twice_has_the_same_rows_as_what_it_repeats(plan: Plan, year: Year) -> None:
    (resend,), (rewrite,) = files(plan, "resend"), files(plan, "rewrite")
    newest = [file for file in plan.files if file.day == resend.day and file.moment < resend.moment][-1]
    assert resend.name != newest.name
    assert flight_file(year, resend) == flight_file(year, newest)
    first = next(file for file in plan.files if file.name == rewrite.name)
    assert flight_file(year, rewrite) == flight_file(year, first)


def test_a_weather_document_grows_and_is_corrected(plan: Plan, year: Year) -> None:
    versions = [weather_document(year, document) for document in plan.weather if document.day == 3]
    assert len(versions) == 5
    assert all(set(older.splitlines()) < set(newer.splitlines()) for older, newer in pairwise(versions[:4]))
    assert versions[4] not in versions[:4]


def test_plane_transactions_overlap_and_commit_out_of_order_without_touching_the_same_row() -> None:
    planes = make_plan(2013, 30).planes
    inserted = Counter(row for transaction in planes for row, revision in transaction.rows if revision == 0)
    assert inserted == Counter(range(PLANES))
    assert any(old.commits > young.commits for old, young in pairwise(planes))
    for transaction in planes:
        others = [other for other in planes if other.begins < transaction.begins <= other.commits]
        rows = {row for row, _ in transaction.rows}
        assert not rows & {row for other in others for row, _ in other.rows}
    revisions: dict[int, list[int]] = {}
    for transaction in planes:
        for row, revision in transaction.rows:
            revisions.setdefault(row, []).append(revision)
    assert all(each == list(range(len(each))) for each in revisions.values())
    assert any(len(each) > 1 for each in revisions.values())


def test_the_airports_file_is_replaced_by_another_one(year: Year) -> None:
    assert airports(year, 0).height == airports(year, 1).height - 1


def test_items_counts_every_version(plan: Plan) -> None:
    assert plan.items == len(plan.files) + len(plan.weather) + sum(len(each.rows) for each in plan.planes) + 2
