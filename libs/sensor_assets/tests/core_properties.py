"""What always holds for the pure core. Each function asserts it for one drawn case; modules are called through their
names, so that a mutant put into them is met."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import combinations, pairwise

import dagster as dg
from hypothesis import strategies as st
from sensor_assets import Batching, Retry
from sensor_assets import _reconcile as reconcile_module
from sensor_assets import _template as template_module
from sensor_assets import _time_windows as time_windows_module
from sensor_assets._batching import seconds
from sensor_assets._items import UNMATCHED
from sensor_assets._joins import Join
from sensor_assets._placing import Unplaceable
from sensor_assets._routing import RouteError
from sensor_assets._state import Arrival, BatchRecord, ConsumerState, Decision

from .core_cases import BROKEN_ROUTES, DAYS, LEAVES_ODD, NOW, SOURCES, Case, Days, Ending, new_ids

Numbered = tuple[int, int]


def deciding_loses_nothing_and_keeps_the_bounds(case: Case) -> None:
    """Decide once and check everything that was promised about the answer."""
    try:
        state, decision = case.decide(new_ids("new"))
    except RouteError:
        assert case.route in BROKEN_ROUTES
        return
    what = _What(case, state, decision)
    what.was_taken_is_somewhere_once()
    what.is_cut_was_ready()
    _batches_keep_their_bounds(case, what.placed, decision)
    _launches_keep_apart(case, decision)
    what.may_move_moves()


def _number(arrival: Arrival) -> Numbered:
    return arrival.source_id, arrival.item.arrival


def _numbers(batch: BatchRecord) -> list[Numbered]:
    return [(source, arrival) for source, arrivals in batch.slices.items() for arrival in arrivals]


class _What:
    """A decision and what it was about."""

    def __init__(self, case: Case, state: ConsumerState, decision: Decision) -> None:
        self.case = case
        self.decision = decision
        self.pending = state.pending
        self.parked = state.parked or ()
        self.more = state.more or state.more_parked
        self.more_parked = state.more_parked
        self.placed = [arrival for arrival in (*self.pending, *self.parked) if self._fits_somewhere(arrival)]
        self.cut = [number for batch in decision.cut for number in _numbers(batch)]
        emitted = [batch for batch in case.state.open if batch.state == "emitted"]
        self.free = case.policy.max_in_flight - len(emitted)
        self.cuttable = bool(case.state.pending or case.state.waiting)
        self.cuttable = self.cuttable and self.free > sum(_may_run(case, batch) for batch in case.state.open)

    def _fits_somewhere(self, arrival: Arrival) -> bool:
        return UNMATCHED not in arrival.item.metadata and (not self.case.partitioned or arrival.item.partition in DAYS)

    def was_taken_is_somewhere_once(self) -> None:
        """Everything that the positions move over is in one batch, parked or set aside; the rest is as it was."""
        decision = self.decision
        misfits = [(misfit.source_id, misfit.arrival) for misfit in decision.misfits]
        parked = [_number(arrival) for arrival in decision.park]
        unparked = [_number(arrival) for arrival in decision.unpark]
        before = [_number(arrival) for arrival in self.parked]
        passed = [number for number in map(_number, self.pending) if number[1] <= decision.positions.get(number[0], 0)]
        assert set(decision.positions) == {source for source, _ in passed}
        assert Counter(unparked) <= Counter(before)
        assert Counter([*self.cut, *misfits, *parked]) == Counter([*passed, *unparked])
        assert set(misfits).isdisjoint(_number(arrival) for arrival in self.placed)
        assert set(parked) <= set(passed)
        for source, position in decision.positions.items():
            assert (source, position) in passed
        if self.case.policy.join is None or self.case.partitioned:
            assert not decision.released
            assert not passed or len(passed) == len(self.pending)

    def is_cut_was_ready(self) -> None:
        cut = set(self.cut)
        for arrival in self.placed:
            if _number(arrival) in cut:
                assert self._ready(arrival)

    def _ready(self, arrival: Arrival) -> bool:
        case, join = self.case, self.case.policy.join
        if not case.partitioned:
            return join is None or arrival in self.parked or arrival.item.arrival <= self._released(arrival.source_id)
        assert isinstance(case.policy.partitions, Days)
        day = arrival.item.partition
        if day is None or day in case.policy.partitions.future:
            return False
        return join is None or case.shown[day] == frozenset(SOURCES) or self._overdue(join, self._since(day))

    def _released(self, source: int) -> int:
        join, logs = self.case.policy.join, self.case.state.logs
        assert join is not None
        base = {number: max(log.released, log.position) for number, log in logs.items()}
        fresh = [arrival for arrival in self.pending if arrival.item.arrival > base[arrival.source_id]]
        all_shown = all(log.end > base[number] for number, log in logs.items())
        if fresh and (all_shown or self._overdue(join, min(arrival.seen_at for arrival in fresh))):
            return logs[source].end
        return base[source]

    def _since(self, day: str) -> datetime:
        seen = [arrival.seen_at for arrival in self.placed if arrival in self.pending and arrival.item.partition == day]
        return min([*seen, *([self.case.state.waiting[day]] if day in self.case.state.waiting else [])])

    def _overdue(self, join: Join, since: datetime) -> bool:
        return join.max_hold is not None and (NOW - since).total_seconds() >= seconds(join.max_hold)

    def may_move_moves(self) -> None:
        """Nothing waits without a reason: no free slot, a busy lane, a partition, another source, a condition."""
        case, decision = self.case, self.decision
        flying = [batch for batch in case.state.open if batch.state == "emitted"]
        runnable = [batch for batch in (*case.state.open, *decision.cut) if _may_run(case, batch)]
        if len(decision.emit) < self.free:
            launched = [batch for batch in runnable if batch.id in decision.emit]
            busy = {lane for batch in (*flying, *launched) for lane in _lanes(case, batch)}
            for batch in runnable:
                assert batch.id in decision.emit or not busy.isdisjoint(_lanes(case, batch))
        if not self.cuttable:
            assert decision == Decision(positions={}, emit=decision.emit)
            return
        ready = [arrival for arrival in self.placed if self._ready(arrival)]
        if self._must_hold(ready):
            assert decision.held is not None
            assert not decision.positions
            assert not self.cut
            return
        waits = [arrival for arrival in self.placed if _number(arrival) not in set(self.cut)]
        assert decision.held is not None or not waits
        self._what_may_come_back_does()
        self._what_is_left_was_to_be_left(ready)

    def _what_may_come_back_does(self) -> None:
        """What was parked and can be placed no longer is set aside, what may go now is there to go."""
        case = self.case
        misfits = {(misfit.source_id, misfit.arrival) for misfit in self.decision.misfits}
        for arrival in case.parked:
            looked_at = not case.partitioned or (arrival.item.partition or "") in case.state.waiting
            if not case.state.waiting or not looked_at or self.more_parked:
                continue
            if not self._fits_somewhere(arrival):
                assert _number(arrival) in misfits or arrival.item.partition in DAYS
            elif self._ready(arrival):
                assert arrival in self.parked

    def _must_hold(self, ready: list[Arrival]) -> bool:
        if not ready:
            return False
        policy = self.case.policy
        oldest = max((NOW - arrival.seen_at).total_seconds() for arrival in ready)
        if policy.router is not None:
            limit = policy.router.max_hold
            forced = limit is not None and oldest >= seconds(limit)
            return self.case.route in ("holds", "holds until forced") and not forced
        full = self.more or len(ready) >= policy.batching.max_items
        full = full or sum(arrival.item.size for arrival in ready) >= policy.batching.bytes
        return not full and oldest < seconds(policy.batching.max_wait)

    def _what_is_left_was_to_be_left(self, ready: list[Arrival]) -> None:
        cut = set(self.cut)
        left = [arrival for arrival in ready if _number(arrival) not in cut]
        router = self.case.policy.router
        if router is None:
            assert not left
            return
        assert len(left) <= router.max_waiting
        limit = router.max_hold
        assert limit is None or all((NOW - arrival.seen_at).total_seconds() < seconds(limit) for arrival in left)
        odd = [arrival for arrival in ready if arrival.item.size % 2]
        by_number = {_number(arrival): arrival for arrival in ready}
        overruled = [
            by_number[number]
            for batch in self.decision.cut
            if batch.route == "left" and batch.state == "waiting"
            for number in _numbers(batch)
        ]
        if self.case.route in LEAVES_ODD:
            assert Counter(map(_number, [*left, *overruled])) == Counter(map(_number, odd))
        elif self.case.route == "sends nothing":
            assert Counter(map(_number, [*left, *overruled])) == Counter(map(_number, ready))
        else:
            assert not left
        if left and overruled:
            assert max(arrival.seen_at for arrival in overruled) <= min(arrival.seen_at for arrival in left)
        if overruled and self.case.route in (*LEAVES_ODD, "sends nothing") and limit is None:
            crowd = min(self.case.policy.batching.max_items, router.max_waiting // 10)
            unready = [arrival for arrival in self.placed if arrival in self.parked and arrival not in ready]
            unseen = len(unready) + 1 if self.more_parked else 0
            too_many = len(left) + len(overruled) + unseen - router.max_waiting
            assert len(overruled) == min(max(crowd, too_many), len(left) + len(overruled))
            assert too_many > 0
        self._skipped_are_the_odd(odd, ready)

    def _skipped_are_the_odd(self, odd: list[Arrival], ready: list[Arrival]) -> None:
        skipped = [batch for batch in self.decision.cut if batch.state == "skipped"]
        numbers = Counter(number for batch in skipped for number in _numbers(batch))
        expected = {"sends even ones, skips odd ones": odd, "skips everything": ready}.get(self.case.route or "", [])
        assert numbers == Counter(map(_number, expected))
        assert all(batch.reason for batch in skipped)
        assert not [batch for batch in self.decision.cut if batch.reason and batch.state != "skipped"]
        if self.case.route in ("holds", "sends everything to one", "holds until forced"):
            expected_route = "left" if self.case.route == "holds" else "right"
            assert {batch.route for batch in self.decision.cut} <= {expected_route}


def _batches_keep_their_bounds(case: Case, placed: list[Arrival], decision: Decision) -> None:
    by_number = {_number(arrival): arrival for arrival in placed}
    batching, partitions = case.policy.batching, case.policy.partitions
    together: dict[tuple[str | None, str | None, str | None], list[str]] = {}
    for batch in decision.cut:
        arrivals = [by_number[number] for number in _numbers(batch)]
        size = sum(arrival.item.size for arrival in arrivals)
        assert arrivals
        assert batch.bytes == size
        assert len(arrivals) <= batching.max_items
        assert size <= batching.bytes or len(arrivals) == 1
        assert all(list(numbers) == sorted(numbers) for numbers in batch.slices.values())
        assert batch.consumer == case.policy.name
        assert batch.state in ("waiting", "skipped")
        where = {arrival.item.partition for arrival in arrivals} if isinstance(partitions, Days) else set[str]()
        assert set(batch.partitions) == where
        if isinstance(partitions, Days):
            assert len(batch.partitions) == 1 or partitions.join
            assert all(DAYS.index(b) - DAYS.index(a) == 1 for a, b in pairwise(batch.partitions))
            assert partitions.available(batch.partitions) == frozenset(batch.partitions)
        for key in batch.partitions:
            together.setdefault((batch.route, batch.reason, key), []).append(batch.id)
        if case.route == "sends by size":
            assert {arrival.item.size % 2 for arrival in arrivals} == {0 if batch.route == "left" else 1}
    _partitions_that_fit_stay_whole(case, by_number, decision, together)


def _partitions_that_fit_stay_whole(
    case: Case,
    by_number: dict[Numbered, Arrival],
    decision: Decision,
    together: dict[tuple[str | None, str | None, str | None], list[str]],
) -> None:
    batching = case.policy.batching
    for (route, reason, key), ids in together.items():
        sizes = [
            by_number[number].item.size
            for batch in decision.cut
            if (batch.route, batch.reason) == (route, reason)
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
    exist = case.policy.partitions.available(batch.partitions) == frozenset(batch.partitions)
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


NEW_YORK, BERLIN = "America/New_York", "Europe/Berlin"
DEFINITIONS = [
    dg.DailyPartitionsDefinition("2013-01-01", end_date="2013-03-01"),
    dg.DailyPartitionsDefinition("2013-01-01", end_date="2013-04-01", timezone=NEW_YORK),
    dg.DailyPartitionsDefinition("2013-01-01", end_date="2013-04-01", timezone=NEW_YORK, hour_offset=2),
    dg.DailyPartitionsDefinition("2013-03-01", end_date="2013-05-01", timezone=BERLIN, hour_offset=6, minute_offset=30),
    dg.DailyPartitionsDefinition(
        "2013-01-01", end_date="2013-03-01", exclusions=["0 0 * * SAT,SUN", datetime(2013, 1, 21)]
    ),
    dg.HourlyPartitionsDefinition("2013-01-01-00:00", end_date="2013-02-01-00:00"),
    dg.HourlyPartitionsDefinition("2013-03-09-00:00", end_date="2013-03-12-00:00", timezone=NEW_YORK),
    dg.HourlyPartitionsDefinition("2013-11-02-00:00", end_date="2013-11-05-00:00", timezone=NEW_YORK),
    dg.TimeWindowPartitionsDefinition(
        cron_schedule="*/30 * * * *",
        start="2013-11-02-00:00",
        end="2013-11-05-00:00",
        fmt="%Y-%m-%d-%H:%M",
        timezone=NEW_YORK,
    ),
    dg.WeeklyPartitionsDefinition("2012-12-30", end_date="2013-03-03"),
    dg.WeeklyPartitionsDefinition("2012-12-30", end_date="2013-04-07", timezone=NEW_YORK, day_offset=1),
    dg.MonthlyPartitionsDefinition("2013-01-01", end_date="2013-05-01"),
    dg.MonthlyPartitionsDefinition("2013-01-01", end_date="2013-12-01", timezone=BERLIN, day_offset=15),
    dg.DailyPartitionsDefinition("2013-01-01"),
]
ORDER = {definition: {key: n for n, key in enumerate(definition.get_partition_keys())} for definition in DEFINITIONS}


def _as_a_template_writes_it(moment: datetime) -> str:
    whole = moment.replace(microsecond=0)
    return whole.date().isoformat() if whole.time() == datetime.min.time() else whole.isoformat()


@st.composite
def placings(draw: st.DrawFn) -> tuple[dg.TimeWindowPartitionsDefinition, list[str]]:
    """Draw time windows, and dates and times as key templates write them, some outside the windows."""
    definition = draw(st.sampled_from(DEFINITIONS))
    first = definition.start.replace(tzinfo=None)
    # Most lie within the windows, and many in the nights when the clock is changed.
    near = [(first - timedelta(days=3), first + timedelta(days=70))]
    nights = [datetime(2013, 3, 10), datetime(2013, 3, 31), datetime(2013, 11, 3)]
    near += [(night, night + timedelta(hours=5)) for night in nights]
    moments = st.one_of(
        *(st.datetimes(*span) for span in near), st.datetimes(datetime(2012, 11, 1), datetime(2014, 1, 1))
    )
    texts = st.one_of(
        moments.map(lambda moment: moment.date().isoformat()),
        moments.map(_as_a_template_writes_it),
        moments.map(lambda moment: moment.replace(minute=0, second=0, microsecond=0).isoformat()),
        st.sampled_from(["2013-01-01", "2012-12-31", "2013-02-01", "2013-03-01", "never", "2013-13-01"]),
    )
    return definition, draw(st.lists(texts, max_size=12))


def an_item_belongs_to_the_window_of_its_partition(drawn: tuple[dg.TimeWindowPartitionsDefinition, list[str]]) -> None:
    """Where an item is placed is where a rebuild of the partition finds it; other items have no place at all."""
    definition, texts = drawn
    adapter = time_windows_module.TimePartitions(definition, join=True)
    order = ORDER[definition]
    keys: list[str] = []
    for text in texts:
        try:
            key = adapter.place(text)
        except Unplaceable:
            assert not _has_place(definition, text)
            continue
        assert key is not None
        assert key in order
        assert adapter.available([key, "never"]) == {key}
        start, stop = adapter.window(key)
        assert stop is not None
        assert start <= text < stop
        keys.append(key)
    distinct = list(dict.fromkeys(keys))
    ranges = adapter.ranges(distinct)
    assert Counter(key for group in ranges for key in group) == Counter(distinct)
    for group in ranges:
        assert all(order[other] == order[one] + 1 for one, other in pairwise(group))
    for one, other in pairwise(ranges):
        assert order[other[0]] > order[one[-1]] + 1
    alone = time_windows_module.TimePartitions(definition, join=False).ranges(distinct)
    assert all(len(group) == 1 for group in alone)


def _has_place(definition: dg.TimeWindowPartitionsDefinition, text: str) -> bool:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return False
    zoned = moment.replace(tzinfo=definition.start.tzinfo or UTC)
    if zoned < definition.start or (definition.end is not None and zoned >= definition.end):
        return False
    window = definition.time_window_for_partition_key(definition.get_partition_key_for_timestamp(zoned.timestamp()))
    # A day has no place where days begin at another hour; nor has a time that is excluded, or cut off by the end.
    by_day = window.start.time() == datetime.min.time() or len(text) > len("2013-01-01")
    inside = definition.end is None or window.end <= definition.end
    return by_day and inside and window.start >= definition.start and zoned < window.end


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
    # A key that names an hour names midnight as one, else it names the whole day.
    assert found.partition == (expected.isoformat() if "%H" in code else expected.date().isoformat())
    assert template.match(before + written + after + "x") is None
    assert template.match("x" + before + written + after) is None
    assert template.match("dir/" + before + written + after) is None
    for impossible in ("99", "00"):
        if "%d" in code and "%j" not in code:
            assert template.match(before + moment.strftime(code.replace("%d", impossible)) + after) is None
    globbed = template_module.KeyTemplate("**" + before + "{date:" + code + "}*" + after)
    assert globbed.match("a/b/" + before + written + "-corrected" + after) is not None
    assert globbed.match(before + written + "/sub" + after) is None
    keys = ["x" + before + written + after, before + written + after]
    assert template.match_all(keys) == ([None, found.partition], [0])


SIZES = st.sampled_from([(1, "KiB", 1024), (1, "MB", 10**6), (1, "GiB", 2**30), (3, "MiB", 3 * 2**20), (17, "", 17)])


def sizes_are_read_as_written(size: tuple[int, str, int]) -> None:
    """A size may be written as a number with a unit, with or without a space."""
    number, unit, expected = size
    assert Batching(max_bytes=f"{number} {unit}").bytes == expected
    assert Batching(max_bytes=f"{number}{unit}").bytes == expected
    assert Batching(max_bytes=expected).bytes == expected
