"""Key templates such as ``{date:%Y-%m-%d}*.csv``: which keys belong to a source, and to which partition."""

import re
from collections.abc import Sequence
from datetime import datetime

from sensor_assets.errors import DefinitionError

# https://docs.python.org/3/library/datetime.html#format-codes, the numeric ones that a key can carry.
_CODES = {
    "Y": r"\d{4}",
    "m": r"\d{2}",
    "d": r"\d{2}",
    "H": r"\d{2}",
    "M": r"\d{2}",
    "S": r"\d{2}",
    "j": r"\d{3}",
    "y": r"\d{2}",
}
# Texts whose dates are remembered: ten thousand days or hours, about one megabyte.
MOST_DATES = 10_000

# A partition of any text beside a wildcard.
_UNCLEAR = re.compile(r"\{[a-z_]+\}[*?]|[*?]\{[a-z_]+\}")
_TOKEN = re.compile(r"\{(?P<name>[a-z_]+)(?::(?P<format>[^{}]+))?\}|(?P<glob>\*\*|\*|\?)")


class KeyTemplate:
    """Match keys and find the partition of each.

    ``{date:FORMAT}`` takes a date or time in strftime codes, ``{name}`` takes any text without a slash, up to the
    character that follows; at most one of them, and it is the partition. ``*`` and ``?`` stay within a path segment,
    ``**`` does not.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self.format: str | None = None
        self.has_partition = False
        self._dates: dict[str, str | None] = {}
        first = _TOKEN.search(text)
        # What every key begins with, and whether the date is what follows.
        self.begins_with = text[: first.start()] if first else text
        self.date_leads = first is not None and first["format"] is not None
        pattern, position = "", 0
        for token in _TOKEN.finditer(text):
            pattern += re.escape(text[position : token.start()])
            position = token.end()
            pattern += self._expression(token)
        rest = text[position:]
        if "{" in rest or "}" in rest:
            raise DefinitionError(f"key template '{text}': unbalanced or unknown {{...}} in '{rest}'")
        if unclear := _UNCLEAR.search(text):
            raise DefinitionError(
                f"key template '{text}': in '{unclear[0]}' nothing tells where the partition ends; "
                "put a character between them that it does not contain, as in '{name}/*.csv'"
            )
        self._pattern = re.compile(pattern + re.escape(rest))

    def _expression(self, token: re.Match[str]) -> str:
        if glob := token["glob"]:
            return {"**": ".*", "*": "[^/]*", "?": "[^/]"}[glob]
        if self.has_partition:
            raise DefinitionError(f"key template '{self.text}': only one {{...}} may name the partition")
        self.has_partition = True
        if token["format"] is None:
            return "(?P<partition>[^/]+?)"
        self.format = str(token["format"])
        pieces = re.split(r"%(.)", self.format)
        for code in pieces[1::2]:
            if code not in _CODES:
                known = " ".join(f"%{name}" for name in _CODES)
                raise DefinitionError(f"key template '{self.text}': %{code} is not supported, use one of {known}")
        text = "".join(_CODES[piece] if index % 2 else re.escape(piece) for index, piece in enumerate(pieces))
        return f"(?P<partition>{text})"

    def match(self, key: str) -> "Match | None":
        """Return where the key belongs, or None when it does not fit the template or names no real date."""
        found = self._pattern.fullmatch(key)
        if found is None:
            return None
        if not self.has_partition:
            return Match(None)
        partition = self._partition(found["partition"])
        return None if partition is None else Match(partition)

    def match_all(self, keys: Sequence[str]) -> tuple[list[str | None], list[int]]:
        """Return the partition of each key, and the places of the keys that `match` finds no place for."""
        found = list(map(self._pattern.fullmatch, keys))
        if not self.has_partition:
            return [None] * len(found), [place for place, match in enumerate(found) if match is None]
        partitions = [None if match is None else self._partition(match[1]) for match in found]
        return partitions, [place for place, partition in enumerate(partitions) if partition is None]

    def _partition(self, text: str) -> str | None:
        if self.format is None:
            return text
        # Many keys name few dates, and parsing one takes longer than all the rest.
        if text not in self._dates:
            if len(self._dates) >= MOST_DATES:
                self._dates.clear()
            self._dates[text] = _iso(text, self.format)
        return self._dates[text]


def _iso(text: str, code: str) -> str | None:
    try:
        moment = datetime.strptime(text, code)
    except ValueError:
        return None
    # Midnight is written out where the key names an hour, so that it is not taken for the whole day.
    timed = any(part in code for part in ("%H", "%M", "%S"))
    return moment.isoformat() if timed else moment.date().isoformat()


class Match:
    """A key that fits; `partition` is an ISO date or time, the captured text, or None."""

    __slots__ = ("partition",)

    def __init__(self, partition: str | None) -> None:
        self.partition = partition
