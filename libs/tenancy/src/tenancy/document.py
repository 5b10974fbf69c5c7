"""A YAML file as plain values that remember their lines, and what is wrong with it."""

import json
import re
from dataclasses import dataclass, field
from typing import TypeAlias, cast

Key: TypeAlias = str | int
"""One step into a document: a key of a mapping or an index of a list."""

LONGEST_SHOWN = 60  # characters of a key or a value in a message
MOST_PROBLEMS = 50  # a file that is wrong everywhere is better understood from its first problems

_PLAIN_WORDS = re.compile(r"[A-Za-z0-9_.*@/+: -]+")


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong in a file, as one line of text that starts with the place."""

    file: str
    line: int  # counted from 1; 0 when the whole file is meant
    path: tuple[Key, ...]
    message: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        if not self.path:
            return f"{place}: {self.message}"
        return f"{place}: {'.'.join(shown(step) for step in self.path)}: {self.message}"


class InvalidFileError(ValueError):
    """A file cannot be used; `problems` holds every reason, in the order of the lines."""

    def __init__(self, problems: list[Problem]) -> None:
        ordered = sorted(dict.fromkeys(problems), key=lambda problem: (problem.file, problem.line))
        self.problems: tuple[Problem, ...] = tuple(ordered[:MOST_PROBLEMS])
        lines = [str(problem) for problem in self.problems]
        if len(ordered) > MOST_PROBLEMS:
            lines.append(f"{ordered[0].file}: and {len(ordered) - MOST_PROBLEMS} problems more")
        super().__init__("\n".join(lines))


@dataclass
class Document:
    """The values of a YAML file, the line of each of them, and what was wrong with the YAML itself."""

    file: str
    value: object = None
    lines: dict[tuple[Key, ...], int] = field(default_factory=dict[tuple[Key, ...], int])
    problems: list[Problem] = field(default_factory=list[Problem])

    def problem(self, path: tuple[Key, ...], message: str) -> Problem:
        """Return a problem at a path; one that is not in the file gets the line of its nearest parent."""
        known = path
        while known and known not in self.lines:
            known = known[:-1]
        return Problem(self.file, self.lines.get(known, 0), path, message)


def shown(key: object) -> str:
    """Return a value for a message: cut to one short line, in quotes when it holds odd characters."""
    text = str(key)
    text = text if len(text) <= LONGEST_SHOWN else f"{text[: LONGEST_SHOWN - 3]}..."
    plain = _PLAIN_WORDS.fullmatch(text) and text == text.strip()
    return text if plain else json.dumps(text, ensure_ascii=not text.isprintable())


def mapping(value: object) -> dict[str, object]:
    """Return the value if it is a mapping, else an empty one: for checks that go on beside other errors."""
    return cast("dict[str, object]", value) if isinstance(value, dict) else {}


def sequence(value: object) -> list[object]:
    """Return the value if it is a list, else an empty one."""
    return cast("list[object]", value) if isinstance(value, list) else []
