"""What always holds for the pure core. Each function asserts it for one drawn case; modules are called through their
names, so that a mutant put into them is met."""

from collections import Counter
from datetime import UTC, date, datetime
from itertools import combinations, pairwise

import dagster as dg
from hypothesis import strategies as st
from sensor_assets import Batching, Retry
from sensor_assets import _decide as decide_module
from sensor_assets import _partitions as partitions_module
from sensor_assets import _reconcile as reconcile_module
from sensor_assets import _template as template_module
from sensor_assets._batching import seconds
from sensor_assets._decide import RouteError
from sensor_assets._items import UNMATCHED
from sensor_assets._state import Arrival, BatchRecord, Decision

from .core_cases import BROKEN_ROUTES, DAYS, NOW, Case, Days, Ending, new_ids

Numbered = tuple[int, int]


def deciding_loses_nothing_and_keeps_the_bounds(case: Case) -> None:
    """Decide once and check everything that was promised about the answer."""
    placed = [arrival for arrival in case.state.pending if _fits_somewhere(case, arrival)]
    try:
        decision = decide_module.decide(case.policy, case.state, NOW, new_ids("new"))
    except RouteError:
        assert case.route in BROKEN_ROUTES
        assert placed
        return
    _what_was_pending_is_placed_once_or_stays(case, placed, decision)
    _batches_keep_their_bounds(case, placed, decision)
    _launches_keep_apart(case, decision)
    _what_may_move_moves(case, placed, decision)


def _fits_somewhere(case: Case, arrival: Arrival) -> bool:
    partitioned = isinstance(case.policy.partitions, Days)
    return UNMATCHED not in arrival.item.metadata and (not partitioned or arrival.item.partition in DAYS)


def _number(arrival: Arrival) -> Numbered:
    return arrival.source_id, arrival.item.arrival


def _numbers(batch: BatchRecord) -> list[Numbered]:
    return [(source, arrival) for source, arrivals in batch.slices.items() for arrival in arrivals]


def _what_was_pending_is_placed_once_or_stays(case: Case, placed: list[Arrival], decision: Decision) -> None:
    misfits = [(misfit.source_id, misfit.arrival) for misfit in decision.misfits]
    taken = Counter([number for batch in decision.cut for number in _numbers(batch)] + misfits)
    if not decision.positions:
        assert not taken
        return
    pending = [_number(arrival) for arrival in case.state.pending]
    assert taken == Counter(pending)
    assert set(misfits) == set(pending) - {_number(arrival) for arrival in placed}
    ends = {source: max(arrival for other, arrival in pending if other == source) for source, _ in pending}
    assert decision.positions == ends


def _batches_keep_their_bounds(case: Case, placed: list[Arrival], decision: Decision) -> None:
    by_number = {_number(arrival): arrival for arrival in placed}
    batching, partitions = case.policy.batching, case.policy.partitions
    together: dict[tuple[str | None, str | None], list[str]] = {}
    for batch in decision.cut:
        arrivals = [by_number[number] for number in _numbers(batch)]
        size = sum(arrival.item.size for arrival in arrivals)
        assert arrivals
        assert batch.bytes == size
        assert len(arrivals) <= batching.max_items
        assert size <= batching.bytes or len(arrivals) == 1
        assert all(list(numbers) == sorted(numbers) for numbers in batch.slices.values())
        assert (batch.state, batch.consumer) == ("waiting", case.policy.name)
        where = {arrival.item.partition for arrival in arrivals} if isinstance(partitions, Days) else set[str]()
        assert set(batch.partitions) == where
        if isinstance(partitions, Days):
            assert len(batch.partitions) == 1 or partitions.join
            assert all(DAYS.index(b) - DAYS.index(a) == 1 for a, b in pairwise(batch.partitions))
            assert len(batch.partitions) == 1 or all(partitions.exists(key) for key in batch.partitions)
        for key in batch.partitions:
            together.setdefault((batch.route, key), []).append(batch.id)
        if case.route == "sends by size":
            assert {arrival.item.size % 2 for arrival in arrivals} == {0 if batch.route == "left" else 1}
    _partitions_that_fit_stay_whole(case, by_number, decision, together)


