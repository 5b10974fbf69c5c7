"""Which keys are those of open dates."""

from datetime import UTC, datetime, timedelta

import pytest
from sensor_assets._listing.scan import KeyRange
from sensor_assets._listing.window import open_ranges
from sensor_assets._template import KeyTemplate

NOW = datetime(2013, 3, 2, 1, 30, tzinfo=UTC)
DAY = timedelta(days=1)


@pytest.mark.parametrize(
    ("template", "start"),
    [
        ("{date:%Y-%m-%d}*.csv", "2013-02-28"),
        ("landing/{date:%Y/%m/%d}/**", "landing/2013/02/28"),
        ("dt={date:%Y%m%d%H}/*", "dt=2013022801"),
        ("{date:%Y-%j}.csv", "2013-059"),
        ("{date:%Y-%m}/**", "2013-02"),
        ("{date:%Y}/**", "2013"),
    ],
)
def test_a_date_from_year_to_day_makes_one_range_to_the_end(template: str, start: str) -> None:
    assert open_ranges(KeyTemplate(template), NOW, 2 * DAY) == [KeyRange(start, None)]


def test_another_order_makes_a_range_for_each_open_date_and_tomorrow() -> None:
    assert open_ranges(KeyTemplate("in/{date:%d.%m.%Y}*.csv"), NOW, 2 * DAY) == [
        KeyRange("in/01.03.2013", "in/01.03.2014"),
        KeyRange("in/02.03.2013", "in/02.03.2014"),
        KeyRange("in/03.03.2013", "in/03.03.2014"),
        KeyRange("in/28.02.2013", "in/28.02.2014"),
    ]


def test_dates_that_differ_in_the_month_alone_make_one_range_a_month() -> None:
    ranges = open_ranges(KeyTemplate("{date:%m-%Y}/*"), NOW, 2 * DAY)
    assert ranges == [KeyRange("02-2013", "02-2014"), KeyRange("03-2013", "03-2014")]


@pytest.mark.parametrize(
    "template",
    ["*.csv", "*/{date:%Y-%m-%d}.csv", "{airport}/2013.csv", "fixed.csv", "{date:%H%M-%Y-%m-%d}.csv"],
)
def test_no_date_at_the_beginning_or_too_many_open_ones_make_no_window(template: str) -> None:
    assert open_ranges(KeyTemplate(template), NOW, 2 * DAY) is None


def test_no_template_makes_no_window() -> None:
    assert open_ranges(None, NOW, DAY) is None


def test_hourly_files_of_too_many_days_make_no_window() -> None:
    template = KeyTemplate("{date:%H-%d-%m-%Y}.csv")
    assert len(open_ranges(template, NOW, 2 * DAY) or ()) == 73
    assert open_ranges(template, NOW, 30 * DAY) is None
