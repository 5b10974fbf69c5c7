"""Scans of one tick on a real ledger: at once, in turn, left behind; and who writes what."""

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from itertools import count
from time import monotonic, sleep
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sensor_assets import Item, LedgerError, Page, ScanContext, SourceClient, SourceError
from sensor_assets._due import Budget
from sensor_assets._scan import SourceScan
from sensor_assets._scanning import Scanning
from sensor_assets.ledger import PostgresLedger, Scan, ScanEnd

from .location import settings as location_settings
from .scanning import NOW

ENOUGH = Budget(seconds=20.0, patience=10.0)
SHORT = Budget(seconds=0.6, patience=0.3)


class Told(SourceClient):
    """A client that does what a test says."""

    def __init__(self, pages: Callable[[ScanContext], Iterable[Page]]) -> None:
        self.pages = pages

    def scan(self, context: ScanContext) -> Iterable[Page]:
        return self.pages(context)


def items(*keys: str, version: str = "1") -> list[Item]:
    return [Item(key=key, version=version) for key in keys]


Pages = Callable[[ScanContext], Iterable[Page]]


def begin(ledger: PostgresLedger, clients: Mapping[str, Pages], *, patience: float = 10.0) -> list[SourceScan]:
    """Begin a scan of each source."""
    states = ledger.sources(list(clients))
    scans = ledger.begin_scans([states[name] for name in clients])
    return [
        SourceScan(scan, Told(clients[scan.source.name]), _context(ledger, scan), patience=patience) for scan in scans
    ]


def _context(ledger: PostgresLedger, scan: Scan) -> Callable[[Callable[[], float], Counter[str]], ScanContext]:
    def make(remaining: Callable[[], float], calls: Counter[str]) -> ScanContext:
        return ScanContext(
            position=scan.source.position,
            known=lambda keys: ledger.known(scan.source.id, keys),
            settings=location_settings(),
            pages=ledger.pages(scan.source.id),
            remaining=remaining,
            calls=calls,
        )

    return make


def run(
    ledger: PostgresLedger,
    scans: Sequence[SourceScan],
    *,
    budget: Budget = ENOUGH,
    at_once: int = 16,
    soon: float = 1.0,
) -> dict[str, SourceScan]:
    """Scan, and return those that were begun by source."""
    scanning = Scanning(ledger=ledger, budget=budget, at_once=at_once, soon=soon, now=lambda: NOW)
    return {scan.name: scan for scan in scanning.run(scans)}


def arrivals(ledger: PostgresLedger, *names: str) -> dict[str, int]:
    return {name: state.arrivals for name, state in ledger.sources(list(names)).items()}


def until(reached: Callable[[], bool]) -> None:
    deadline = monotonic() + 20
    while not reached():
        assert monotonic() < deadline
        sleep(0.01)


# --- what one scan shows


def test_pages_are_recorded_in_order_and_acknowledged_after(ledger: PostgresLedger) -> None:
    acknowledged: list[tuple[str, int]] = []

    def letters(context: ScanContext) -> Iterator[Page]:
        for key in "abc":
            acknowledge = lambda key=key: acknowledged.append((key, arrivals(ledger, "letters")["letters"]))  # noqa: E731
            yield Page(items=items(key), position={"after": key}, acknowledge=acknowledge)

    scan = run(ledger, begin(ledger, {"letters": letters}))["letters"]
    assert (scan.outcome, scan.new, scan.pages) == ("complete", 3, 3)
    assert acknowledged == [("a", 1), ("b", 2), ("c", 3)]
    assert ledger.sources(["letters"])["letters"].position == {"after": "c"}


def test_what_is_known_already_is_acknowledged_too(ledger: PostgresLedger) -> None:
    acknowledged: list[str] = []

    def letters(context: ScanContext) -> Iterator[Page]:
        yield Page(items=items("a"), acknowledge=lambda: acknowledged.append("a"))

    for _ in range(2):
        run(ledger, begin(ledger, {"letters": letters}))
    assert acknowledged == ["a", "a"]
    assert arrivals(ledger, "letters") == {"letters": 1}


