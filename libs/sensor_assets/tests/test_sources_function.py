"""Sources that are functions of the user's own."""

from collections.abc import Iterator
from dataclasses import fields
from datetime import date
from typing import Any, get_type_hints

import pytest
from sensor_assets import DefinitionError, Item, ItemGone, ScanContext, SourceError, source
from sensor_assets._sources.base import Common, CommonOptions
from sensor_assets._sources.function import FunctionSource
from sensor_assets.ledger import PostgresLedger

from .scanning import Scanner


def showing(*items: Item) -> FunctionSource:
    @source("shown")
    def shown(context: ScanContext) -> Iterator[Item]:
        """What is shown."""
        yield from items

    return shown


def test_what_the_function_yields_is_recorded_with_everything_it_says(ledger: PostgresLedger) -> None:
    scanner = Scanner(
        ledger, showing(Item(key="a", version="1", partition="2013-01-01", size=7, metadata={"wind": 3.5}))
    )
    assert scanner.scan() == 1
    [item] = scanner.items()
    assert (item.source, item.partition, item.size, item.metadata) == ("shown", "2013-01-01", 7, {"wind": 3.5})


def test_everything_may_be_yielded_each_time_and_only_what_is_new_arrives(ledger: PostgresLedger) -> None:
    Scanner(ledger, showing(Item(key="a", version="1"), Item(key="b", version="1"))).scan()
    assert Scanner(ledger, showing(Item(key="a", version="1"), Item(key="b", version="2"))).scan() == 1


def test_thousands_of_items_are_recorded_page_by_page(ledger: PostgresLedger) -> None:
    scanner = Scanner(ledger, showing(*(Item(key=f"{number}", version="1") for number in range(2500))))
    assert scanner.scan(pages=1) == 1000
    assert scanner.scan() == 1500
    assert scanner.scan() == 0


def test_the_function_is_told_what_is_recorded_and_gets_settings_and_resources_by_name(ledger: PostgresLedger) -> None:
    told: list[Any] = []

    @source("tickets")
    def tickets(context: ScanContext, helpdesk: list[str], team: str) -> Iterator[Item]:
        told.append((context.known(None), context.known(["t2", "none"]), context.settings.environment, helpdesk, team))
        yield Item(key="t1", version="1")
        yield Item(key="t2", version="5")

    assert tickets.required_resource_keys == {"helpdesk", "team"}
    scanner = Scanner(ledger, tickets)
    scanner.resources = {"helpdesk": ["open"], "team": "support"}
    scanner.scan()
    scanner.scan()
    assert told == [
        ({}, {}, "local", ["open"], "support"),
        ({"t1": "1", "t2": "5"}, {"t2": "5"}, "local", ["open"], "support"),
    ]


def test_what_was_yielded_before_the_function_failed_is_recorded(ledger: PostgresLedger) -> None:
    @source("breaking")
    def breaking(context: ScanContext) -> Iterator[Item]:
        yield from (Item(key=f"{number}", version="1") for number in range(1500))
        raise ConnectionError("gone")

    scanner = Scanner(ledger, breaking)
    with pytest.raises(SourceError, match="source 'breaking' failed: ConnectionError: gone"):
        scanner.scan()
    assert len(scanner.items()) == 1500


@pytest.mark.parametrize("between", [0, 998, 999, 1000, 2500])
@pytest.mark.parametrize("told", ["AB", "ABA", "AABB", "ABAB"])
def test_a_function_that_tells_all_versions_each_time_is_recorded_once(
    told: str, between: int, ledger: PostgresLedger
) -> None:
    shown: list[Item] = []
    for version in told:
        shown += [Item(key=f"other {version} {number}", version="1") for number in range(between)]
        shown.append(Item(key="k", version=version))
    scanner = Scanner(ledger, showing(*shown))
    scanner.scan()
    assert scanner.item("k").version == told[-1]
    assert [scanner.scan(), scanner.scan()] == [0, 0]
    shown.append(Item(key="k", version="C"))
    assert [scanner_of(ledger, shown).scan(), scanner_of(ledger, shown).scan()] == [1, 0]
    assert scanner.item("k").version == "C"


def scanner_of(ledger: PostgresLedger, shown: list[Item]) -> Scanner:
    return Scanner(ledger, showing(*shown))


def test_a_change_that_is_held_back_is_recorded_when_time_is_up(ledger: PostgresLedger) -> None:
    def numbered(version: str) -> list[Item]:
        return [Item(key=f"{number}", version=version) for number in range(1500)]

    scanner_of(ledger, numbered("1")).scan()
    late = scanner_of(ledger, numbered("2"))
    late.seconds = 0.0
    assert late.scan(pages=1) == 1000
    assert scanner_of(ledger, numbered("2")).scan() == 500


