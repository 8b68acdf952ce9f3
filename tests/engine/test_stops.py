"""Stops from outside: Ctrl-C and SIGTERM in every phase of a run, `sys.exit`, and the program's own handlers."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest

import surefoot
from surefoot import flow, task
from surefoot.core.states import StateType
from surefoot.exceptions import CrashedRun
from surefoot.futures import wait
from tests.faults.phases import PHASES
from tests.faults.program import End, assert_all_ended, has_closed, program, runs_in

CANCELLED, COMPLETED, CRASHED, FAILED = StateType.CANCELLED, StateType.COMPLETED, StateType.CRASHED, StateType.FAILED
OURS = os.path.dirname(surefoot.__file__)
WORDS = {signal.SIGINT: "interrupted (Ctrl-C)", signal.SIGTERM: "terminated (signal 15)"}

both_signals = pytest.mark.parametrize("number", list(WORDS), ids=["ctrl-c", "sigterm"])


def assert_stopped(end: End, home: Path, number: signal.Signals, ends: dict[str, StateType]) -> None:
    """The process ended as Python does, the runs for the reason that was, and the last line tells how to go on."""
    assert end.status == -number, end.stderr
    assert_all_ended(home)
    assert has_closed(home)
    runs = runs_in(home)
    assert {run.of: run.last.state_type for run in runs} == ends
    for run in runs:
        if run.last.state_type in (CRASHED, CANCELLED):
            assert run.last.message is not None
            assert run.last.message.startswith(WORDS[number]), run
    assert not end.innermost_file.startswith(f"{OURS}/core"), end.stderr
    assert "TerminationSignal" not in end.stderr
    assert ("\nKeyboardInterrupt\n" in end.stderr) == (number == signal.SIGINT), end.stderr
    outermost = [run for run in runs if getattr(run.created, "parent_flow_run_id", None) is None]
    assert end.last_line in {f"To see why: surefoot why {run.name}" for run in outermost}, end.stderr
    assert f"crashed: {WORDS[number]}" in end.stderr or FAILED in ends.values()


@both_signals
@pytest.mark.parametrize("phase", PHASES)
def test_a_signal_ends_all_runs_and_then_the_process(phase: str, number: signal.Signals, home: Path) -> None:
    text, ends = PHASES[phase]
    with program(text, home) as running:
        running.wait_for("on")
        running.send(number)
        end = running.end()
    assert_stopped(end, home, number, ends)


@both_signals
def test_a_signal_before_the_first_run_does_what_it_did_without_us(number: signal.Signals, home: Path) -> None:
    text = """
    @flow
    def f(): pass
    say("on")
    doze()
    f()
    """
    with program(text, home) as running:
        running.wait_for("on")
        running.send(number)
        end = running.end()
    assert end.status == -number
    assert "surefoot" not in end.stderr
    assert not home.exists()


# -- signals in quick succession, and others' handlers


def test_a_second_signal_cuts_the_wait_for_a_task_short_that_cannot_be_stopped(home: Path) -> None:
    text = """
    both = threading.Event()
    @task
    def t():
        both.wait()
        say("on")
        while True:
            try:
                while True:
                    try: os.read(os.pipe()[0], 1)
                    except BaseException: pass  # it came just before
            except BaseException: pass  # it came between two reads
    @task
    def later(x): pass
    @flow
    def f():
        future = later.submit(t.submit())
        future.add_done_callback(lambda _: say("told"))
        both.set()
        future.wait()
    f()
    """
    with program(text, home) as running:
        running.wait_for("on")
        running.send(signal.SIGINT)
        running.wait_for("told")  # by now the grace period of five seconds has begun
        running.send(signal.SIGINT)
        end = running.end()
    assert end.status == -signal.SIGINT
    assert_all_ended(home)
    ends = {run.of: (run.last.state_type, run.last.message) for run in runs_in(home)}
    assert ends["t"] == (CRASHED, "interrupted (Ctrl-C), while it was running")
    assert ends["later"] == (CANCELLED, "interrupted (Ctrl-C), before it started")
    assert ends["f"] == (CRASHED, "interrupted (Ctrl-C)")


@pytest.mark.parametrize("kind", ["flow", "task"])
def test_what_is_ended_with_an_interrupted_flow_is_not_the_cause_of_its_end(kind: str, home: Path) -> None:
    text = f"""
    @{kind}
    def inner():
        say("on")
        doze()
    @{kind}
    def not_begun(x): pass
    @flow
    def outer():
        future = inner.submit()
        not_begun.submit(future)
        future.wait()
    outer()
    """
    with program(text, home) as running:
        running.wait_for("on")
        running.send(signal.SIGINT)
        running.end()
    ends = {run.of: run.last for run in runs_in(home)}
    assert (ends["outer"].message, ends["outer"].cause_id) == ("interrupted (Ctrl-C)", None)
    assert ends["inner"].state_type is CRASHED


@pytest.mark.parametrize(("awaited", "innermost"), [("future", "outer"), ("nap(30)", "sleep")])
def test_what_interrupts_a_wait_in_an_event_loop_ends_where_the_users_code_waits(
    awaited: str, innermost: str, home: Path
) -> None:
    """A notebook shows the innermost frame even if it is one to be hidden."""
    text = f"""
    import traceback
    @task
    async def nap(s):
        say("on")
        await asyncio.sleep(s)
    @flow
    async def outer():
        future = nap.submit(30)
        await {awaited}
    async def main():
        try: await outer()
        except BaseException as error:
            say(traceback.extract_tb(error.__traceback__)[-1].name)
            raise
    asyncio.run(main())
    """
    with program(text, home) as running:
        running.wait_for("on")
        running.send(signal.SIGINT)
        running.wait_for(innermost)
        running.end()


def test_what_was_called_when_a_flow_was_interrupted_is_still_told_as_the_first(home: Path) -> None:
    text = """
    @task
    def submitted():
        doze()
    @flow
    def called():
        say("on")
        doze()
    @flow
    def outer():
        submitted.submit()
        called()
    outer()
    """
    with program(text, home) as running:
        running.wait_for("on")
        running.send(signal.SIGINT)
        running.end()
    runs = {run.of: run for run in runs_in(home)}
    assert runs["outer"].last.cause_id == runs["called"].created.run_id


def test_code_that_catches_ctrl_c_goes_on_and_is_interrupted_by_the_next(home: Path) -> None:
    text = """
    @task
    def t(): pass
    @flow
    def f():
        for number in range(3):
            try:
                say(f"on {number}")
                doze()
            except KeyboardInterrupt:
                say("caught")
            t()
        return 1
    assert f() == 1
    """
    with program(text, home) as running:
        for number in range(3):
            running.wait_for(f"on {number}")
            running.send(signal.SIGINT)
            running.wait_for("caught")
        end = running.end()
    assert end.status == 0, end.stderr
    assert [run.last.state_type for run in runs_in(home)] == [COMPLETED] * 4


def test_sigterm_ends_a_process_whose_flow_swallows_it_when_the_flow_has_ended(home: Path) -> None:
    text = """
    @flow
    def f():
        try:
            say("on")
            doze()
        except BaseException:
            say("caught")
    f()
    say("went on")
    """
    with program(text, home) as running:
        running.wait_for("on")
        running.send(signal.SIGTERM)
        running.wait_for("caught")
        end = running.end()
    assert end.status == -signal.SIGTERM
    assert "went on" not in end.stdout
    assert [run.last.state_type for run in runs_in(home)] == [COMPLETED]


@both_signals
def test_handlers_of_the_programs_own_stay(number: signal.Signals, home: Path) -> None:
    text = """
    number = signal.Signals(int(sys.argv[1]))
    heard = []
    def own(number, frame): heard.append(number)
    signal.signal(number, own)
    @flow
    def f():
        assert signal.getsignal(number) is own
        say("on")
        while not heard: pass
    f()
    assert signal.getsignal(number) is own
    """
    with program(text, home, str(int(number))) as running:
        running.wait_for("on")
        running.send(number)
        end = running.end()
    assert end.status == 0, end.stderr
    assert [run.last.state_type for run in runs_in(home)] == [COMPLETED]


def test_handlers_are_as_they_were_after_a_run_however_it_ended(home: Path) -> None:
    text = """
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGALRM)}
    def own(*_): pass
    @flow
    def completes(): pass
    @flow
    def fails(): raise ValueError
    @flow
    def exits(): sys.exit(3)
    @flow(timeout_seconds=0.01)
    def late(): doze()
    @flow
    async def awaits(): await asyncio.sleep(0)
    @flow
    async def interrupted(): signal.raise_signal(signal.SIGINT); await asyncio.sleep(1000)
    @flow
    def generates(): yield 1
    @flow
    def puts_in_its_own(): signal.signal(signal.SIGINT, own)
    calls = [completes, fails, exits, late, lambda: list(generates())]
    calls += [lambda: asyncio.run(awaits()), lambda: asyncio.run(interrupted())]
    for call in calls:
        try: call()
        except (ValueError, SystemExit, TimeoutError, KeyboardInterrupt): pass
        assert before == {number: signal.getsignal(number) for number in before}, call
        assert signal.getitimer(signal.ITIMER_REAL) == (0, 0)
    puts_in_its_own()
    assert signal.getsignal(signal.SIGINT) is own
    """
    with program(text, home) as running:
        end = running.end()
    assert end.status == 0, end.stderr


def test_flows_run_in_threads_without_a_look_at_signals(home: Path) -> None:
    text = """
    @task
    def t(): return 1
    @flow
    def f():
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
        return t() + t.submit().result()
    @flow
    async def g(): return t()
    results = []
    threads = [threading.Thread(target=lambda: results.append(f())) for _ in range(3)]
    threads.append(threading.Thread(target=lambda: results.append(asyncio.run(g()))))
    for thread in threads: thread.start()
    for thread in threads: thread.join()
    assert sorted(results) == [1, 2, 2, 2]
    """
    with program(text, home) as running:
        end = running.end()
    assert end.status == 0, end.stderr
    assert_all_ended(home)


def test_a_flow_in_a_thread_goes_on_when_the_main_thread_is_interrupted(home: Path) -> None:
    text = """
    go_on, done = threading.Event(), threading.Event()
    @flow
    def f():
        say("on")
        go_on.wait()
    def call():
        f()
        done.set()
    threading.Thread(target=call).start()
    try:
        while not done.wait(0.01): pass
    except KeyboardInterrupt:
        go_on.set()
    done.wait()
    """
    with program(text, home) as running:
        running.wait_for("on")
        running.send(signal.SIGINT)
        end = running.end()
    assert end.status == 0, end.stderr
    assert [run.last.state_type for run in runs_in(home)] == [COMPLETED]


# -- sys.exit


def test_sys_exit_in_a_flow_ends_it_crashed_and_goes_on_to_the_program(home: Path) -> None:
    text = """
    @task
    def t(): sys.exit("enough")
    @flow
    def direct(): t()
    @flow
    def itself(): sys.exit(3)
    for call in (direct, itself):
        for return_state in (False, True):
            try: call(return_state=return_state)
            except SystemExit as error: say(f"{call.name} {error.code}")
    direct()
    """
    with program(text, home) as running:
        end = running.end()
    assert end.status == 1
    assert end.stdout.split("\n") == ["direct enough", "direct enough", "itself 3", "itself 3", ""]
    assert_all_ended(home)
    ends = {(run.of, run.last.state_type, run.last.message) for run in runs_in(home)}
    assert ends == {
        ("direct", CRASHED, "sys.exit('enough') was called"),
        ("t", CRASHED, "sys.exit('enough') was called"),
        ("itself", CRASHED, "sys.exit(3) was called"),
    }


def test_sys_exit_in_a_submitted_task_ends_that_task_alone(home: Path) -> None:
    @task
    def leaves() -> None:
        sys.exit(2)

    @flow
    def program() -> str:
        future = leaves.submit()
        future.wait()
        assert wait([future]).done == {future}
        with pytest.raises(CrashedRun, match=r"sys\.exit\(2\) was called"):
            future.result()
        return future.state.name

    assert program() == "Crashed"


async def sys_exit_in_an_asynchronous_flow() -> None:
    @flow
    async def program() -> None:
        sys.exit(4)

    await program()


def test_sys_exit_in_an_asynchronous_flow_goes_on_through_its_loop(home: Path) -> None:
    with pytest.raises(SystemExit) as caught:
        asyncio.run(sys_exit_in_an_asynchronous_flow())
    assert caught.value.code == 4
    assert [run.last.message for run in runs_in(home)] == ["sys.exit(4) was called"]
