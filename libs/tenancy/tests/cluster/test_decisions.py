"""The pure parts of the launcher: quantities, room in a quota, pauses; and lines of the log."""

import logging
from decimal import Decimal
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kubernetes.utils.quantity import parse_quantity  # pyright: ignore[reportUnknownVariableType]
from tenancy.cluster.log import OneLine
from tenancy.cluster.pauses import FIRST_SECONDS, LONGEST_SECONDS, Pauses
from tenancy.cluster.resources import quantity
from tenancy.cluster.room import SETTLE_SECONDS, Amounts, Quota, Room, lacking, of_a_run, of_a_server
from tenancy.cluster_values import resources

UNITS = ["", "n", "u", "m", "k", "M", "G", "T", "P", "E", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"]


@given(st.decimals(min_value=0, max_value=10**6, places=3), st.sampled_from(UNITS))
def test_a_quantity_is_what_kubernetes_own_client_takes_it_for(number: Decimal, unit: str) -> None:
    assert quantity(f"{number}{unit}") == parse_quantity(f"{number}{unit}")


@pytest.mark.parametrize(
    ("text", "value"), [("1e3", 1000), ("2E-3", Decimal("0.002")), (".5", Decimal("0.5")), ("1.", 1)]
)
def test_a_quantity_may_have_an_exponent_or_begin_with_a_point(text: str, value: Decimal) -> None:
    assert quantity(text) == value


@pytest.mark.parametrize("text", ["", "-1", "1 Gi", "1gi", "1e", "NaN", "Infinity", "1e999", "\u0661", "4GiB", "0x10"])
def test_what_is_no_quantity_is_an_error(text: str) -> None:
    with pytest.raises(ValueError, match="is no quantity"):
        quantity(text)


def test_a_pod_counts_for_its_limits_where_it_requests_nothing() -> None:
    limits = {"cpu": "2", "memory": "1Gi", "nvidia.com/gpu": 1, "ephemeral-storage": "3"}
    found = of_a_run({"limits": limits, "requests": {"cpu": "500m"}})
    assert found == {
        "limits.cpu": 2,
        "limits.memory": 2**30,
        "limits.ephemeral-storage": 3,
        "requests.cpu": Decimal("0.5"),
        "requests.memory": 2**30,
        "requests.ephemeral-storage": 3,
        "cpu": Decimal("0.5"),
        "memory": 2**30,
        "ephemeral-storage": 3,
        "pods": 1,
        "count/pods": 1,
        "count/jobs.batch": 1,
    }


def test_a_code_server_counts_as_a_pod_and_not_as_a_job() -> None:
    found = of_a_server(resources("100m", "256Mi", "1", "1Gi"))
    assert found == {
        "limits.cpu": 1,
        "limits.memory": 2**30,
        "requests.cpu": Decimal("0.1"),
        "requests.memory": 2**28,
        "cpu": Decimal("0.1"),
        "memory": 2**28,
        "pods": 1,
        "count/pods": 1,
    }


def test_every_quota_must_have_room_and_unknown_names_do_not_matter() -> None:
    wanted = of_a_run({"requests": {"cpu": "1"}})
    full = Quota({"pods": "3"}, {"pods": "3"})
    free = Quota({"requests.cpu": "4", "persistentvolumeclaims": "0"}, {"requests.cpu": "3"})
    assert lacking([free], wanted, {}, {}) == []
    (lack,) = lacking([free, full], wanted, {}, {})
    assert str(lack) == "pods: 1 wanted, 0 of 3 left"
    assert not lack.ever
    (lack,) = lacking([free], wanted, {"requests.cpu": Decimal("0.5")}, {})
    assert str(lack) == "requests.cpu: 1 wanted, 0.5 of 4 left"
    (lack,) = lacking([free], wanted, {}, {"requests.cpu": Decimal("0.1"), "limits.memory": Decimal(1)})
    assert str(lack) == "requests.cpu: 1 wanted, 0.9 of 4 left, beside 0.1 for a code server"
    assert not lack.ever


PODS: Amounts = {"pods": Decimal(1)}


def test_a_new_run_is_counted_until_its_pod_must_have_appeared() -> None:
    now = [0.0]
    room = Room(lambda _: [Quota({"pods": "2"}, {"pods": "1"})], lambda _: True, clock=lambda: now[0])
    assert room.take("a", "first", PODS, {}) == []
    assert [lack.name for lack in room.take("a", "second", PODS, {})] == ["pods"]
    assert room.take("b", "elsewhere", PODS, {}) == []
    room.give_back("first")
    assert room.take("a", "second", PODS, {}) == []
    now[0] += SETTLE_SECONDS
    assert room.take("a", "third", PODS, {}) == []


def test_runs_leave_room_for_a_code_server() -> None:
    used = ["2"]
    room = Room(lambda _: [Quota({"pods": "4"}, {"pods": used[0]})], lambda _: True)
    assert room.take("a", "first", PODS, PODS) == []
    assert [str(lack) for lack in room.take("a", "second", PODS, PODS)] == [
        "pods: 1 wanted, 0 of 4 left, beside 1 for a code server"
    ]
    used[0] = "1"
    assert room.take("a", "second", PODS, PODS) == []


def test_a_run_that_finds_no_room_beside_a_code_server_is_taken_when_it_is_alone() -> None:
    now, busy = [0.0], [True]
    room = Room(lambda _: [Quota({"pods": "3"}, {"pods": "2"})], lambda _: busy[0], clock=lambda: now[0])
    assert room.take("a", "first", PODS, PODS) != []
    busy[0] = False
    assert room.take("a", "first", PODS, PODS) == []
    # Its Job is not there yet, and the quota does not count it: nobody else is alone meanwhile.
    assert room.take("a", "second", {"pods": Decimal(0)}, {"pods": Decimal(2)}) != []
    room.give_back("first")
    assert room.take("a", "second", PODS, PODS) == []
    now[0] += SETTLE_SECONDS
    full = Room(lambda _: [Quota({"pods": "3"}, {"pods": "3"})], lambda _: False)
    assert full.take("a", "third", PODS, PODS) != [], "alone, and there is no room"


def test_a_pause_gets_longer_until_a_run_is_taken() -> None:
    now = [0.0]
    pauses = Pauses(clock=lambda: now[0])
    lengths: list[float] = []
    for _ in range(5):
        pauses.begin("weather")
        pauses.begin("weather")  # of another run, in the same look
        began = now[0]
        now[0] = next(t / 10 for t in count(int(began * 10)) if not _is_paused(pauses, now, t / 10))
        lengths.append(now[0] - began)
    assert lengths == [FIRST_SECONDS, 2 * FIRST_SECONDS, 4 * FIRST_SECONDS, LONGEST_SECONDS, LONGEST_SECONDS]
    pauses.end("weather")
    pauses.begin("weather")
    now[0] += FIRST_SECONDS
    assert pauses.teams() == set()


def _is_paused(pauses: Pauses, now: list[float], at: float) -> bool:
    now[0] = at
    return "weather" in pauses.teams()


def test_a_record_is_one_line_also_with_its_traceback() -> None:
    try:
        raise ValueError("one\ntwo")
    except ValueError as error:
        record = logging.LogRecord(
            "tenancy", logging.ERROR, "", 0, "it\nfailed", (), (ValueError, error, error.__traceback__)
        )
    line = OneLine().format(record)
    assert "\n" not in line
    assert "ERROR tenancy: it\\nfailed\\nTraceback" in line
    assert line.endswith("ValueError: one\\ntwo")


def test_a_location_that_cannot_be_loaded_is_told_without_the_stacks() -> None:
    warning = "x.py:1: Error loading repository location a-b:CheckError: wrong\n\nStack Trace:\n  File"
    record = logging.LogRecord("py.warnings", logging.WARNING, "", 0, "%s", (warning,), None)
    assert OneLine().format(record).endswith("Error loading repository location a-b:CheckError: wrong")