def test_more_changes_than_fit_into_memory_are_recorded_on_the_way(ledger: PostgresLedger) -> None:
    scanner_of(ledger, [Item(key=f"{number}", version="1") for number in range(12_500)]).scan()
    changed = scanner_of(ledger, [Item(key=f"{number}", version="2") for number in range(12_500)])
    assert changed.scan(pages=11) == 11_000
    assert changed.scan() == 1500


def test_a_thing_that_is_told_to_be_deleted_arrives_as_a_deletion_and_is_no_part_of_a_rebuild(
    ledger: PostgresLedger,
) -> None:
    scanner_of(ledger, [Item(key="a", version="1"), Item(key="b", version="1")]).scan()
    gone = scanner_of(ledger, [Item.deletion("a", version="1")])
    assert [gone.scan(), gone.scan()] == [1, 0]
    assert gone.keys() == ["b"]
    assert scanner_of(ledger, [Item(key="a", version="1")]).scan() == 1
    assert gone.keys() == ["a", "b"]


def test_reading_a_deletion_says_that_the_thing_is_gone() -> None:
    with pytest.raises(ItemGone, match="'a' of source 's' was deleted"):
        Item.deletion("a", version="1", source="s").read()


@pytest.mark.parametrize(
    ("yielded", "reason"),
    [
        (Item(key="a", version=""), r"an item \(key 'a'\) whose version is '', not a text"),
        (Item(key="a", version=5), r"an item \(key 'a'\) whose version is 5, not a text"),  # type: ignore[arg-type]
        (Item(key="a", version=None), "whose version is None, not a text"),  # type: ignore[arg-type]
        (Item(key=7, version="1"), r"an item \(key 7\) whose key is 7, not a text"),  # type: ignore[arg-type]
        (Item(key="a", version="1", partition=date(2013, 1, 1)), "whose partition is .* such as '2013-01-01'"),  # type: ignore[arg-type]
        (Item(key="a", version="1", metadata={"at": date(2013, 1, 1)}), "whose metadata is no JSON: .*date"),
        (Item(key="a", version="1", metadata={"wind": float("nan")}), "whose metadata is no JSON"),
        ({"key": "a"}, "dict {'key': 'a'} instead of an Item"),
        ("a", "str 'a' instead of an Item"),
        (None, "NoneType None instead of an Item"),
    ],
)
def test_something_that_is_no_item_is_told_and_what_came_before_it_is_recorded(
    yielded: Any, reason: str, ledger: PostgresLedger
) -> None:
    scanner = Scanner(ledger, showing(Item(key="good", version="1"), yielded))
    with pytest.raises(SourceError, match=f"source 'shown': its function yielded .*{reason}"):
        scanner.scan()
    assert scanner.keys() == ["good"]


def test_an_item_that_lacks_a_version_is_told(ledger: PostgresLedger) -> None:
    @source("shown")
    def shown(context: ScanContext) -> Iterator[Item]:
        yield Item(key="a")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]

    with pytest.raises(SourceError, match=r"source 'shown' failed: TypeError: .*'version'"):
        Scanner(ledger, shown).scan()


def test_a_function_that_returns_nothing_is_told_to_yield(ledger: PostgresLedger) -> None:
    @source("shown")
    def shown(context: ScanContext) -> Any:
        Item(key="a", version="1")

    with pytest.raises(SourceError, match="its function returned NoneType instead of items: let it yield each item"):
        Scanner(ledger, shown).scan()


def test_an_async_function_is_refused() -> None:
    with pytest.raises(DefinitionError, match=r"@source 'late': the function must not be async; .* asyncio\.run"):

        @source("late")  # pyright: ignore[reportArgumentType]
        async def late(context: ScanContext) -> Any:
            yield Item(key="a", version="1")


def test_the_function_stays_a_plain_function() -> None:
    item = Item(key="a", version="1")
    assert list(showing(item)(None)) == [item]


def test_the_functions_docstring_describes_the_source() -> None:
    assert showing().common.description == "What is shown."


def test_items_that_are_no_bytes_say_what_to_use_instead(ledger: PostgresLedger) -> None:
    scanner = Scanner(ledger, showing(Item(key="a", version="1")))
    scanner.scan()
    assert not scanner.client.readable
    with pytest.raises(Exception, match=r"items of source 'shown' have no bytes: use batch.rows\(\) .* item.metadata"):
        scanner.item("a").read()


def test_a_function_without_a_context_is_refused() -> None:
    with pytest.raises(DefinitionError, match="@source 'wrong': the function's first parameter must be 'context'"):

        @source("wrong")
        def wrong() -> Iterator[Item]:
            yield from ()


def test_what_every_source_takes_is_known_to_type_checkers() -> None:
    assert list(get_type_hints(CommonOptions)) == [field.name for field in fields(Common)]


def test_an_argument_that_no_source_takes_is_refused_by_name() -> None:
    with pytest.raises(DefinitionError, match="source 'shown': there is no argument evry; see FunctionSource"):
        source("shown", evry=30)(lambda context: ())  # pyright: ignore[reportCallIssue]