def _partitions_that_fit_stay_whole(
    case: Case,
    by_number: dict[Numbered, Arrival],
    decision: Decision,
    together: dict[tuple[str | None, str | None], list[str]],
) -> None:
    batching = case.policy.batching
    for (route, key), ids in together.items():
        sizes = [
            by_number[number].item.size
            for batch in decision.cut
            if batch.route == route
            for number in _numbers(batch)
            if by_number[number].item.partition == key
        ]
        if len(sizes) <= batching.max_items and sum(sizes) <= batching.bytes:
            assert len(ids) == 1


def _lanes(case: Case, batch: BatchRecord) -> set[tuple[str | None, str | None]]:
    if batch.partitions:
        return {(batch.route, key) for key in batch.partitions}
    return {(batch.route, None)} if case.policy.serial else set()


def _may_run(case: Case, batch: BatchRecord) -> bool:
    exist = all(case.policy.partitions.exists(key) for key in batch.partitions)
    return batch.state == "waiting" and exist and (batch.not_before is None or batch.not_before <= NOW)


def _launches_keep_apart(case: Case, decision: Decision) -> None:
    known = {batch.id: batch for batch in (*case.state.open, *decision.cut)}
    launched = [known[identity] for identity in decision.emit]
    flying = [batch for batch in case.state.open if batch.state == "emitted"]
    assert len(set(decision.emit)) == len(decision.emit)
    assert all(_may_run(case, batch) for batch in launched)
    assert not launched or len(flying) + len(launched) <= case.policy.max_in_flight
    for one, other in combinations(launched, 2):
        assert _lanes(case, one).isdisjoint(_lanes(case, other))
    for batch in launched:
        assert all(_lanes(case, batch).isdisjoint(_lanes(case, other)) for other in flying)


def _what_may_move_moves(case: Case, placed: list[Arrival], decision: Decision) -> None:
    """Nothing waits without a reason: no free slot, a busy lane, a condition."""
    flying = [batch for batch in case.state.open if batch.state == "emitted"]
    free = case.policy.max_in_flight - len(flying)
    ready = [batch for batch in (*case.state.open, *decision.cut) if _may_run(case, batch)]
    if len(decision.emit) < free:
        busy = {lane for b in (*flying, *ready) if b in flying or b.id in decision.emit for lane in _lanes(case, b)}
        for batch in ready:
            assert batch.id in decision.emit or not busy.isdisjoint(_lanes(case, batch))
    cuttable = bool(case.state.pending) and free > sum(_may_run(case, batch) for batch in case.state.open)
    if not cuttable:
        assert not decision.positions
        assert decision.held is None
        return
    assert (decision.held is not None) == (not decision.positions)
    assert (decision.held is not None) == _must_hold(case, placed)
    if case.policy.router is not None and case.route in ("holds", "sends everything to one", "holds until forced"):
        expected = "left" if case.route == "holds" else "right"
        assert {batch.route for batch in decision.cut} <= {expected}


def _must_hold(case: Case, placed: list[Arrival]) -> bool:
    if not placed:
        return False
    oldest = max((NOW - arrival.seen_at).total_seconds() for arrival in placed)
    if case.policy.router is not None:
        limit = case.policy.router.max_hold
        forced = limit is not None and oldest >= seconds(limit)
        return case.route in ("holds", "holds until forced") and not forced
    batching = case.policy.batching
    full = case.state.more or len(placed) >= batching.max_items
    full = full or sum(arrival.item.size for arrival in placed) >= batching.bytes
    return not full and oldest < seconds(batching.max_wait)


def halving_keeps_every_arrival_once(batch: BatchRecord) -> None:
    """Two halves of nearly equal length hold what the batch held."""
    if batch.items < 2:
        return
    halves = reconcile_module.halves(batch, new_ids("half"))
    assert Counter(n for half in halves for n in _numbers(half)) == Counter(_numbers(batch))
    assert abs(halves[0].items - halves[1].items) <= 1
    for half in halves:
        assert half.items > 0
        assert (half.consumer, half.route, half.partitions) == (batch.consumer, batch.route, batch.partitions)
        assert (half.origin, half.halved, half.replaces) == (batch.origin, True, (*batch.replaces, batch.id))
        assert (half.state, half.not_before) == ("waiting", None)
        assert all(numbers and list(numbers) == sorted(numbers) for numbers in half.slices.values())
    assert batch.id != halves[1].id != halves[0].id


