"""What comes while Python cannot raise anything, in a finalizer or in a callback of the garbage collector or a weak
reference, comes once more when that is over.
"""

from __future__ import annotations

import signal
from contextlib import closing
from pathlib import Path

import pytest

from surefoot.client import get_client
from surefoot.core.states import StateType
from tests.faults.program import Program, assert_all_ended, program, runs_in

# Each calls `come()` where nothing can be raised.
PLACES = {
    "finalizer": """
class Thing:
    def __del__(self): come()
def pass_by():
    thing = Thing()
""",
    "weak reference": """
import weakref
class Thing: pass
def pass_by():
    thing = Thing()
    ref = weakref.ref(thing, lambda _: come())
    del thing
""",
    "garbage collector": """
import gc
def collected(phase, _):
    if phase == "stop":
        gc.callbacks.remove(collected)
        come()
def pass_by():
    gc.callbacks.append(collected)
    gc.collect()
""",
}
RAISES = """
def come(): signal.raise_signal(signal.{number})
@flow
def f():
    pass_by()
    say("on")
    {then}
f()
"""
WAITS = """
def come():
    say("on")
    while True: time.sleep(0.001)
"""

in_each_place = pytest.mark.parametrize("place", PLACES)


@in_each_place
@pytest.mark.parametrize("then", ["spin()", "time.sleep(1000)", "threading.Event().wait()"])
def test_ctrl_c_ends_the_run(place: str, then: str, home: Path) -> None:
    with program(PLACES[place] + RAISES.format(number="SIGINT", then=then), home) as running:
        end = running.end()
    assert end.status == -signal.SIGINT
    assert "ignored" not in end.stderr
    assert_all_ended(home)


@in_each_place
def test_sigterm_ends_the_process(place: str, home: Path) -> None:
    with program(PLACES[place] + RAISES.format(number="SIGTERM", then="spin()"), home) as running:
        assert running.end().status == -signal.SIGTERM
    assert_all_ended(home)


def cancel(running: Program) -> None:
    running.wait_for("on")
    with closing(get_client()) as client:
        (run,) = client.flow_runs().results
        client.cancel_flow_run(run.id)


@in_each_place
@pytest.mark.parametrize("call", ["t.fn()", "t.submit().wait()"])
def test_a_cancel_ends_the_run_and_its_task_in_a_thread(place: str, call: str, home: Path) -> None:
    text = """
@task
def t():
    pass_by()
    spin()
@flow
def f():
    {call}
f(return_state=True)
"""
    with program(WAITS + PLACES[place] + text.format(call=call), home) as running:
        cancel(running)
        assert running.end().status == 0
    assert_all_ended(home)
    assert {run.last.state_type for run in runs_in(home)} == {StateType.CANCELLED}


@in_each_place
@pytest.mark.parametrize("call", ["t(return_state=True)", "t.submit().wait()"])
def test_a_time_limit_ends_the_task(place: str, call: str, home: Path) -> None:
    text = """
@task(timeout_seconds=0.3)
def t():
    pass_by()
    spin()
@flow
def f():
    {call}
    return 1
f()
"""
    with program(WAITS + PLACES[place] + text.format(call=call), home) as running:
        assert running.end().status == 0
    assert_all_ended(home)
    assert {run.last.state_name for run in runs_in(home)} == {"TimedOut", "Completed"}


@in_each_place
def test_ctrl_c_in_a_loop_that_was_told_already_ends_it(place: str, home: Path) -> None:
    text = """
def come():
    for _ in range(2): signal.raise_signal(signal.SIGINT)  # the first cancels the main task, the second is raised
@flow
async def f():
    pass_by()
    spin()
asyncio.run(f())
"""
    with program(text + PLACES[place], home) as running:
        running.end()


AT_WORK = """
class Thing:
    def __del__(self): raise ValueError
def pass_by():
    thing = Thing()
sys.unraisablehook = lambda unraisable: come()
"""


@pytest.mark.parametrize("number", ["SIGINT", "SIGTERM"])
def test_a_signal_that_comes_to_the_programs_own_hook_is_not_lost(number: str, home: Path) -> None:
    with program(AT_WORK + RAISES.format(number=number, then="spin()"), home) as running:
        assert running.end().status == -getattr(signal, number)
    assert_all_ended(home)


@pytest.mark.parametrize("call", ["t(return_state=True)", "t.submit().wait()"])
def test_time_that_is_up_while_the_programs_own_hook_is_at_work_ends_the_task(call: str, home: Path) -> None:
    text = """
def come():
    end_s = begun_s + 0.5
    while time.monotonic() < end_s: pass
@task(timeout_seconds=0.3)
def t():
    global begun_s
    begun_s = time.monotonic()
    pass_by()
    spin()
@flow
def f():
    {call}
    return 1
f()
"""
    with program(AT_WORK + text.format(call=call), home) as running:
        assert running.end().status == 0
    assert_all_ended(home)
    assert {run.last.state_name for run in runs_in(home)} == {"TimedOut", "Completed"}


def test_a_time_limit_is_one_also_where_the_program_has_all_signals_for_calls(home: Path) -> None:
    text = """
for number in (signal.SIGURG, signal.SIGVTALRM, signal.SIGPROF): signal.signal(number, lambda *_: None)
@task(timeout_seconds=0.3)
def t():
    pass_by()
    spin()
@flow
def f():
    t(return_state=True)
    return 1
f()
"""
    with program(WAITS + PLACES["finalizer"] + text, home) as running:
        assert running.end().status == 0
    assert {run.last.state_name for run in runs_in(home)} == {"TimedOut", "Completed"}


def test_a_hook_of_ours_that_the_program_puts_back_stays_the_one(home: Path) -> None:
    text = """
@flow
def f(): pass
f()
ours = sys.unraisablehook
sys.unraisablehook = lambda unraisable: None
f()
sys.unraisablehook = ours
f()
say(sys.unraisablehook is ours)
"""
    with program(text, home) as running:
        assert running.end().stdout == "True\n"


def test_what_the_program_itself_raises_there_is_told_as_ever(home: Path) -> None:
    text = """
class Thing:
    def __del__(self): raise KeyboardInterrupt
@flow
def f():
    thing = Thing()
    del thing
f()
sys.unraisablehook = lambda unraisable: say("seen")
@flow
def g():
    thing = Thing()
    del thing
g()
"""
    with program(text, home) as running:
        end = running.end()
    assert end.status == 0
    assert "KeyboardInterrupt" in end.stderr
    assert "seen" in end.stdout