def test_what_was_not_announced_is_counted(ledger: PostgresLedger) -> None:
    def found(_: ScanContext) -> Iterator[Page]:
        yield Page(items=items("a", "b"), missed=2)
        yield Page(items=items("c"), missed=1)

    assert run(ledger, begin(ledger, {"found": found}))["found"].missed == 3


def test_a_scan_stays_in_one_thread(ledger: PostgresLedger) -> None:
    threads: dict[str, set[int]] = {f"s{number}": set() for number in range(20)}

    def pages_of(name: str) -> Callable[[ScanContext], Iterator[Page]]:
        def pages(context: ScanContext) -> Iterator[Page]:
            for key in "abcd":
                threads[name].add(threading.get_ident())
                yield Page(items=items(key))
            threads[name].add(threading.get_ident())

        return pages

    run(ledger, begin(ledger, {name: pages_of(name) for name in threads}))
    assert all(len(idents) == 1 for idents in threads.values())
    assert threading.get_ident() not in set().union(*threads.values())
    assert set(arrivals(ledger, *threads).values()) == {4}


def test_an_error_in_one_source_is_its_own(ledger: PostgresLedger) -> None:
    def broken(context: ScanContext) -> Iterator[Page]:
        yield Page(items=items("a"))
        raise SourceError("the store is on fire")

    def leaving(context: ScanContext) -> Iterator[Page]:
        raise SystemExit(3)

    def fine(context: ScanContext) -> Iterator[Page]:
        yield Page(items=items("a"))

    scans = run(ledger, begin(ledger, {"broken": broken, "leaving": leaving, "fine": fine}))
    assert {name: scan.outcome for name, scan in scans.items()} == {
        "broken": "failed",
        "leaving": "failed",
        "fine": "complete",
    }
    assert str(scans["broken"].error) == "the store is on fire"
    assert arrivals(ledger, "broken", "fine") == {"broken": 1, "fine": 1}


def test_a_ledger_that_fails_while_a_source_asks_it_is_no_fault_of_the_source(
    ledger: PostgresLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*arguments: Any) -> Any:
        raise LedgerError("the ledger's database cannot be reached")

    def asking(context: ScanContext) -> Iterator[Page]:
        yield Page(items=items(*context.known(None)))

    scans = begin(ledger, {"asking": asking})
    monkeypatch.setattr(ledger, "known", away)
    with pytest.raises(LedgerError, match="cannot be reached"):
        run(ledger, scans)


# --- what does not answer


def test_a_scan_that_does_not_answer_is_left_behind_and_records_nothing_whenever_it_comes_back(
    ledger: PostgresLedger,
) -> None:
    go_on, over = threading.Event(), threading.Event()
    acknowledged: list[str] = []

    def hanging(context: ScanContext) -> Iterator[Page]:
        try:
            go_on.wait(20)
            yield Page(items=items("late"), position="late", acknowledge=lambda: acknowledged.append("late"))
        finally:
            over.set()

    def fine(context: ScanContext) -> Iterator[Page]:
        yield Page(items=items("a"))

    scans = run(ledger, begin(ledger, {"hanging": hanging, "fine": fine}, patience=0.2))
    assert {name: scan.outcome for name, scan in scans.items()} == {"hanging": "silent", "fine": "complete"}
    assert scans["hanging"].busy
    go_on.set()
    assert over.wait(20)
    until(lambda: not scans["hanging"].busy)
    assert arrivals(ledger, "hanging", "fine") == {"hanging": 0, "fine": 1}
    assert ledger.sources(["hanging"])["hanging"].position is None
    assert acknowledged == []
    assert scans["hanging"].outcome == "silent"


