"""Write docs/reference/benchmarks.md from what the benchmarks found: `python -m bench.page`."""

import ast
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from bench.collection import BENCHMARKS, result, source
from bench.report import Report, Table, shown

PAGE = Path(__file__).parents[1] / "docs" / "reference" / "benchmarks.md"

INTRODUCTION = """\
<!-- Made from bench/results by `python -m bench.page`, checked by a test; edits here are lost. -->
# Benchmarks

Each compares with what one would take instead, side by side in one run. `make bench` runs them all, one after the
other, and writes this page; `make bench BENCH="losses import_cost"` runs some. Absolute times depend on the machine,
ratios and counts hardly do.
"""

_USAGE = re.compile(r"^ {4}python -m bench\.[^\n]*\n?", re.MULTILINE)


def page() -> str:
    """Return the page as the results are now."""
    reports = {name: Report.read(result(name)) for name in BENCHMARKS if result(name).exists()}
    sections = [_section(name, report) for name, report in reports.items()]
    return "\n".join([INTRODUCTION, _bars(reports), *sections])


def _bars(reports: Mapping[str, Report]) -> str:
    rows = [
        [bar.what, bar.found(), bar.asked(), "yes" if bar.holds else "**no**", _link(BENCHMARKS[name])]
        for name, report in reports.items()
        for bar in report.bars
    ]
    return "\n".join(["## Bars", "", *_markdown(["measure", "found", "bar", "holds", "see"], rows), ""])


def _link(title: str) -> str:
    anchor = re.sub(r"[^a-z0-9 -]", "", title.lower()).replace(" ", "-")
    return f"[{title}](#{anchor})"


def _section(name: str, report: Report) -> str:
    text = ast.get_docstring(ast.parse(source(name).read_text())) or ""
    text = re.sub(r"\n{3,}", "\n\n", _USAGE.sub("", text)).strip()
    parts = [f"## {BENCHMARKS[name]}", text, f"```sh\n{report.command}\n```", f"On {report.machine}."]
    parts += [_shown(table) for table in report.tables]
    return "\n\n".join(parts) + "\n"


def _shown(table: Table) -> str:
    rows = [[shown(cell) for cell in row] for row in table.rows]
    lines = [f"### {table.title}", "", *_markdown(table.columns, rows, table.numeric())]
    return "\n".join([*lines, *(["", table.note] if table.note else [])])


def _markdown(
    columns: Sequence[str], rows: Sequence[Sequence[str]], numeric: Sequence[bool] | None = None
) -> Iterator[str]:
    """Yield the lines of a table; numbers stand to the right."""
    yield _line(columns)
    yield "|" + "|".join("---:" if number else "---" for number in numeric or [False] * len(columns)) + "|"
    yield from (_line(row) for row in rows)


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def main() -> int:
    """Write the page."""
    PAGE.write_text(page())
    return 0


if __name__ == "__main__":
    sys.exit(main())
