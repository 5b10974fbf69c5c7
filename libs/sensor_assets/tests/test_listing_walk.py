"""The page map under random histories of what happens to a store, and kept mutants that the histories must kill."""

import inspect
import textwrap
from collections.abc import Callable
from random import Random, SystemRandom
from typing import Any

import pytest
from sensor_assets._listing import scan as scan_module
from sensor_assets._listing import walk as walk_module
from sensor_assets._listing.scan import KeyRange, Plan

from .listing_model import Store, StoreLister, ViolationError, World, histories

HISTORIES = 12_000
# A mutant that survives that many histories fails the suite.
MOST_HISTORIES_FOR_A_MUTANT = 3_000


def test_every_version_is_detected_once_whatever_happens_to_the_store() -> None:
    seed = SystemRandom().randrange(2**32)
    print(f"seed {seed}")  # a failing history names its own seed: play(seed) repeats it
    assert sum(histories(seed, HISTORIES)) > HISTORIES


def test_a_scan_with_time_for_one_page_gets_past_a_page_that_ends_just_before_the_window() -> None:
    world = World(Random(0))
    world.store, plan = Store(keeps_versions=False), Plan(window=[KeyRange("b", "z")], sweep=1)
    world.lister = StoreLister(world.store, 1, tells_the_end=True)
    for key in ("a", "a\U0001f600", "b"):  # the second lies between where a store is asked to begin and the window
        world.store.put(key)
    for _ in range(10):
        world.scan(plan, steps=1)
    world.must_know()


def test_a_first_sweep_with_time_for_one_page_ends_although_the_window_cuts_the_last_page_anew() -> None:
    world = World(Random(0))
    world.store, plan = Store(keeps_versions=False), Plan(window=[KeyRange("b", "z")], sweep=1)
    world.lister = StoreLister(world.store, 3, tells_the_end=False)
    for key in ("a", "a1", "a2", "aa", "c", "d"):
        world.store.put(key)
    for _ in range(10):
        world.scan(plan, steps=1)
    world.store.put("a")  # where the sweep has been: it is seen when the sweep begins again
    for _ in range(10):
        world.scan(plan, steps=1)
    world.must_know()


# --- mutants: (what is wrong, where, its replacement)

Original = Any


def text(before: str, after: str) -> Callable[[Original], Any]:
    """Return a mutant whose source has other words."""

    def make(original: Original) -> Any:
        source = textwrap.dedent(inspect.getsource(original))
        assert source.count(before) == 1, f"'{before}' is in there {source.count(before)} times"
        names: dict[str, Any] = {}
        exec(source.replace(before, after), inspect.getmodule(original).__dict__ | {"_": None}, names)
        return names[original.__name__]

    return make


MUTANTS: dict[str, tuple[Any, str, Callable[[Original], Any]]] = {
    "the boundary stays when the last key of a page was deleted": (
        walk_module,
        "_part",
        text("last=keys[stop - 1]", "last=keys[stop - 1] if stop < len(keys) else until"),
    ),
    "a page is unchanged when it has as many keys": (
        walk_module,
        "_unchanged",
        text("listed.digest == page.digest", "listed.keys == page.keys"),
    ),
    "what lies beyond the stretch is taken for part of it": (walk_module, "_inside", text("return", "return 0 * ")),
    "the key after the boundary is taken for part of the stretch": (
        walk_module,
        "_inside",
        lambda inside: lambda keys, bound: min(inside(keys, bound) + 1, len(keys)),
    ),
    "the last key of the stretch is forgotten": (
        walk_module,
        "_inside",
        lambda inside: lambda keys, bound: max(inside(keys, bound) - 1, 1),
    ),
    "pages that vanished from the end stay": (
        walk_module,
        "_agreed",
        text("Relisting(after=page.last, until=None, pages=())", "None"),
    ),
    "a page cut from several answers gets the digest of the first": (
        walk_module,
        "_pieces",
        lambda pieces: lambda answers, start, stop: pieces(answers, start, stop)[:1],
    ),
    "the stretch is remembered as reaching to the end": (walk_module, "_part", text("until=until", "until=None")),
    "the stretch is remembered as beginning at the beginning": (
        walk_module,
        "_part",
        text("Relisting(after=lower", "Relisting(after=None"),
    ),
    "a complete answer does not clear what was remembered behind it": (
        walk_module,
        "_whole",
        text("until=until, pages", "until=until or (lines.keys[-1] if lines else None), pages"),
    ),
    "the last page is not asked for more than it has": (
        walk_module,
        "_limit",
        text("page.keys if remembered.one_more() else max(page.keys, lister.page_keys)", "page.keys"),
    ),
    "lines of one key end in two pages": (walk_module, "_cuts", text("while 0 < cut", "while 0 > cut")),
    "an idle walk stops at the first answer that is known to be the last one of its page": (
        walk_module,
        "_agreed",
        text("if not listed.complete", "if False"),
    ),
    "a walk begins at the key, not where the key's page begins": (
        walk_module,
        "_begin",
        text("return lower, remembered", "return start, remembered"),
    ),
    "a sweep that was stopped begins again": (
        scan_module.Scan,
        "_sweep",
        text("None if self.position.sweep is None else _next(self.position.sweep)", "None"),
    ),
    "a sweep that was stopped skips a page": (
        scan_module.Scan,
        "_sweep",
        text(
            "_next(self.position.sweep)",
            "next((p.last + '\\0' for p in self._pages.after(self.position.sweep, 1)), None)",
        ),
    ),
    "a window that was stopped begins again": (
        scan_module.Scan,
        "_look_at_window",
        text("reached = self.position.window", "reached = None"),
    ),
    "the sweep never has its turn when the window takes all the time": (
        scan_module.Scan,
        "steps",
        text('self.position.turn == "sweep"', "False"),
    ),
    "the sweep leaves out what lies between two ranges of the window": (
        scan_module.Scan,
        "_sweep",
        text("[r.stop for r in self._plan.window] == [None]", "[r.stop for r in self._plan.window][-1:] == [None]"),
    ),
    "a key that an event names is taken for covered": (
        scan_module.Scan,
        "look",
        text("order(key) <= order(covered)", "order(key)[:1] <= order(covered)[:1]"),
    ),
    "a walk to a key stops before its page": (
        scan_module.Scan,
        "look",
        text("_next(key)", "key[:1]"),
    ),
}


@pytest.mark.parametrize("wrong", MUTANTS)
def test_the_histories_kill_each_mutant(wrong: str, monkeypatch: pytest.MonkeyPatch) -> None:
    owner, name, mutant = MUTANTS[wrong]
    monkeypatch.setattr(owner, name, mutant(getattr(owner, name)))
    with pytest.raises(ViolationError):
        for _ in histories(1, MOST_HISTORIES_FOR_A_MUTANT):
            pass