def every_ending_has_its_fate(ending: Ending) -> None:
    """Settle a batch and check that it is done, tried again, halved or quarantined as it should be."""
    batch, retry = ending.batch, ending.retry
    settled = reconcile_module.settle(
        batch,
        ending.outcome,
        retry=retry,
        error="broken",
        sink_works=ending.sink_works,
        now=NOW,
        new_id=new_ids("child"),
    )
    if ending.outcome == "active":
        assert settled is None
        return
    assert settled is not None
    after = settled.batch
    if ending.outcome == "succeeded":
        assert (after.state, settled.children) == ("done", ())
        return
    if ending.outcome == "vanished":
        assert (after.state, after.failures, after.not_before) == ("waiting", batch.failures, None)
        assert after.first_failed_at == batch.first_failed_at
        assert (_numbers(after), settled.children) == (_numbers(batch), ())
        return
    failures = batch.failures + 1
    assert after.failures == failures or after.state == "waiting"
    assert settled.error == "broken"
    assert after.first_failed_at is not None or settled.children
    held = Counter(_numbers(after) if after.state != "split" else []) + Counter(
        n for child in settled.children for n in _numbers(child)
    )
    assert held == Counter(_numbers(batch))
    if batch.items > 1 and (failures >= retry.max_failures or (batch.halved and ending.sink_works)):
        assert after.state == "split"
        assert [half.first_failed_at for half in settled.children] == [NOW, NOW]
    elif failures < retry.max_failures:
        _is_tried_again_later(after, failures, retry)
    elif ending.sink_works or failures >= retry.give_up:
        assert after.state == "quarantined"
    else:
        _is_tried_again_later(after, failures, retry)


def _is_tried_again_later(after: BatchRecord, failures: int, retry: Retry) -> None:
    assert after.state == "waiting"
    assert after.failures == failures
    expected = min(seconds(retry.backoff) * 2 ** (failures - 1), seconds(retry.max_backoff))
    # Dates count microseconds.
    assert after.not_before is not None
    assert abs((after.not_before - NOW).total_seconds() - expected) <= 1e-6


def waits_grow_up_to_their_limit(retry: Retry) -> None:
    """The pause after a failure never shrinks and never exceeds its maximum."""
    delays = [retry.delay(failures) for failures in range(1, 70)]
    assert delays == sorted(delays)
    assert delays[0] == min(seconds(retry.backoff), seconds(retry.max_backoff))
    assert delays[-1] <= seconds(retry.max_backoff)


RETRIES = st.builds(Retry, backoff=st.floats(0, 1e6), max_backoff=st.floats(0, 1e6))


DEFINITIONS = st.sampled_from(
    [
        dg.DailyPartitionsDefinition("2013-01-01", end_date="2013-03-01"),
        dg.DailyPartitionsDefinition("2013-01-01", end_date="2013-03-01", timezone="America/New_York"),
        dg.HourlyPartitionsDefinition("2013-01-01-00:00", end_date="2013-02-01-00:00"),
        dg.WeeklyPartitionsDefinition("2012-12-30", end_date="2013-03-03"),
        dg.MonthlyPartitionsDefinition("2013-01-01", end_date="2013-05-01"),
        dg.DailyPartitionsDefinition("2013-01-01"),
    ]
)


def _as_a_template_writes_it(moment: datetime) -> str:
    whole = moment.replace(microsecond=0)
    return whole.date().isoformat() if whole.time() == datetime.min.time() else whole.isoformat()


@st.composite
def placings(draw: st.DrawFn) -> tuple[dg.TimeWindowPartitionsDefinition, list[str]]:
    """Draw time windows, and dates and times as key templates write them, some outside the windows."""
    moments = st.datetimes(datetime(2012, 11, 1), datetime(2013, 6, 1))
    texts = st.one_of(
        moments.map(lambda moment: moment.date().isoformat()),
        moments.map(_as_a_template_writes_it),
        st.sampled_from(["2013-01-01", "2012-12-31", "2013-02-01", "2013-03-01", "never", "2013-13-01"]),
    )
    return draw(DEFINITIONS), draw(st.lists(texts, max_size=12))


