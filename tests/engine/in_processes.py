"""Tasks for the tests of process pools, in a module that is quick to import in a child."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

from surefoot import flow, get_run_logger, tags, task
from surefoot.context import FlowRunContext, TaskRunContext
from surefoot.runtime import flow_run, task_run

STARTED: list[Any] = []


def start(*values: Any) -> None:
    """An initializer."""
    STARTED.extend(values)


def start_badly() -> None:
    raise OSError("no disk")


def end_at_once() -> None:
    """An initializer too."""
    os._exit(7)


@task
def same(value: Any) -> Any:
    return value


@task
def pid(*_: Any) -> int:
    return os.getpid()


@task
async def pid_async() -> int:
    await asyncio.sleep(0)
    return os.getpid()


@task
def count_up(to: int) -> Iterator[int]:
    yield from range(to)


@task
async def count_up_async(to: int) -> AsyncIterator[int]:
    for number in range(to):
        yield number


@task
def started_with() -> list[Any]:
    return STARTED


@task
def surroundings(variable: str) -> tuple[Any, ...]:
    return os.environ.get(variable), os.getcwd(), sys.argv, sys.path


@task
def contexts() -> tuple[Any, ...]:
    flow_run, task_run = FlowRunContext.get(), TaskRunContext.get()
    assert flow_run is not None
    assert task_run is not None
    return (
        flow_run.flow.name,
        flow_run.flow_run.name,
        str(flow_run.flow_run.id),
        flow_run.parameters,
        task_run.task.name,
        task_run.task_run.name,
        task_run.task_run.run_count,
        task_run.parameters,
        task_run.task_run.tags,
    )


def _runtime() -> dict[str, Any]:
    groups = {"flow_run": flow_run, "task_run": task_run}
    return {
        f"{group}.{name}": getattr(module, name)
        for group, module in groups.items()
        for name in dir(module)
        if not name.startswith("__")
    }


@task(tags=["t"])
def runtime(value: int) -> dict[str, Any]:
    return _runtime()


@task(tags=["t"], name="runtime", isolation="process")
def runtime_apart(value: int) -> dict[str, Any]:
    return _runtime()


@task(log_prints=True)
def talk(number: int) -> None:
    for line in range(20):
        print(f"{number} says {line}")  # noqa: T201
    get_run_logger().warning("%s is done", number)


@task
def fails(text: str = "no disk") -> None:
    raise OSError(text)


@task(retries=2)
def fails_at_first(place: str) -> int:
    with open(place, "a") as file:
        file.write("x")
    if os.path.getsize(place) < 3:
        raise OSError("not yet")
    return os.path.getsize(place)


class Demanding(Exception):
    """Cannot be made again from what is pickled of it."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


@task
def demands() -> None:
    raise Demanding(3, "too little")


@task
def gives_lock() -> Any:
    return threading.Lock()


class Stays:
    """Comes to the owner, and does not go out again."""

    def __init__(self, goes: bool) -> None:
        self.goes = goes

    def __reduce__(self) -> Any:
        if not self.goes:
            raise TypeError("it stays here")
        return Stays, (False,)


@task
def gives_what_stays() -> Any:
    return Stays(goes=True)


@task
def inner(value: int) -> int:
    print("inner")  # noqa: T201
    if value < 0:
        raise ValueError("below zero")
    return value + 1


@flow
def inner_flow(value: int) -> Any:
    return inner(value)


@task(log_prints=True)
def outer(value: int) -> Any:
    with tags("within"):
        called = inner(value)
    flowed = inner_flow(value)
    futures = inner.map([1, 2, 3])
    return called, flowed, futures.result(), inner.submit(value)


@task
async def outer_async(value: int) -> Any:
    return await inner.submit(value)


@task
def ends_by(how: str) -> None:
    if how == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if how == "exit":
        os._exit(7)
    if how == "segfault":
        import ctypes

        ctypes.string_at(0)
    if how == "memory":
        raise MemoryError
    if how == "sys.exit":
        sys.exit(3)


@task(retries=1)
def dies_once(place: str) -> str:
    try:
        os.mkdir(place)
    except FileExistsError:
        return "alive"
    os.kill(os.getpid(), signal.SIGKILL)
    return ""


class Counter:
    def __init__(self, start: int) -> None:
        self.start = start

    @task
    def plus(self, number: int) -> int:
        return self.start + number
