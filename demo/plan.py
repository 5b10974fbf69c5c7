"""What the outside systems deliver and when: a pure function of the seed and the number of days.

Time is counted in moments, four a day. A day's files may be late by three days, and what is wrong with a day is
corrected `CORRECTED_AFTER` days later, so the play ends `TAIL_DAYS` after the last day. Nothing here reads data or
does I/O; `demo.render` turns a delivery into bytes and rows.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from demo.data import date_of

MOMENTS = 4  # a day
CORRECTED_AFTER = 5  # so long that at full speed a sensor has seen the first version
TAIL_DAYS = CORRECTED_AFTER + 1
MALFORMED_DAY = 4

DAYS_OF_THE_YEAR = 365
PLANES = 3322
PLANES_PER_TRANSACTION = 60
UPDATES_PER_TRANSACTION = 5

FileKind = Literal["daily", "part", "correction", "resend", "rewrite", "malformed"]


@dataclass(frozen=True)
class FileDelivery:
    """A flight file that appears (or is overwritten) at a moment."""

    moment: int
    day: int
    name: str
    kind: FileKind
    part: str = "all"  # all, am, pm, or the airport
    revision: int = 0  # 0 as published, 1 corrected
    late: bool = False


@dataclass(frozen=True)
class WeatherDelivery:
    """A version of a day's weather document: the hours before `hours`, corrected if revision is 1."""

    moment: int
    day: int
    hours: int
    revision: int = 0

    @property
    def name(self) -> str:
        return f"{date_of(self.day)}.csv"


@dataclass(frozen=True)
class PlaneTransaction:
    """A transaction on the planes table that stays open from `begins` to `commits`; rows are (row number, revision)."""

    begins: int
    commits: int
    rows: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class AirportsDelivery:
    """A version of the airports file."""

    moment: int
    revision: int


@dataclass(frozen=True)
class Plan:
    """All deliveries of a play, each kind in order of time."""

    seed: int
    days: int
    files: tuple[FileDelivery, ...]
    weather: tuple[WeatherDelivery, ...]
    planes: tuple[PlaneTransaction, ...]
    airports: tuple[AirportsDelivery, ...]

    @property
    def moments(self) -> int:
        return (self.days + TAIL_DAYS) * MOMENTS

    @property
    def items(self) -> int:
        """Return how many versions of things the outside systems produce."""
        rows = sum(len(transaction.rows) for transaction in self.planes)
        return len(self.files) + len(self.weather) + rows + len(self.airports)

    @property
    def malformed(self) -> str:
        """Return the name of the one flight file that is not a flight file."""
        return next(file.name for file in self.files if file.kind == "malformed")


def make_plan(seed: int, days: int) -> Plan:
    """Return the plan of the first `days` days of 2013 (1 to 365); from 7 days on it holds every kind of delivery."""
    if not 1 <= days <= DAYS_OF_THE_YEAR:
        raise ValueError(f"days must be between 1 and {DAYS_OF_THE_YEAR}, not {days}")
    files = [file for day in range(1, days + 1) for file in _files(seed, day)]
    malformed = min(MALFORMED_DAY, days)
    files.append(FileDelivery(_at(malformed, 2), malformed, f"{date_of(malformed)}-bad.csv", "malformed"))
    weather = [document for day in range(1, days + 1) for document in _weather(day)]
    return Plan(
        seed=seed,
        days=days,
        files=tuple(sorted(files, key=lambda file: file.moment)),
        weather=tuple(sorted(weather, key=lambda document: document.moment)),
        planes=tuple(_transaction(moment) for moment in range(days * MOMENTS)),
        airports=(AirportsDelivery(0, 0), AirportsDelivery(_at(days, 0) // 2 + 1, 1)),
    )


def _at(day: int, quarter: int) -> int:
    return (day - 1) * MOMENTS + quarter


def _files(seed: int, day: int) -> Iterator[FileDelivery]:
    """Yield a day's flight files; the seven days of a week each bring another kind of trouble.

    A file sent twice under two keys carries the same rows both times, so the newest rows never depend on which of
    two files between two scans came first: nothing that lists a store could know that.
    """
    name = str(date_of(day))
    chance = random.Random(f"{seed}:{day}")  # noqa: S311 - a play, not a secret
    whole = FileDelivery(_at(day, 3), day, f"{name}.csv", "daily")
    later = day + CORRECTED_AFTER
    match day % 7:
        case 2:
            yield whole
            yield FileDelivery(_at(later, 1), day, whole.name, "correction", revision=1)
        case 3:
            yield FileDelivery(_at(day, 3), day, f"{name}-EWR.csv", "part", "EWR")
            yield FileDelivery(_at(day, 3), day, f"{name}-JFK.csv", "part", "JFK")
            yield FileDelivery(_at(day + 2, 0), day, f"{name}-LGA.csv", "part", "LGA", late=True)
        case 5:
            yield whole
            yield FileDelivery(_at(later, 0), day, whole.name, "correction", revision=1)
            yield FileDelivery(_at(later, 3), day, f"{name}-resend.csv", "resend", revision=1)
        case 6:
            yield FileDelivery(_at(day, 2), day, f"{name}-am.csv", "part", "am")
            yield FileDelivery(_at(day, 3), day, f"{name}-pm.csv", "part", "pm")
            yield FileDelivery(_at(later, 1), day, f"{name}-pm.csv", "correction", "pm", revision=1)
        case 0:
            yield FileDelivery(_at(day + chance.randint(1, 3), 3), day, whole.name, "daily", late=True)
            yield FileDelivery(_at(later, 2), day, whole.name, "rewrite")
        case _:
            yield whole


def _weather(day: int) -> Iterator[WeatherDelivery]:
    """Yield the document of a day as it grows by six hours; one hour of every third day is corrected later."""
    for quarter in range(MOMENTS):
        yield WeatherDelivery(_at(day, quarter), day, hours=24 * (quarter + 1) // MOMENTS)
    if day % 3 == 0:
        yield WeatherDelivery(_at(day + CORRECTED_AFTER, 1), day, hours=24, revision=1)


def _transaction(moment: int) -> PlaneTransaction:
    """Return the transaction that begins at a moment; it commits after younger ones, and never waits for a lock.

    It inserts a chunk of planes while there are some, and updates planes of a chunk that was committed before it
    began and that no other open transaction touches.
    """
    chunks = -(-PLANES // PLANES_PER_TRANSACTION)
    rows = [(row, 0) for row in _chunk(moment)]
    back = 2 * MOMENTS
    if moment >= back:
        revision, chunk = divmod(moment - back, chunks)
        rows += [(row, revision + 1) for row in _chunk(chunk)[:UPDATES_PER_TRANSACTION]]
    return PlaneTransaction(moment, moment + (5, 0, 2, 0)[moment % MOMENTS], tuple(rows))


def _chunk(number: int) -> range:
    return range(number * PLANES_PER_TRANSACTION, min((number + 1) * PLANES_PER_TRANSACTION, PLANES))
