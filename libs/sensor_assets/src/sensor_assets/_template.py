"""Key templates such as ``{date:%Y-%m-%d}*.csv``: which keys belong to a source, and to which partition."""

import re
from datetime import datetime
from functools import lru_cache

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
_TOKEN = re.compile(r"\{(?P<name>[a-z_]+)(?::(?P<format>[^{}]+))?\}|(?P<glob>\*\*|\*|\?)")


class KeyTemplate:
    """Match keys and find the partition of each.

    ``{date:FORMAT}`` takes a date or time in strftime codes, ``{name}`` takes any text without a slash; at most one of
    them, and it is the partition. ``*`` and ``?`` stay within a path segment, ``**`` does not.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self.format: str | None = None
        self.has_partition = False
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
        text = found["partition"]
        if self.format is None:
            return Match(text)
        moment = _moment(text, self.format)
        return None if moment is None else Match(moment)


# The files of a day have one date; reading it costs more than everything else that is done for a key.
@lru_cache(maxsize=1024)
def _moment(text: str, form: str) -> str | None:
    """Return a date or time as ISO writes it, or None when there is no such date."""
    try:
        moment = datetime.strptime(text, form)
    except ValueError:
        return None
    return moment.date().isoformat() if moment.time() == datetime.min.time() else moment.isoformat()


class Match:
    """A key that fits; `partition` is an ISO date or time, the captured text, or None."""

    __slots__ = ("partition",)

    def __init__(self, partition: str | None) -> None:
        self.partition = partition
