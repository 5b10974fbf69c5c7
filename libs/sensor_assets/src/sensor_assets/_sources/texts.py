"""Values of database columns as texts, the form in which keys and versions are recorded, and back."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any
from uuid import UUID

_READ: dict[type, Any] = {
    str: str,
    int: int,
    float: float,
    Decimal: Decimal,
    UUID: UUID,
    bytes: bytes.fromhex,
    datetime: datetime.fromisoformat,
    date: date.fromisoformat,
    time: time.fromisoformat,
    bool: {"True": True, "False": False}.__getitem__,
}


def write(value: Any) -> str:
    """Write a value such that `read` gives it back."""
    if type(value) is str:
        return value
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, bytes | memoryview):
        return bytes(value).hex()
    return str(value)


def readable(kind: type) -> bool:
    """Tell whether values of a Python type can be read back."""
    return kind in _READ


def read(text: str, kind: type) -> Any:
    """Read a value of a Python type.

    Raises:
        ValueError: The text is none of that type.
    """
    try:
        return _READ[kind](text)
    except (ArithmeticError, KeyError, TypeError) as error:
        raise ValueError(f"'{text}' is no {kind.__name__}") from error


def join(values: Sequence[Any]) -> str:
    """Write a key of one or several columns: as it is, or joined by slashes."""
    if len(values) == 1:
        return write(values[0])
    return "/".join(write(value).replace("%", "%25").replace("/", "%2F") for value in values)


def split(text: str, kinds: Sequence[type]) -> tuple[Any, ...]:
    """Read a key of columns of these types.

    Raises:
        ValueError: The text is no such key.
    """
    if len(kinds) == 1:
        return (read(text, kinds[0]),)
    parts = [part.replace("%2F", "/").replace("%25", "%") for part in text.split("/")]
    if len(parts) != len(kinds):
        raise ValueError(f"'{text}' is no key of {len(kinds)} columns")
    return tuple(read(part, kind) for part, kind in zip(parts, kinds, strict=True))


def partition(value: Any) -> str | None:
    """Write a partition as items carry it: dates and times in ISO form, those with a time zone in UTC."""
    if isinstance(value, datetime):
        moment = value.astimezone(UTC).replace(tzinfo=None) if value.tzinfo is not None else value
        return moment.date().isoformat() if moment.time() == time.min else moment.isoformat()
    return None if value is None else write(value)
