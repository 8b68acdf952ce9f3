"""Event loops that run already, as in web handlers and REPLs: flows are awaited in them, or called in their threads."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

from surefoot import flow, task
from surefoot.core.states import COMPLETED, CRASHED
from tests.engine.concurrency import SOON, no_thread_is_left  # noqa: F401  # a fixture
from tests.recorded import record


@task
async def add_one(n: int) -> int:
    await asyncio.sleep(0)
    return n + 1


@task
def double(n: int) -> int:
    return 2 * n


@flow
def blocks(n: int) -> int:
    found: int = add_one.submit(double.submit(n)).result()
    return found


@flow
async def awaits(n: int) -> int:
    found: int = await add_one(double(n)) + await add_one.submit(n)
    return found


def test_a_loop_of_ones_own_runs_flows_one_after_the_other() -> None:
    loop = asyncio.new_event_loop()
    try:
        assert [loop.run_until_complete(awaits(n)) for n in range(3)] == [2, 5, 8]
    finally:
        loop.close()


def test_handlers_call_blocking_flows_in_threads_while_others_await_theirs(home: Path) -> None:
    together = threading.Barrier(4, timeout=SOON)

    @flow
    def handled(n: int) -> int:
        together.wait()  # all four are under way at once
        found: int = blocks(n)
        return found

    async def handler(n: int) -> int:
        found: int = await (awaits(n) if n % 2 else asyncio.to_thread(handled, n))
        return found

    async def serve() -> list[int]:
        return await asyncio.gather(*(handler(n) for n in range(8)))

    assert asyncio.run(serve()) == [3 * n + 2 if n % 2 else 2 * n + 1 for n in range(8)]
    found = record(home)
    assert {run.end[0] for run in (*found.flow_runs, *found.task_runs)} == {COMPLETED}
    assert sorted(run.of for run in found.flow_runs) == ["awaits"] * 4 + ["blocks"] * 4 + ["handled"] * 4


def test_a_blocking_flow_in_a_coroutine_blocks_its_loop_and_none_of_its_own_tasks() -> None:
    async def main() -> tuple[int, list[int]]:
        return blocks(3), add_one_to_all([1, 2])

    @flow
    def add_one_to_all(numbers: list[int]) -> list[int]:
        return add_one.map(numbers).result()

    assert asyncio.run(main()) == (7, [2, 3])


def test_a_handler_that_is_given_up_ends_its_run_and_no_other(home: Path) -> None:
    async def main() -> object:
        begun = asyncio.Event()

        @flow
        async def given_up() -> None:
            begun.set()
            await asyncio.Event().wait()

        request = asyncio.create_task(given_up())
        await begun.wait()
        request.cancel()
        answers = await asyncio.gather(awaits(1), request, return_exceptions=True)
        return answers[0]

    assert asyncio.run(main()) == 5
    found = record(home)
    assert found.flow_run("given-up").end[0] is CRASHED
    assert found.flow_run("awaits").end[0] is COMPLETED
