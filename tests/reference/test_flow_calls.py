"""Chapters 1.2 and 1.3 of the reference: calls of flows, and what their return values mean as states."""

from __future__ import annotations

import asyncio
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pydantic
import pytest

from surefoot import flow, task
from surefoot.core.facts import TaskRunCreated
from surefoot.exceptions import (
    CancelledRun,
    CrashedRun,
    FailedRun,
    ParameterBindError,
    ParameterTypeError,
    PausedRun,
    UnfinishedRun,
)
from surefoot.states import Cancelled, Completed, Crashed, Failed, Paused, Pending, Retrying, Running, Scheduled, State
from tests.recorded import record
from tests.reference.rows import at, row

a_flow: Any = flow


def add(a: int, b: int = 2, *rest: int, **more: str) -> Any:
    return a, b, rest, more


# --- 1.2 calls --------------------------------------------------------------------------------------------------------


@row("1.40")
def test_a_call_gives_the_value_or_raises(row: str, home: Path) -> None:
    assert a_flow(add)(1) == (1, 2, (), {})

    async def later(a: int) -> int:
        return a

    assert asyncio.run(a_flow(later)(3)) == 3
    with pytest.raises(ZeroDivisionError):
        a_flow(name="breaks")(lambda: 1 // 0)()
    assert record(home).flow_run("breaks").end == ("FAILED", "Failed")


@pytest.mark.parametrize(("args", "kwargs"), [at("1.40", (), {}), at("1.40", (1,), {"a": 2}), at("1.40", (), {"b": 1})])
def test_a_call_that_does_not_fit_makes_no_run(args: tuple[Any, ...], kwargs: dict[str, Any], home: Path) -> None:
    with pytest.raises(ParameterBindError, match="Flow 'add' cannot be called like that"):
        a_flow(add)(*args, **kwargs)
    assert not home.exists() or not record(home).flow_runs


@row("1.40")
def test_a_value_of_the_wrong_type_makes_a_run_that_never_ran(row: str, home: Path) -> None:
    with pytest.raises(ParameterTypeError, match="b='two'"):
        a_flow(add)(1, "two")
    run = record(home).flow_run()
    assert run.end == ("FAILED", "NotReady")
    assert "Running" not in run.names


@pytest.mark.parametrize("raised", [at("1.41", KeyboardInterrupt), at("1.41", SystemExit)])
def test_return_state(raised: type[BaseException], home: Path) -> None:
    state = a_flow(name="fails")(lambda: 1 // 0)(return_state=True)
    assert (state.type, state.name) == ("FAILED", "Failed")
    assert a_flow(name="gives")(lambda: 3)(return_state=True).result() == 3

    def stops() -> None:
        raise raised

    with pytest.raises(raised):
        a_flow(stops)(return_state=True)
    assert record(home).flow_run("stops").end == ("CRASHED", "Crashed")

    def numbers() -> Iterator[int]:
        yield 1

    assert list(a_flow(numbers)(return_state=True)) == [1]


class Page(pydantic.BaseModel):
    url: str
    depth: int = 1


@row("1.43")
def test_values_are_coerced_by_their_annotations(row: str) -> None:
    assert a_flow(add)("1", "2", "3", x="y") == (1, 2, (3,), {"x": "y"})

    def open_page(page: Page, ratio: float, yes: bool) -> Any:
        return page, ratio, yes

    assert a_flow(open_page)({"url": "a", "depth": "2"}, 1, "true") == (Page(url="a", depth=2), 1.0, True)
    with pytest.raises(ParameterTypeError) as caught:
        a_flow(open_page)({"depth": "x"}, "much", True)
    for part in ("page.url", "page.depth='x'", "ratio='much'"):
        assert part in str(caught.value)


@row("1.44")
def test_a_large_parameter_is_recorded_by_its_size(row: str, home: Path) -> None:
    assert a_flow(lambda text: len(text))("x" * 1_000_000) == 1_000_000  # mended: it is refused there
    assert record(home).flow_run().parameters == {"text": "<str of 1000000>"}


@row("1.45")
def test_what_is_given_is_what_arrives_defaults_or_not(row: str, home: Path) -> None:
    shared: list[int] = []

    def appends(values: list[int] = shared) -> list[int]:
        values.append(1)
        return values

    a_flow(validate_parameters=False)(appends)()
    assert shared == [1], "a default is the object that stands in the signature, as of any function"
    assert a_flow(add)(a=1, b=2) == (1, 2, (), {})
    assert record(home).flow_run("add").parameters["b"] == 2


# --- 1.3 ends ---------------------------------------------------------------------------------------------------------


@task
def good(value: Any = 1) -> Any:
    return value


@task
def bad() -> None:
    raise ValueError("no disk")


@task
def stopped() -> Any:
    return Cancelled(message="enough")


def _raise(error: BaseException) -> None:
    raise error


ENDS: list[Any] = [
    at("1.60", lambda: None, "COMPLETED Completed", None, None),
    at("1.60", list, "COMPLETED Completed", [], None),
    at("1.60", lambda: {"a": 1}, "COMPLETED Completed", {"a": 1}, None),
    at("1.61", lambda: _raise(KeyError("day")), "FAILED Failed", KeyError, "KeyError: 'day'"),
    at("1.62", lambda: Completed(data=3, name="Sorted"), "COMPLETED Sorted", 3, None),
    at("1.62", lambda: Failed(message="mine"), "FAILED Failed", FailedRun, "mine"),
    at("1.62", lambda: Failed(data=KeyError("day")), "FAILED Failed", KeyError, None),
    at("1.62", lambda: Crashed(message="mine"), "CRASHED Crashed", CrashedRun, "mine"),
    at("1.62", lambda: Cancelled(message="mine"), "CANCELLED Cancelled", CancelledRun, "mine"),
    at("1.63", lambda: good(return_state=True), "COMPLETED Completed", 1, None),
    at("1.63", lambda: bad(return_state=True), "FAILED Failed", ValueError, "no disk"),
    at("1.63", lambda: [Completed(data=1), Completed(data=2)], "COMPLETED Completed", [1, 2], "All states completed"),
    at("1.63", lambda: [Completed(), Failed(message="mine")], "FAILED Failed", FailedRun, "1/2 states failed."),
    at("1.63", lambda: (Failed(), Cancelled()), "CANCELLED Cancelled", CancelledRun, "1/2 states cancelled."),
    at("1.63", lambda: [Failed(), Paused()], "PAUSED Paused", PausedRun, "1/2 states paused."),
    at("1.64", lambda: good.submit(5), "COMPLETED Completed", 5, None),
    at("1.64", lambda: bad.submit(), "FAILED Failed", ValueError, "no disk"),
    at("1.64", lambda: stopped.submit(), "CANCELLED Cancelled", CancelledRun, "enough"),
    at("1.65", lambda: good.map([1, 2]), "COMPLETED Completed", [1, 2], None),
    at("1.65", lambda: [good.submit(), bad.submit()], "FAILED Failed", ValueError, "1/2 states failed."),
    at("1.66", lambda: {"a": good.submit(4)}, "COMPLETED Completed", {"a": 4}, None),
    at("1.66", lambda: {"a": good.submit(4), "b": bad.submit()}, "FAILED Failed", ValueError, "1/2"),
    at("1.66", lambda: {"a": Failed(message="mine")}, "FAILED Failed", FailedRun, "mine"),
    at("1.67", lambda: Paused(), "PAUSED Paused", PausedRun, None),
    at("1.68", lambda: Running(), "FAILED Failed", FailedRun, "it returned the state Running, which is not an end"),
    at("1.68", lambda: Retrying(), "FAILED Failed", FailedRun, "Retrying, which is not an end"),
    at("1.69", lambda: Scheduled(), "FAILED Failed", FailedRun, "Scheduled, which is not an end"),
    at("1.69", lambda: Pending(), "FAILED Failed", FailedRun, "Pending, which is not an end"),
    at("1.70", lambda: bad(return_state=True) and None, "COMPLETED Completed", None, None),
    at("1.70", lambda: bad.submit().wait(), "COMPLETED Completed", None, None),
]


@pytest.mark.parametrize(("body", "end", "gives", "message"), ENDS)
def test_what_a_return_value_means(
    body: Callable[[], Any], end: str, gives: Any, message: str | None, home: Path
) -> None:
    main = flow(name="main")(body)
    if isinstance(gives, type):
        with pytest.raises(gives):
            main()
    else:
        assert main() == gives
    state = main(return_state=True)
    assert f"{state.type} {state.name}" == end
    assert message is None or message in (state.message or "")
    assert {f"{kind} {name}" for kind, name in (run.end for run in record(home).flow_runs)} == {end}


@row("1.69")
def test_the_result_of_a_state_that_is_no_end(row: str) -> None:
    with pytest.raises(UnfinishedRun):
        Scheduled().result()
    with pytest.raises(UnfinishedRun):
        Pending().result()


@row("1.71")
def test_futures_that_nobody_waited_for_come_to_their_ends(row: str, home: Path) -> None:
    go = threading.Event()

    @task
    def waits() -> None:
        assert go.wait(20)

    @flow
    def main() -> str:
        for _ in range(3):
            waits.submit()
        go.set()
        return "done"

    assert main() == "done"
    assert [run.end[1] for run in record(home).task_runs] == ["Completed"] * 3


@pytest.mark.parametrize(
    ("error", "end"),
    [
        at("1.72", KeyboardInterrupt(), "CRASHED Crashed"),
        at("1.72", SystemExit(3), "CRASHED Crashed"),
        at("1.72", GeneratorExit(), "CRASHED Crashed"),
    ],
)
def test_what_is_no_exception_is_raised_again(error: BaseException, end: str, home: Path) -> None:
    with pytest.raises(type(error)) as caught:
        flow(name="main")(lambda: _raise(error))()
    assert caught.value is error
    kind, name = record(home).flow_run().end
    assert f"{kind} {name}" == end


@row("1.73")
@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="a signal to a process is POSIX's")
def test_sigterm_crashes_the_run_and_ends_the_process_as_it_would_have_without(row: str, home: Path) -> None:
    script = (
        "import os, signal, threading\n"
        "from surefoot import flow\n"
        "from surefoot.exceptions import TerminationSignal\n"
        "@flow(on_crashed=[lambda flow, run, state: print('hook', state.type, flush=True)])\n"
        "def main():\n"
        "    try:\n"
        "        os.kill(os.getpid(), signal.SIGTERM)\n"
        "        threading.Event().wait(20)\n"
        "    except TerminationSignal as error:\n"
        "        print(error, flush=True)\n"
        "        raise\n"
        "main()\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout.splitlines() == [f"terminated by signal {int(signal.SIGTERM)}", "hook CRASHED"]
    assert done.returncode == -signal.SIGTERM
    assert record(home).flow_run().end == ("CRASHED", "Crashed")


@row("1.41")
def test_a_state_is_given_for_every_end(row: str) -> None:
    for body, *_ in (it.values for it in ENDS):
        assert isinstance(flow(name="main")(body)(return_state=True), State)


# --- how runs are told apart ------------------------------------------------------------------------------------------


@row("1.55")
def test_calls_of_a_task_are_counted_in_their_flow_run_and_named_with_three_digits(row: str, home: Path) -> None:
    @task
    def inc(x: int) -> int:
        return x + 1

    @task
    def other() -> None: ...

    @flow
    def inner() -> None:
        inc(1)

    @flow
    def main() -> None:
        inc(1)
        other()
        inc.submit(2).result()
        inner()

    main()
    found = record(home)
    of_main = found.flow_run("main").created.run_id
    runs = [run.created for run in found.task_runs if isinstance(run.created, TaskRunCreated)]
    assert [(run.task_name, run.index) for run in runs if run.flow_run_id == of_main] == [
        ("inc", 0),
        ("other", 0),
        ("inc", 1),
    ]
    assert [run.index for run in runs if run.flow_run_id != of_main] == [0]
    assert all(re.fullmatch(r"(inc|other)-[0-9a-f]{3}", run.name) for run in runs)
    assert len({run.run_id for run in runs}) == 4


@row("1.49")
def test_a_generator_that_is_returned_is_handed_out_as_it_is(row: str, home: Path) -> None:
    @task
    def rows() -> Iterator[int]:
        yield from range(3)

    @flow
    def main() -> Iterator[int]:
        return (n + 1 for n in rows())

    assert list(main()) == [1, 2, 3]
    assert record(home).flow_run("main").end == ("COMPLETED", "Completed")
