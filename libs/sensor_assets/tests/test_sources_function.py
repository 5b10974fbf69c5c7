"""Sources that are functions of the user's own."""

from collections.abc import Iterator
from dataclasses import fields
from typing import Any

import pytest
from sensor_assets import DefinitionError, Item, ScanContext, SourceError, source
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


def test_what_was_yielded_before_the_function_failed_stays_when_a_page_was_full(ledger: PostgresLedger) -> None:
    @source("breaking")
    def breaking(context: ScanContext) -> Iterator[Item]:
        yield from (Item(key=f"{number}", version="1") for number in range(1500))
        raise ConnectionError("gone")

    scanner = Scanner(ledger, breaking)
    with pytest.raises(SourceError, match="source 'breaking' failed: ConnectionError: gone"):
        scanner.scan()
    assert len(scanner.items()) == 1000


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
    assert list(CommonOptions.__annotations__) == [field.name for field in fields(Common)]


def test_an_argument_that_no_source_takes_is_refused_by_name() -> None:
    with pytest.raises(DefinitionError, match="source 'shown': there is no argument evry; see FunctionSource"):
        source("shown", evry=30)(lambda context: ())  # pyright: ignore[reportCallIssue]