def test_sources_that_hang_leave_their_places_to_others(ledger: PostgresLedger) -> None:
    """Places for four, of which twelve hang: all others are checked all the same."""
    go_on = threading.Event()

    def hanging(context: ScanContext) -> Iterator[Page]:
        go_on.wait(20)
        yield Page(items=[])

    def fine(context: ScanContext) -> Iterator[Page]:
        yield Page(items=items("a"))

    clients = {f"s{number}": hanging if number < 12 else fine for number in range(40)}
    try:
        scans = run(ledger, begin(ledger, clients, patience=0.4), at_once=4, soon=0.05)
    finally:
        go_on.set()
    outcomes = Counter(scan.outcome for scan in scans.values())
    assert outcomes == {"silent": 12, "complete": 28}
    assert all(scans[f"s{number}"].new == 1 for number in range(12, 40))


def test_not_more_sources_are_asked_at_once_than_is_allowed(ledger: PostgresLedger) -> None:
    asking, most = 0, 0
    lock = threading.Lock()

    def slow(context: ScanContext) -> Iterator[Page]:
        nonlocal asking, most
        with lock:
            asking += 1
            most = max(most, asking)
        sleep(0.03)
        with lock:
            asking -= 1
        yield Page(items=[])

    scans = run(ledger, begin(ledger, {f"s{number}": slow for number in range(30)}), at_once=5)
    assert len(scans) == 30
    assert 2 <= most <= 5


def test_sources_that_answer_at_once_share_one_thread(ledger: PostgresLedger) -> None:
    threads: set[int] = set()

    def prompt(context: ScanContext) -> Iterator[Page]:
        threads.add(threading.get_ident())
        yield Page(items=[])

    run(ledger, begin(ledger, {f"s{number}": prompt for number in range(200)}))
    # More only where the machine was busy with something else for longer than a prompt answer takes.
    assert len(threads) <= 16


def test_a_source_is_told_how_long_an_answer_is_waited_for(ledger: PostgresLedger) -> None:
    told: list[float] = []

    def asking(context: ScanContext) -> Iterator[Page]:
        told.append(context.remaining())
        sleep(0.05)
        told.append(context.remaining())
        yield Page(items=items("a"))
        told.append(context.remaining())

    run(ledger, begin(ledger, {"asking": asking}, patience=5.0))
    first, later, next_page = told
    assert 4 < first <= 5
    assert later < first - 0.04
    assert next_page > later


# --- the tick's time


