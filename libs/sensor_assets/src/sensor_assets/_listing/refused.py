"""Keys that obstore refuses to show: with an empty, ``.`` or ``..`` segment, or with a control character.

Where an answer of a store holds one such key, obstore raises instead of showing any of them.
"""

import re

# What object_store, which obstore is made of, says of a key that it cannot hold.
_NAMED = (
    re.compile(r'Error parsing Path "(.*)": Encountered illegal character sequence ', re.DOTALL),
    re.compile(r'Path "(.*)" contained empty path segment', re.DOTALL),
)
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def named(message: str) -> str | None:
    """Return the full key that an error is about, None where it names none."""
    return next((match[1] for pattern in _NAMED if (match := pattern.search(message))), None)


def is_refused(key: str) -> bool:
    """Tell whether obstore refuses a key. A slash at its end it leaves out."""
    segments = key.removesuffix("/").split("/")
    return bool(_CONTROL.search(key)) or (key != "" and any(segment in ("", ".", "..") for segment in segments))


def beyond(key: str) -> str:
    """Return the least key after a refused one that is not refused: all between the two are refused as well."""
    start = 0
    for segment in key.split("/"):
        stop = start + len(segment)
        control = _CONTROL.search(segment)
        if not segment:
            return key[:start] + "0"  # which follows the slash
        if segment in (".", ".."):
            return key[:stop] + ("0" if stop < len(key) else " ")
        if control is not None:
            place = start + control.start()
            return key[:place] + (" " if key[place] < " " else "\x80")
        start = stop + 1
    raise ValueError(f"{key!r} is not refused")
