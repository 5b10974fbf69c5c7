"""Where a table source stands, and what a look at the database makes of it. Pure."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal


@dataclass(frozen=True, kw_only=True)
class Position:
    """What is remembered between scans, in texts.

    Args:
        horizon: Rows below it are recorded (of an `overlap` source: the greatest version when the last pass began).
        until: Horizon after the pass that is under way.
        after: Version and key of the last row that this pass has recorded.
        whole: Whether this pass reads every row, whatever its version.
        server: Which history of which database server the rows come from.
        table: Which table, with which types.
        newest: The greatest version that was seen.
        compared: When all recorded keys were compared with the table last (UTC).
        comparing: The last key that the comparison which is under way has done.
    """

    horizon: str | None = None
    until: str | None = None
    after: list[str] | None = None
    whole: bool = False
    server: str | None = None
    table: str | None = None
    newest: str | None = None
    compared: str | None = None
    comparing: str | None = None

    @classmethod
    def parse(cls, document: Any) -> "Position":
        """Read a position as a ledger keeps it."""
        return cls(**(document or {}))

    def dump(self) -> dict[str, Any]:
        """Write a position as JSON."""
        return {name: value for name, value in asdict(self).items() if value is not None and value is not False}

    @property
    def passing(self) -> bool:
        """Whether a pass is under way."""
        return self.after is not None or self.whole


@dataclass(frozen=True, kw_only=True)
class Look:
    """What the database shows before a scan, in texts.

    Args:
        server: Which history of which server; None where it does not tell.
        table: Which table, with which types.
        until: How far a pass that begins now may read; None for an empty table of an `overlap` source.
        newest: The greatest version, where it was asked for.
    """

    server: str | None
    table: str
    until: str | None
    newest: str | None = None


Mode = Literal["transactions", "lag", "overlap"]
Smaller = Callable[[str, str], bool]


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What a scan does: go on from the position, or wait; and what is to be said.

    Args:
        position: With a pass under way or about to begin.
        wait: Whether there is nothing to read for now.
        notice: What a person should know.
        alarm: Whether the notice is to show as a failure of the source, once.
    """

    position: Position
    wait: bool = False
    notice: str | None = None
    alarm: bool = False


def judge(position: Position, look: Look, mode: Mode, smaller: Smaller) -> Verdict:
    """Decide how a scan goes on.

    What is below the horizon is not read again. So whenever it may differ from what was recorded, because the database
    was restored or exchanged, every row is compared anew; the ledger drops what it knows.

    Args:
        position: Where the source stands.
        look: What the database shows.
        mode: How the source tells what is new.
        smaller: Compares two versions; raises ValueError where a text is none of the column's type.
    """
    seen = replace(position, server=look.server or position.server, table=look.table)
    try:
        notice, alarm = _other(position, look) or _older(position, look, mode, smaller) or (None, False)
        behind = mode != "overlap" and _behind(position, look, smaller)
    except ValueError as error:
        notice, alarm, behind = f"the position cannot be read any more ({error}); comparing all rows", False, False
    if notice is not None:
        whole = Position(until=look.until, whole=True, server=seen.server, table=seen.table, newest=look.newest)
        return Verdict(position=replace(whole, compared=position.compared), notice=notice, alarm=alarm)
    if behind:
        # A replica that is behind the one that was read before, or a clock that was set back: it will catch up.
        return Verdict(position=seen, wait=True)
    if position.whole or (position.after is not None and mode == "overlap"):
        # What such a pass has left behind may change while it lasts, so the next one begins where this one began.
        return Verdict(position=seen)
    return Verdict(position=replace(seen, until=look.until, newest=look.newest))


def _other(position: Position, look: Look) -> tuple[str, bool] | None:
    """Tell that this is another database or table than before."""
    if position.server and look.server and position.server != look.server:
        return (
            f"the database was restored, failed over or exchanged (server and timeline were {position.server}, are "
            f"{look.server}); rows may be older than what is recorded. All of them are compared from now on."
        ), True
    if position.table and position.table != look.table:
        return f"the table or its types changed ({position.table} is now {look.table}); comparing all rows", False
    return None


def _older(position: Position, look: Look, mode: Mode, smaller: Smaller) -> tuple[str, bool] | None:
    """Tell that the rows seem to be older than what was seen, of a server that does not tell which it is."""
    if look.server:
        return None
    if mode == "transactions" and _behind(position, look, smaller):
        return (
            f"transaction ids went back, to {look.until} from {position.until or position.horizon}: the database was "
            "restored, or this is a replica that lags behind another one that was read before; give a url that leads "
            "to one server. All rows are compared from now on."
        ), True
    if look.newest and position.newest and not position.whole and smaller(look.newest, position.newest):
        return f"the newest version went back, to {look.newest} from {position.newest}; comparing all rows", False
    return None


def _behind(position: Position, look: Look, smaller: Smaller) -> bool:
    reached = position.until or position.horizon
    return reached is not None and look.until is not None and smaller(look.until, reached)