def test_a_backlog_without_end_takes_nothing_from_the_others_and_goes_on_next_time(ledger: PostgresLedger) -> None:
    def endless(context: ScanContext) -> Iterator[Page]:
        number = context.position or 0
        while True:
            number += 1
            yield Page(items=items(str(number)), position=number)

    def fine(context: ScanContext) -> Iterator[Page]:
        for key in "abc":
            yield Page(items=items(key))

    clients = {**{f"endless{number}": endless for number in range(6)}, **{f"s{number}": fine for number in range(30)}}
    for tick in (1, 2):
        before = arrivals(ledger, *clients)
        scans = run(ledger, begin(ledger, clients, patience=0.3), budget=SHORT, at_once=4)
        after = arrivals(ledger, *clients)
        assert {scan.outcome for name, scan in scans.items() if name.startswith("s")} == {"complete"}
        assert {scan.outcome for name, scan in scans.items() if name.startswith("e")} == {"partial"}
        grown = [after[name] - before[name] for name in clients if name.startswith("e")]
        assert min(grown) > 0
        # Each has one page recorded in turn, so none is far ahead of the others.
        assert max(grown) - min(grown) <= max(3, max(grown) // 3), f"tick {tick}: {grown}"
        assert all(ledger.sources([name])[name].position == after[name] for name in clients if name.startswith("e"))


def test_a_source_that_is_slow_between_its_pages_is_not_failing(ledger: PostgresLedger) -> None:
    """It has answered; that the tick ends meanwhile is not its fault."""

    def slow(context: ScanContext) -> Iterator[Page]:
        for number in range(100):
            yield Page(items=items(str(number)))
            sleep(0.2)

    scan = run(ledger, begin(ledger, {"slow": slow}, patience=0.3), budget=SHORT)["slow"]
    assert scan.outcome == "partial"
    assert 1 <= scan.new == arrivals(ledger, "slow")["slow"] <= 5


def test_a_scan_that_could_not_be_given_its_patience_is_not_begun(ledger: PostgresLedger) -> None:
    go_on = threading.Event()

    def hanging(context: ScanContext) -> Iterator[Page]:
        go_on.wait(20)
        yield Page(items=[])

    try:
        scans = run(
            ledger,
            begin(ledger, {f"s{number}": hanging for number in range(9)}, patience=0.3),
            budget=SHORT,
            at_once=2,
            soon=10.0,
        )
    finally:
        go_on.set()
    assert Counter(scan.outcome for scan in scans.values()) == {"silent": len(scans)}
    assert 2 <= len(scans) < 9
    assert list(scans) == [f"s{number}" for number in range(len(scans))], "longest overdue first, as they were given"


# --- who may record


def test_a_scan_that_a_newer_one_replaced_records_and_acknowledges_nothing_more(ledger: PostgresLedger) -> None:
    acknowledged: list[str] = []

    def letters(context: ScanContext) -> Iterator[Page]:
        yield Page(items=items("a"))
        ledger.begin_scan(ledger.sources(["letters"])["letters"])
        yield Page(items=items("b"), acknowledge=lambda: acknowledged.append("b"))
        yield Page(items=items("c"))

    scan = run(ledger, begin(ledger, {"letters": letters}))["letters"]
    assert (scan.outcome, scan.new) == ("superseded", 1)
    assert arrivals(ledger, "letters") == {"letters": 1}
    assert acknowledged == []


# --- looking up many pages at once

_SHOWN = st.lists(st.tuples(st.sampled_from("xyz"), st.sampled_from("123")), max_size=5)
_numbers = count()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(_SHOWN, max_size=3), st.lists(_SHOWN, max_size=4), st.sets(st.sampled_from("xyz")))
def test_looking_up_many_pages_says_of_each_what_recording_it_would(
    ledger: PostgresLedger, past: list[list[tuple[str, str]]], present: list[list[tuple[str, str]]], gone: set[str]
) -> None:
    """Each present page is that of a source of its own; all sources have the same past."""
    states = [ledger.sources([name])[name] for name in (f"s{next(_numbers)}" for _ in present)]
    for state in states:
        for shown in past:
            ledger.record(ledger.begin_scan(state), _page(shown), NOW)
        noticed = [item for item in ledger.newest_items("consumer", [state.id]) if item.key in gone]
        ledger.finish("consumer", None, "run", rejected=[], gone=noticed, now=NOW)
    pages = [(ledger.begin_scan(state), _page(shown)) for state, shown in zip(states, present, strict=True)]
    news = ledger.news(pages)
    assert news == [ledger.record(scan, page, NOW) > 0 for scan, page in pages]


def _page(shown: Sequence[tuple[str, str]]) -> Page:
    return Page(items=[Item(key=key, version=version) for key, version in shown])


def test_ends_of_many_scans_are_noted_at_once_and_superseded_ones_change_nothing(ledger: PostgresLedger) -> None:
    states = ledger.sources(["a", "b", "c"])
    scans = {scan.source.name: scan for scan in ledger.begin_scans(list(states.values()))}
    ledger.begin_scan(states["c"])
    later = NOW + timedelta(seconds=60)
    after = ledger.end_scans(
        [
            ScanEnd(scan=scans["a"], due_at=later),
            ScanEnd(scan=scans["b"], due_at=later, error="on \0 fire"),
            ScanEnd(scan=scans["c"], due_at=later, error="late"),
        ],
        NOW,
    )
    assert {name: (state.failures, state.error, state.due_at) for name, state in after.items()} == {
        "a": (0, None, later),
        "b": (1, r"on \x00 fire", later),
    }
    assert ledger.sources(["a", "b"]) == after
    assert ledger.sources(["c"])["c"].error is None
