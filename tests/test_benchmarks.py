"""The benchmarks' page says what was measured, of every benchmark there is."""

from pathlib import Path

import pytest

from bench import page
from bench.collection import BENCHMARKS, result
from bench.report import Bar, Report, Table, shown

BENCH = Path(__file__).parents[1] / "bench"


def test_the_page_is_what_the_results_say() -> None:
    assert page.PAGE.read_text() == page.page(), "run: python -m bench.page"


def test_every_benchmark_is_in_the_collection() -> None:
    delivering = {file.stem for file in BENCH.glob("*.py") if "deliver(options.json)" in file.read_text()}
    assert delivering == set(BENCHMARKS)


@pytest.mark.parametrize("benchmark", BENCHMARKS)
def test_every_benchmark_has_a_section_with_its_command_and_figures(benchmark: str) -> None:
    report = Report.read(result(benchmark))
    section = page.PAGE.read_text().partition(f"\n## {BENCHMARKS[benchmark]}\n")[2].partition("\n## ")[0]
    assert f"\n{report.command}\n" in section
    assert report.machine in section
    for table in report.tables:
        assert f"\n### {table.title}\n" in section


def test_what_is_delivered_is_read_back_and_a_missed_bar_is_an_exit_code(tmp_path: Path) -> None:
    table = Table(title="Times", columns=["what", "seconds"], rows=[["one", 1.5], ["other", None]])
    for measured, exit_code in ((2.0, 0), (3.5, 1)):
        report = Report(tables=[table], bars=[Bar(what="time", measured=measured, unit="s", most=3)], figures={"a": 1})
        assert report.deliver(tmp_path / "results" / "x.json") == exit_code
        assert Report.read(tmp_path / "results" / "x.json") == report


@pytest.mark.parametrize(
    ("figure", "text"),
    [(None, ""), (0, "0"), (0.0, "0"), (12345, "12,345"), (12345.6, "12,346"), (12.34, "12.3"), (1.234, "1.23")],
)
def test_figures_are_shown_with_the_digits_that_count(figure: float | None, text: str) -> None:
    assert shown(figure) == text
