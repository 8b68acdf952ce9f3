"""Variables in the ledger: what is set and removed, what is kept of that, and what reading costs."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest

from surefoot.core.errors import AlreadyExists, NotFound
from surefoot.core.ids import new_id, to_text
from surefoot.core.variables import KEPT, By, json_of
from surefoot.core.wire import VariableFilter
from surefoot.ledger import Ledger, queries
from surefoot.ledger.decisions.variables import set_variable, unset_variable
from surefoot.ledger.retention import Cutoffs
from tests.ledger.plans import Plans

Ask = Callable[..., Any]
ADA = By("ada@laptop")


def put(ledger: Ledger, name: str, value: Any, tags: list[str] | None = None, by: By = ADA, **options: Any) -> None:
    with ledger.decide() as tx:
        set_variable(tx, name, json_of(name, value), tags, by, new_id(), **{"overwrite": True, **options})


def remove(ledger: Ledger, name: str) -> bool:
    with ledger.decide() as tx:
        return unset_variable(tx, name, ADA)


def told(ask: Ask, name: str) -> list[tuple[int, str, Any, Any]]:
    found = ask(queries.list_variable_changes, name).results
    return [(each.number, each.action, each.before, each.after) for each in found]


def test_what_is_set_is_read_and_one_that_is_there_is_not_overwritten_unasked(ledger: Ledger, ask: Ask) -> None:
    put(ledger, "region", {"a": None}, ["nightly"], overwrite=False)
    with pytest.raises(AlreadyExists, match="There is a variable 'region' already"):
        put(ledger, "region", "b", overwrite=False)
    found = ask(queries.find_variable, "region")
    assert (found.name, found.value, found.tags) == ("region", {"a": None}, ["nightly"])
    assert found.created == found.updated
    put(ledger, "region", "b")
    changed = ask(queries.find_variable, "region")
    assert (changed.id, changed.value, changed.tags, changed.created) == (found.id, "b", ["nightly"], found.created)
    assert changed.updated >= found.updated
    assert ask(queries.variable_values, ["region", "nix", "region"]) == {"region": '"b"'}


def test_the_history_says_who_made_what_of_what(ledger: Ledger, ask: Ask) -> None:
    run = new_id()
    put(ledger, "x", None)
    put(ledger, "x", None)  # nothing became of it
    put(ledger, "x", 2, ["a"], By("ben@server", run, "calm-heron", is_task=True))
    assert remove(ledger, "x")
    assert not remove(ledger, "x")
    put(ledger, "x", "again")
    assert told(ask, "x") == [
        (4, "created", None, "again"),
        (3, "removed", 2, None),
        (2, "changed", None, 2),
        (1, "created", None, None),
    ]
    second = ask(queries.list_variable_changes, "x").results[2]
    assert (second.changed_by, second.run_id, second.run_name, second.run_type) == (
        "ben@server", to_text(run), "calm-heron", "task-run",
    )  # fmt: skip
    assert (second.tags_before, second.tags_after) == ([], ["a"])


def test_the_last_hundred_changes_are_kept_each_with_what_was_before(ledger: Ledger, ask: Ask) -> None:
    for number in range(KEPT + 20):
        put(ledger, "x", number)
    kept = told(ask, "x")
    assert len(kept) == KEPT
    assert kept[0] == (KEPT + 20, "changed", KEPT + 18, KEPT + 19)
    assert kept[-1] == (21, "changed", 19, 20)
    first = ask(queries.list_variable_changes, "x", limit=60)
    rest = ask(queries.list_variable_changes, "x", limit=60, after=first.after)
    assert (len(first.results), len(rest.results), rest.after) == (60, 40, None)


def test_variables_are_listed_by_name_and_by_tags(ledger: Ledger, ask: Ask) -> None:
    for name, tags in {"b-1": ["x"], "a_1": ["x", "y"], "a-1": []}.items():
        put(ledger, name, name, tags)

    def names(where: VariableFilter | None = None, **rest: Any) -> list[str]:
        return [each.name for each in ask(queries.list_variables, where, **rest).results]

    assert names() == ["a-1", "a_1", "b-1"]  # by code points, whatever language the database was made for
    assert names(VariableFilter(tags=["x"])) == ["a_1", "b-1"]
    assert names(VariableFilter(tags=["x", "y"])) == ["a_1"]
    assert names(VariableFilter(name_like="-")) == ["a-1", "b-1"]
    assert names(VariableFilter(name_like="_")) == ["a_1"]  # not any character
    page = ask(queries.list_variables, limit=2)
    assert names(after=page.after) == ["b-1"]


@pytest.mark.parametrize("query", [queries.find_variable, queries.list_variable_changes])
def test_one_that_is_not_there_is_told_with_the_nearest(ledger: Ledger, ask: Ask, query: Any) -> None:
    put(ledger, "page-size", 3)
    with pytest.raises(NotFound, match=r"There is no variable 'pagesize'\. Did you mean 'page-size'\?"):
        ask(query, "pagesize")


def test_what_became_of_removed_variables_is_forgotten_after_a_while(ledger: Ledger, ask: Ask) -> None:
    put(ledger, "stays", 1)
    put(ledger, "goes", 1)
    put(ledger, "goes", 2)
    remove(ledger, "goes")
    removed = ask(queries.list_variable_changes, "goes").results[0].timestamp
    at_us = int(removed.timestamp() * 1e6)
    ledger.retain(Cutoffs(runs_us=at_us - 1_000_000))
    assert len(told(ask, "goes")) == 3
    ledger.retain(Cutoffs(runs_us=at_us + 1_000_000))
    with pytest.raises(NotFound):
        told(ask, "goes")
    assert len(told(ask, "stays")) == 1


def test_whatever_happens_the_history_tells_how_it_came_to_what_is(ledger: Ledger, ask: Ask) -> None:
    draw = random.Random(3)
    model: dict[str, Any] = {}
    for step in range(150):
        name = draw.choice("ab")
        if draw.random() < 0.3:
            assert remove(ledger, name) == (model.pop(name, None) is not None)
        else:
            put(ledger, name, step)
            model[name] = step
    for name in "ab":
        value = None
        for each in reversed(ask(queries.list_variable_changes, name, limit=1000).results):
            assert each.before == value
            assert each.action == ("removed" if each.after is None else "created" if value is None else "changed")
            value = each.after
        assert value == model.get(name)


def test_no_variable_is_looked_for_by_walking_past_others(file_ledger: Ledger) -> None:
    for number in range(50):
        put(file_ledger, f"v-{number}", number)
    with file_ledger.decide() as tx:
        plans = Plans(tx)
        for plan in (
            plans.of(lambda tx: queries.variable_values(tx, ["v-1", "v-2"])),
            plans.of(lambda tx: queries.find_variable(tx, "v-7")),
            plans.of(lambda tx: queries.list_variable_changes(tx, "v-7")),
            plans.of(lambda tx: set_variable(tx, "v-7", "1", None, ADA, new_id(), overwrite=True)),
            plans.of(lambda tx: unset_variable(tx, "v-7", ADA)),
        ):
            assert not [line for line in plan.splitlines() if line.startswith("SCAN")], plan
