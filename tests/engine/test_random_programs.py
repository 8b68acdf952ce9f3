"""Programs made up by chance: tasks that call, submit and wait for each other in every way end,
with the right values.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from surefoot import Future, quote, task
from surefoot.futures import as_completed, wait
from tests.engine.concurrency import Meter, add, no_thread_is_left, on  # noqa: F401  # one is a fixture


@dataclass(frozen=True)
class Node:
    """A task run: what it is, and what it does with others, one after another."""

    is_async: bool
    steps: tuple[tuple[str, Node], ...]

    def value(self, gift: int = 0) -> int:
        """What it is to return: one for each run, a gift counted again by who gets it."""
        total, given_on = 1 + gift, 0
        for way, child in self.steps:
            got = child.value(given_on)
            given_on = got if way == "give on" else 0
            total += got
        return total

    def has(self, way: str) -> bool:
        """Whether a run is had that way anywhere in it."""
        return any(way == each or child.has(way) for each, child in self.steps)


WAYS = ["call", "wait", "wait in time", "later", "as completed", "as an input", "returned", "give on", "in a subflow"]


def nodes(leaves: int) -> st.SearchStrategy[Node]:
    """Trees of so many runs or less."""
    leaf = st.builds(Node, st.booleans(), st.just(()))

    def grown(children: st.SearchStrategy[Node]) -> st.SearchStrategy[Node]:
        steps = st.lists(st.tuples(st.sampled_from(WAYS), children), min_size=1, max_size=4).map(tuple)
        return st.builds(Node, st.booleans(), steps)

    return st.recursive(leaf, grown, max_leaves=leaves)


class Program:
    """Runs a tree of nodes as tasks, and measures how many compute at once."""

    def __init__(self) -> None:
        self.meter = Meter()

        @task(name="sync")
        def on_thread(node: Node, gift: Future[int] | None = None) -> int:
            return self._on_thread(node, gift)

        @task(name="async")
        async def on_loop(node: Node, gift: Future[int] | None = None) -> int:
            return await self._on_loop(node, gift)

        @task(name="passes on")
        def passes_on(node: Node, gift: Future[int] | None) -> Any:
            return self.submit(node, gift and quote(gift))

        @on(1, name="sub")
        def subflow(node: Node, gift: Future[int] | None) -> int:
            return self.submit(node, gift and quote(gift)).result()

        self.on_thread, self.on_loop, self.passes_on, self.subflow = on_thread, on_loop, passes_on, subflow

    def submit(self, node: Node, gift: Any = None) -> Future[int]:
        return (self.on_loop if node.is_async else self.on_thread).submit(node, gift)

    def compute(self, *parts: int) -> int:
        """Some work, in the midst of which others may come."""
        with self.meter:
            return sum(parts) + sum(range(200)) - 19_900

    def _begin(self, way: str, child: Node, gift: Any) -> Future[int]:
        """A run whose value is wanted at the end."""
        if way == "as an input":
            return add.submit(self.submit(child, gift), 0)
        return self.passes_on.submit(child, gift) if way == "returned" else self.submit(child, gift)

    def _on_thread(self, node: Node, gift: Future[int] | None) -> int:
        total = self.compute(1, 0 if gift is None else gift.result())
        later: list[Future[int]] = []
        given_on: Any = None
        for way, child in node.steps:
            if way == "call" and not child.is_async:
                total += self.on_thread(child, given_on)
            elif way in ("call", "wait"):
                total += self.submit(child, given_on).result()
            elif way == "wait in time":
                total += self.submit(child, given_on).result(timeout=60)
            elif way == "in a subflow":
                total += self.subflow(child, given_on)
            else:
                later.append(self._begin(way, child, given_on))
            given_on = quote(later[-1]) if way == "give on" else None
            total = self.compute(total)
        if any(way == "as completed" for way, _ in node.steps):
            return self.compute(total, *[future.result() for future in as_completed(later)])
        wait(later)
        return self.compute(total, *[future.result() for future in later])

    async def _on_loop(self, node: Node, gift: Future[int] | None) -> int:
        total = self.compute(1, 0 if gift is None else await gift)
        later: list[Future[int]] = []
        given_on: Any = None
        for way, child in node.steps:
            if way == "call":
                total += await self.on_loop(child, given_on) if child.is_async else self.on_thread(child, given_on)
            elif way == "wait":
                total += await self.submit(child, given_on)
            elif way == "wait in time":  # and it holds its loop meanwhile
                total += self.submit(child, given_on).result(timeout=60)
            elif way == "in a subflow":
                total += self.subflow(child, given_on)
            else:
                later.append(self._begin(way, child, given_on))
            given_on = quote(later[-1]) if way == "give on" else None
            total = self.compute(total)
        if any(way == "as completed" for way, _ in node.steps):
            return self.compute(total, *await asyncio.gather(*later))
        return self.compute(total, *[await future for future in later])


def check(node: Node, workers: int | None) -> None:
    program = Program()

    @on(workers)
    def run() -> int:
        return program.submit(node).result()

    assert run() == node.value()
    if workers is not None and not node.has("in a subflow"):  # which has a worker of its own
        assert program.meter.most <= workers


WORKERS = st.sampled_from([1, 1, 2, 3, None])


@settings(max_examples=60)
@given(nodes(12), WORKERS)
def test_programs_of_a_few_tasks_end(node: Node, workers: int | None) -> None:
    check(node, workers)


@pytest.mark.long
@settings(max_examples=3_000)
@given(nodes(40), WORKERS)
def test_programs_of_many_tasks_end(node: Node, workers: int | None) -> None:
    check(node, workers)
