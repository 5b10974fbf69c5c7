"""Read a YAML file, and refuse what the readers of YAML disagree about.

Helm, Terraform and Python all read the same files. So only the part of YAML is taken that each of them reads alike:
one document, text keys, no anchors, no tags, and no plain word that is text for one reader and a boolean, a date or
another number for the next (https://yaml.org/spec/1.2.2/ext/changes/). Everything else asks for quotes.
"""

import re
import stat
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import cast

import yaml
from yaml.reader import ReaderError
from yaml.resolver import Resolver

from tenancy.document import Document, InvalidFileError, Key, Problem, shown

LARGEST_FILE = 256 * 1024  # bytes; room for some 400 teams
DEEPEST = 16  # levels; the deepest key of any of our files is the sixth


def read(path: Path) -> Document:
    """Read and parse a file; raises InvalidFileError with one problem when it is no readable YAML at all."""
    name = str(path)
    try:
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode):  # reading a pipe would wait for ever
            raise _refused(name, 0, "is a directory, not a file" if stat.S_ISDIR(mode) else "is not a regular file")
        with path.open("rb") as stream:
            data = stream.read(LARGEST_FILE + 1)
    except FileNotFoundError:
        raise _refused(name, 0, "no such file; run this at the root of the repository") from None
    except OSError as error:
        raise _refused(name, 0, f"cannot be read: {error.strerror}") from None
    if len(data) > LARGEST_FILE:
        raise _refused(name, 0, f"is larger than {LARGEST_FILE // 1024} KiB")
    try:
        return parse(data.decode("utf-8"), name)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise _refused(name, line, f"is not UTF-8 (byte 0x{data[error.start]:02x}); save it as UTF-8") from None


def parse(text: str, file: str) -> Document:
    """Parse YAML text. Raises InvalidFileError when there is no document; smaller faults are left in `problems`."""
    document = Document(file)
    try:
        events = yaml.parse(text, Loader=yaml.SafeLoader)
        document.value = _Builder(document, events).document()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 0
        reason = " ".join(str(error.problem or error.context).split())
        if "'\\t'" in reason:
            reason = "a tab; indent with spaces"
        raise _refused(file, line, f"is not valid YAML: {reason}") from None
    except ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise _refused(file, line, f"is not valid YAML: character {error.character!r} is not allowed") from None
    except InvalidFileError:
        raise
    except (ValueError, OverflowError) as error:
        raise _refused(file, 0, f"is not valid YAML: {error}") from None  # PyYAML on an escape like "\UFFFFFFFF"
    return document


class _Builder:
    """Builds values from the parser's events, so that a bomb is refused before anything is nested or expanded."""

    def __init__(self, document: Document, events: Iterator[yaml.Event]) -> None:
        self.out = document
        self.events = events

    def document(self) -> object:
        value: object = None
        documents = 0
        for event in self.events:
            if isinstance(event, yaml.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    raise _refused(self.out.file, _line(event), "a second document begins; keep only one")
                value = self.value(next(self.events), ())
        if documents == 0 or value is None:
            raise _refused(self.out.file, 0, "is empty")
        return value

    def value(self, event: yaml.Event, path: tuple[Key, ...]) -> object:
        self.out.lines.setdefault(path, _line(event))
        self.refuse(event, path)
        if isinstance(event, yaml.ScalarEvent):
            return self.scalar(event, path)
        if len(path) >= DEEPEST:
            raise _refused(self.out.file, _line(event), f"is nested more than {DEEPEST} levels deep")
        if isinstance(event, yaml.SequenceStartEvent):
            return self.sequence(path)
        return self.mapping(path)

    def sequence(self, path: tuple[Key, ...]) -> list[object]:
        values: list[object] = []
        while not isinstance(event := next(self.events), yaml.SequenceEndEvent):
            values.append(self.value(event, (*path, len(values))))
        return values

    def mapping(self, path: tuple[Key, ...]) -> dict[str, object]:
        values: dict[str, object] = {}
        while not isinstance(event := next(self.events), yaml.MappingEndEvent):
            if not isinstance(event, yaml.ScalarEvent):
                self.refuse(event, path)
                raise _refused(self.out.file, _line(event), "a list or a mapping cannot be a key")
            self.refuse(event, path)
            here = (*path, event.value)
            if event.value in values:
                first = self.out.lines[here]
                self.out.problems.append(Problem(self.out.file, _line(event), here, f"also on line {first}; keep one"))
                self.value(next(self.events), here)  # read, and left out
                continue
            self.out.lines.setdefault(here, _line(event))
            if not isinstance(self.scalar(event, here), str):
                self.doubt(here, event)
            values[event.value] = self.value(next(self.events), here)
        return values

    def scalar(self, event: yaml.ScalarEvent, path: tuple[Key, ...]) -> object:
        text = event.value
        if event.style:
            return text
        for pattern, convert in _PLAIN.items():
            if pattern.fullmatch(text):
                return convert(text)
        if _AMBIGUOUS.fullmatch(text) or _yaml_1_1_tag(text) != _TEXT:
            self.doubt(path, event)
        return text

    def doubt(self, path: tuple[Key, ...], event: yaml.ScalarEvent) -> None:
        message = f"{shown(event.value)} is not text for every reader of YAML; put it in quotes"
        self.out.problems.append(Problem(self.out.file, _line(event), path, message))

    def refuse(self, event: yaml.Event, path: tuple[Key, ...]) -> None:
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise _refused(self.out.file, _line(event), "anchors and aliases are not allowed; write the value out")
        if getattr(event, "tag", None):
            self.out.problems.append(Problem(self.out.file, _line(event), path, "tags (!) are not allowed"))


_YAML_1_1 = Resolver()
_TEXT = "tag:yaml.org,2002:str"
_PLAIN: Mapping[re.Pattern[str], Callable[[str], object]] = {  # what YAML 1.1, 1.2 and JSON read alike
    re.compile(r"null|~|"): lambda _: None,
    re.compile(r"true|false"): lambda text: text == "true",
    re.compile(r"0|-?[1-9][0-9]{0,17}"): int,
    re.compile(r"-?(0|[1-9][0-9]{0,17})\.[0-9]{1,17}"): float,
}
# Text for PyYAML, but a boolean or a number for other readers:
_AMBIGUOUS = re.compile(r"[yYnN]|0o[0-7]+|[-+]?(\.?[0-9]+|[0-9]+\.[0-9]*)([eE][-+]?[0-9]+)?")


def _yaml_1_1_tag(text: str) -> str:
    return cast("str", _YAML_1_1.resolve(yaml.ScalarNode, text, (True, False)))  # pyright: ignore[reportUnknownMemberType]


def _line(event: yaml.Event) -> int:
    mark = cast("yaml.Mark | None", getattr(event, "start_mark", None))
    return mark.line + 1 if mark else 0


def _refused(file: str, line: int, message: str) -> InvalidFileError:
    return InvalidFileError([Problem(file, line, (), message)])
