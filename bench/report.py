"""What a benchmark found: tables of figures and the bars that they are held to, for a terminal, a file and a page."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

from bench.machine import this_command, this_machine

Cell = str | int | float | None


@dataclass(frozen=True, kw_only=True)
class Table:
    """Figures side by side; units stand in the heads of the columns."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    note: str = ""

    def text(self) -> str:
        """Return it for a terminal."""
        lines = [list(self.columns), *([shown(cell) for cell in row] for row in self.rows)]
        widths = [max(len(line[place]) for line in lines) for place in range(len(self.columns))]
        numbers = self.numeric()
        texts = [
            "  ".join(
                cell.rjust(width) if number else cell.ljust(width)
                for cell, width, number in zip(line, widths, numbers, strict=True)
            ).rstrip()
            for line in lines
        ]
        return "\n".join([f"{self.title}:", *texts, *([self.note] if self.note else [])])

    def numeric(self) -> list[bool]:
        """Tell of each column whether it holds numbers."""
        return [
            all(not isinstance(row[place], str) for row in self.rows) and bool(self.rows)
            for place in range(len(self.columns))
        ]


@dataclass(frozen=True, kw_only=True)
class Bar:
    """A figure, and the most or the least that it may be."""

    what: str
    measured: float
    unit: str = ""
    most: float | None = None
    least: float | None = None

    @property
    def holds(self) -> bool:
        """Whether it is as it should be."""
        over = self.most is not None and self.measured > self.most
        under = self.least is not None and self.measured < self.least
        return not over and not under

    def asked(self) -> str:
        """Say what it should be."""
        if self.most is not None and self.most == self.least:
            return self._with_unit(self.most)
        bounds = [("at most", self.most), ("at least", self.least)]
        return ", ".join(f"{word} {self._with_unit(bound)}" for word, bound in bounds if bound is not None)

    def found(self) -> str:
        """Say what it is."""
        return self._with_unit(self.measured)

    def _with_unit(self, figure: float) -> str:
        return f"{shown(figure)} {self.unit}".strip()


@dataclass(frozen=True, kw_only=True)
class Report:
    """What one run of a benchmark found.

    Args:
        tables: What people read.
        bars: What should hold.
        figures: What the tables were made of, for whoever wants to calculate.
        command: What was run.
        machine: Where, in one line.
    """

    tables: Sequence[Table]
    bars: Sequence[Bar] = ()
    figures: Mapping[str, Any] = field(default_factory=dict[str, Any])
    command: str = field(default_factory=this_command)
    machine: str = field(default_factory=this_machine)

    def text(self) -> str:
        """Return tables and bars for a terminal."""
        bars = [
            f"{'holds' if bar.holds else 'FAILS'}: {bar.what}: {bar.found()}, bar: {bar.asked()}" for bar in self.bars
        ]
        return "\n\n".join([*(table.text() for table in self.tables), *(["\n".join(bars)] if bars else [])])

    def deliver(self, file: Path | None) -> int:
        """Print it and write it to a file; returns the exit code, 1 when a bar does not hold."""
        print(self.text(), flush=True)
        if file is not None:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(json.dumps(asdict(self), indent=1) + "\n")
        return int(any(not bar.holds for bar in self.bars))

    @classmethod
    def read(cls, file: Path) -> Self:
        """Read what was delivered."""
        content = json.loads(file.read_text())
        tables = [Table(**table) for table in content.pop("tables")]
        return cls(tables=tables, bars=[Bar(**bar) for bar in content.pop("bars")], **content)


def shown(cell: Cell) -> str:
    """Return a figure with about three digits that count."""
    if cell is None:
        return ""
    if isinstance(cell, str):
        return cell
    if isinstance(cell, int) or cell.is_integer() or abs(cell) >= 100:  # noqa: PLR2004 - three digits
        return f"{cell:,.0f}"
    for places, least in enumerate((10, 1, 0.1, 0.01), start=1):
        if abs(cell) >= least:
            return f"{cell:.{places}f}"
    return f"{cell:.2g}"
