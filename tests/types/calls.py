"""What type checkers see of flows, tasks and futures. Read by mypy and by pyright, never run: see test_types.py.

Each `assert_type` is exact; each line that ends in `# wrong` must be an error to both.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, assert_type

from surefoot import Flow, Future, State, Task, flow, task
from surefoot.futures import FutureList


@task
def half(number: int) -> float:
    return number / 2


@task(isolation="process", memory_limit="2GiB", timeout_seconds=5)
def apart(number: int) -> float:
    return number / 2


@task(retries=2)
async def fetch(url: str, *, limit: int = 3) -> bytes:
    return url.encode()[:limit]


@flow
def nightly(day: str, count: int = 1) -> list[str]:
    return [day] * count


@flow(name="hourly")
async def hourly(day: str) -> int:
    return len(day)


class Loader:
    @task
    def load(self, name: str) -> dict[str, int]:
        return {name: 1}

    @flow
    def run(self, count: int) -> bool:
        return bool(self.load("a")) and count > 0


def decorated() -> None:
    assert_type(nightly.fn("mon"), list[str])
    half_fn: Callable[[int], float] = half.fn
    half_fn(3)


def called() -> None:
    assert_type(half(3), float)
    assert_type(half(number=3), float)
    assert_type(half(3, return_state=True), State[float])
    assert_type(half(3, wait_for=[half.submit(1)]), float)
    assert_type(nightly("mon"), list[str])
    assert_type(nightly("mon", count=2), list[str])
    assert_type(nightly("mon", return_state=True), State[list[str]])
    assert_type(apart(3), float)
    assert_type(apart.submit(3), Future[float])
    assert_type(apart.with_options(isolation=None, memory_limit=None)(3), float)
    half("three")  # wrong
    task(isolation="thread")  # wrong
    task(memory_limit=1.5)  # wrong
    half()  # wrong
    half(3, 4)  # wrong
    nightly("mon", cuont=2)  # wrong
    nightly(3)  # wrong


async def awaited() -> None:
    assert_type(await fetch("a", limit=1), bytes)
    assert_type(await fetch("a", return_state=True), State[bytes])
    assert_type(await hourly("mon"), int)
    coroutine: Coroutine[Any, Any, int] = hourly("mon")
    assert_type(await coroutine, int)
    assert_type(await fetch.submit("a"), bytes)
    await fetch(1)  # wrong


def submitted() -> None:
    future = half.submit(3)
    assert_type(future, Future[float])
    assert_type(future.result(), float)
    assert_type(half.submit(half.submit(2)), Future[float])
    assert_type(half.submit(3, return_state=True), State[float])
    assert_type(fetch.submit("a", return_state=True), State[bytes])
    assert_type(half.map([1, 2], return_state=True), list[State[float]])
    assert_type(fetch.map(["a"], return_state=True), list[State[bytes]])
    assert_type(future.state, State[float])
    assert_type(fetch.submit("a"), Future[bytes])
    assert_type(fetch.submit("a").result(), bytes)
    assert_type(half.map([1, 2]), FutureList[float])
    assert_type(half.map([1, 2]).result(), list[float])
    assert_type(fetch.map(["a"]).result(), list[bytes])


def hooked(flow: Flow[..., Any], run: object, state: State[Any]) -> None:
    assert_type(state.result(), Any)
    assert_type(state.result(raise_on_failure=False), Any | Exception)


def hooked_barely(flow: Flow[..., Any], run: object, state: State) -> None:
    assert_type(state, State[Any])
    assert_type(state.result(), Any)


async def stated(state: State[int]) -> None:
    assert_type(state.result(), int)
    assert_type(state.result(raise_on_failure=True), int)
    assert_type(state.result(raise_on_failure=False), int | Exception)
    assert_type(await state.aresult(), int)
    wider: State[float] = state
    bare: State = State("COMPLETED", data=3)
    whole: State[str] = state  # wrong
    _ = wider, bare, whole


@flow(on_completion=[hooked], on_failure=[hooked_barely])
def watched() -> State[int]:
    return half(3, return_state=True)  # wrong


def methods(loader: Loader) -> None:
    assert_type(loader.load("a"), dict[str, int])
    assert_type(loader.run(3), bool)
    assert_type(loader.load.submit("a"), Future[dict[str, int]])
    loader.load(3)  # wrong
    loader.run()  # wrong


def taken(any_flow: Flow[..., Any], any_task: Task[..., Any]) -> None:
    any_flow("anything", at=1)
    any_task(object())