def an_item_belongs_to_the_window_of_its_partition(drawn: tuple[dg.TimeWindowPartitionsDefinition, list[str]]) -> None:
    """Where an item is placed is where a rebuild of the partition finds it; other items have no place at all."""
    definition, texts = drawn
    adapter = partitions_module.TimePartitions(definition, join=True)
    keys: list[str] = []
    for text in texts:
        try:
            key = adapter.place(text)
        except partitions_module.Unplaceable:
            assert not _has_place(definition, text)
            continue
        assert key is not None
        assert adapter.exists(key)
        start, stop = adapter.window(key)
        assert stop is not None
        assert start <= text < stop
        keys.append(key)
    distinct = list(dict.fromkeys(keys))
    ranges = adapter.ranges(distinct)
    assert Counter(key for group in ranges for key in group) == Counter(distinct)
    for group in ranges:
        assert all(adapter.window(one)[1] == adapter.window(other)[0] for one, other in pairwise(group))
    for one, other in pairwise(ranges):
        assert adapter.window(one[-1])[1] != adapter.window(other[0])[0]
    alone = partitions_module.TimePartitions(definition, join=False).ranges(distinct)
    assert all(len(group) == 1 for group in alone)


def _has_place(definition: dg.TimeWindowPartitionsDefinition, text: str) -> bool:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return False
    zoned = moment.replace(tzinfo=definition.start.tzinfo or UTC)
    return definition.start <= zoned and (definition.end is None or zoned < definition.end)


FORMATS = st.sampled_from(["%Y-%m-%d", "%Y/%m/%d", "%Y%m%d", "%Y-%j", "%y%m%d", "%Y-%m-%dT%H", "%Y%m%d%H%M%S", "%Y-%m"])
WORDS = st.text(st.sampled_from("abc-_.+()[]$^ü "), max_size=6)


@st.composite
def keys_of_templates(draw: st.DrawFn) -> tuple[str, datetime, str, str]:
    """Draw a date format, a moment, and the words before and after it in a key."""
    moments = st.datetimes(datetime(2000, 1, 1), datetime(2060, 1, 1))
    return draw(FORMATS), draw(moments), draw(WORDS), draw(WORDS)


def a_key_gives_the_date_that_was_written_into_it(drawn: tuple[str, datetime, str, str]) -> None:
    """Format a moment into a key and find it again; keys that differ otherwise, or hold no real date, do not fit."""
    code, moment, before, after = drawn
    template = template_module.KeyTemplate(before + "{date:" + code + "}" + after)
    written = moment.strftime(code)
    expected = datetime.strptime(written, code)
    found = template.match(before + written + after)
    assert found is not None
    assert found.partition is not None
    assert datetime.fromisoformat(found.partition) == expected
    if expected == datetime.combine(expected.date(), datetime.min.time()):
        assert date.fromisoformat(found.partition) == expected.date()
    assert template.match(before + written + after + "x") is None
    assert template.match("x" + before + written + after) is None
    assert template.match("dir/" + before + written + after) is None
    for impossible in ("99", "00"):
        if "%d" in code and "%j" not in code:
            assert template.match(before + moment.strftime(code.replace("%d", impossible)) + after) is None
    globbed = template_module.KeyTemplate("**" + before + "{date:" + code + "}*" + after)
    assert globbed.match("a/b/" + before + written + "-corrected" + after) is not None
    assert globbed.match(before + written + "/sub" + after) is None


SIZES = st.sampled_from([(1, "KiB", 1024), (1, "MB", 10**6), (1, "GiB", 2**30), (3, "MiB", 3 * 2**20), (17, "", 17)])


def sizes_are_read_as_written(size: tuple[int, str, int]) -> None:
    """A size may be written as a number with a unit, with or without a space."""
    number, unit, expected = size
    assert Batching(max_bytes=f"{number} {unit}").bytes == expected
    assert Batching(max_bytes=f"{number}{unit}").bytes == expected
    assert Batching(max_bytes=expected).bytes == expected
