"""Cancelling from another process: in every phase of a run, and together with everything else that can stop it."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from surefoot.client import Client, get_client
from surefoot.core.errors import Refused
from surefoot.core.states import FINAL, StateType
from surefoot.core.wire import FlowRunFilter
from tests.faults.phases import PHASES
from tests.faults.program import assert_all_ended, has_closed, program, runs_in

CANCELLED, COMPLETED, CRASHED, FAILED = StateType.CANCELLED, StateType.COMPLETED, StateType.CRASHED, StateType.FAILED


@pytest.fixture
def client(home: Path) -> Iterator[Client]:
    with closing(get_client()) as found:
        yield found


@contextmanager
def quietly() -> Iterator[None]:
    """Somebody else's cancel may have been faster."""
    try:
        yield
    except Refused:
        pass


def cancel_all(client: Client) -> None:
    """Cancel all outermost flow runs that have not ended; where there is none, the task run."""
    runs = client.flow_runs(FlowRunFilter(is_root=True)).results
    for run in runs:
        client.cancel_flow_run(run.id)
    if not runs:
        (task,) = client.task_runs().results
        client.cancel_task_run(task.id)


# After one of two flows at once is cancelled, the program's own `gather` ends the other as it likes.
ELSEWHERE = {"a hook after the end", "two asynchronous flows at once"}


@pytest.mark.parametrize("phase", [phase for phase in PHASES if phase not in ELSEWHERE])
def test_a_cancel_ends_all_runs_and_the_program_goes_on(phase: str, home: Path, client: Client) -> None:
    text, ends = PHASES[phase]
    with program(text, home) as running:
        running.wait_for("on")
        cancel_all(client)
        end = running.end()
    assert end.status == 1, end.stderr
    assert "CancelledRun: " in end.stderr
    assert_all_ended(home)
    assert has_closed(home)
    runs = runs_in(home)
    wanted = {of: CANCELLED if kind is CRASHED else kind for of, kind in ends.items()}
    assert {run.of: run.last.state_type for run in runs} == wanted
    for run in runs:
        if run.last.state_type is CANCELLED:
            assert (run.last.message or "").startswith("asked by "), run


def test_a_run_that_has_ended_is_not_cancelled_while_its_hook_goes_on(home: Path, client: Client) -> None:
    text, ends = PHASES["a hook after the end"]
    with program(text, home) as running:
        running.wait_for("on")
        with pytest.raises(Refused, match="it is Failed, and cannot be cancelled"):
            cancel_all(client)
        running.send(signal.SIGINT)
        running.end()
    assert {run.of: run.last.state_type for run in runs_in(home)} == ends


def test_a_subflow_is_cancelled_alone_and_its_parent_goes_on(home: Path, client: Client) -> None:
    text = """
    from surefoot.exceptions import CancelledRun
    @task
    def t(): spin()
    @flow
    def inner():
        t.submit()
        say("on"); time.sleep(1000)
    @flow
    def f():
        try:
            inner()
        except CancelledRun as error:
            assert "inner" not in str(error) and "was cancelled: asked by" in str(error), error
            return inner(return_state=True).name
    assert f() == "Cancelled"
    """
    with program(text, home) as running:
        for _ in range(2):
            running.wait_for("on")
            newest = client.flow_runs(FlowRunFilter(is_root=False)).results[0]
            client.cancel_flow_run(newest.id)
        end = running.end()
    assert end.status == 0, end.stderr
    assert_all_ended(home)
    assert [(run.of, run.last.state_type) for run in runs_in(home)] == [
        ("f", COMPLETED),
        ("inner", CANCELLED),
        ("t", CANCELLED),
        ("inner", CANCELLED),
        ("t", CANCELLED),
    ]


@pytest.mark.parametrize(
    "call",
    ["t()", "t.submit().result()", "asyncio.run(calls())", "asyncio.run(submits())"],
    ids=["direct", "submitted", "awaited", "submitted-async"],
)
def test_a_task_run_is_cancelled_alone_and_its_flow_goes_on(call: str, home: Path, client: Client) -> None:
    text = f"""
    from surefoot.exceptions import CancelledRun
    @task
    def other(): spin()
    @task
    def t(): other.submit(); say("begun"); spin()
    @task
    async def awaited(): other.submit(); say("begun"); await asyncio.sleep(1000)
    @flow
    async def calls(): await awaited()
    @flow
    async def submits(): await awaited.submit()
    @flow
    def f():
        try:
            {call}
        except CancelledRun:
            say("caught")
        return 1
    assert f() == 1
    """
    with program(text, home) as running:
        running.wait_for("begun")
        run = next(run for run in client.task_runs().results if run.task_name in ("t", "awaited"))
        client.cancel_task_run(run.id)
        running.wait_for("caught")
        end = running.end()
    assert end.status == 0, end.stderr
    assert_all_ended(home)
    ends = {run.of: run.last.state_type for run in runs_in(home)}
    assert ends["f"] is COMPLETED
    assert ends["other"] is CANCELLED
    assert {ends.get("t"), ends.get("awaited")} == {CANCELLED, None}


def test_a_task_that_is_run_on_the_stack_of_one_that_is_cancelled_ends_by_itself(home: Path, client: Client) -> None:
    text = """
    from surefoot.task_runners import ThreadPoolTaskRunner
    gate = threading.Event()
    @task
    def below():
        say("on"); sys.stdin.read(0)
        while True: time.sleep(0.001)
    @task
    def above():
        futures.append(below.submit())
        return futures[0].result()
    futures = []
    @flow(task_runner=ThreadPoolTaskRunner(max_workers=1))
    def f():
        state = above.submit(return_state=True)
        say(f"then {state.name}")
    f()
    """
    with program(text, home) as running:
        running.wait_for("on")
        runs = {run.task_name: run for run in client.task_runs().results}
        client.cancel_task_run(runs["above"].id)
        running.wait_for("then Cancelled")
        assert running.end().status == 0
    # It was submitted by the one that was cancelled, so it is cancelled with it; but by itself, and only once.
    assert {run.of: run.last.state_type for run in runs_in(home)} == {
        "f": COMPLETED,
        "above": CANCELLED,
        "below": CANCELLED,
    }
    assert_all_ended(home)


def test_code_that_swallows_it_is_interrupted_again_by_the_next_cancel(home: Path, client: Client) -> None:
    text = """
    @flow
    def f():
        for number in range(2):
            try:
                say(f"on {number}")
                time.sleep(1000)
            except BaseException:
                say("caught")
        return 1
    say(f"then {f(return_state=True).name}")
    """
    with program(text, home) as running:
        for number in range(2):
            running.wait_for(f"on {number}")
            cancel_all(client)
            running.wait_for("caught")
        running.wait_for("then Cancelled")
        assert running.end().status == 0
    assert_all_ended(home)


def test_hooks_run_to_their_end_and_what_is_in_finally_too(home: Path, client: Client) -> None:
    text = """
    @task
    def tidies(): pass
    def hook(flow, run, state): say(f"hook {state.name}")
    @flow(on_cancellation=[hook])
    def f():
        try:
            say("on"); time.sleep(1000)
        finally:
            tidies()
            say("tidied")
    try: f()
    finally: say("caller")
    """
    with program(text, home) as running:
        running.wait_for("on")
        cancel_all(client)
        for line in ("tidied", "hook Cancelled", "caller"):
            running.wait_for(line)
        running.end()
    assert {run.of: run.last.state_type for run in runs_in(home)} == {"f": CANCELLED, "tidies": COMPLETED}


def test_what_a_thread_cannot_be_stopped_in_is_told_and_ended_all_the_same(home: Path, client: Client) -> None:
    text = """
    from surefoot.engine import pool
    pool.STOP_GRACE_S = 0.2
    @task
    def t():
        say("on"); os.read(os.pipe()[0], 1)
    @flow
    def f(): t.submit()
    f(return_state=True)
    """
    with program(text, home) as running:
        running.wait_for("on")
        cancel_all(client)
        end = running.end()
    assert end.status == 0, end.stderr
    runs = {run.of: run for run in runs_in(home)}
    assert runs["f"].last.state_type is CANCELLED
    assert runs["t"].last.state_type is CANCELLED
    assert (runs["t"].last.message or "").endswith("goes on, since nothing can interrupt it")
    assert "nothing can interrupt it" in end.stderr


def test_a_run_that_does_not_stop_is_cancelling_and_says_so(home: Path, client: Client) -> None:
    text = """
    from surefoot.engine import commands
    commands.STOP_GRACE_S = 0.05
    reads, writes = os.pipe()
    def main():
        @flow
        def f():
            say("on"); os.read(reads, 1)
        f(return_state=True)
    thread = threading.Thread(target=main)
    thread.start()
    sys.stdin.read()
    thread.join()
    """
    text = text.replace("    sys.stdin.read()\n", "    sys.argv[1:] and look(sys.argv[1])\n")
    look = """
    def look(path):
        while not os.path.exists(path): time.sleep(0.001)
        os.write(writes, b"x")
    """
    go = home.with_name("go")
    with program(look + text, home, str(go)) as running:
        running.wait_for("on")
        cancel_all(client)
        while client.flow_runs().results[0].state_type is not StateType.CANCELLING:
            pass
        summary = client.why(client.flow_runs().results[0].id).summary
        assert "was asked to stop by " in summary
        assert "and has not yet: it is in a call that nothing can interrupt" in summary
        go.touch()
        end = running.end()
    assert end.status == 0, end.stderr
    assert "does not stop: asked by " in end.stderr
    (run,) = runs_in(home)
    assert run.names[-2:] == ["Cancelling", "Cancelled"]


def test_a_generator_at_its_consumers_turn_ends_at_the_next_step(home: Path, client: Client) -> None:
    text = """
    from surefoot.exceptions import CancelledRun
    from surefoot.engine.reaching import ON
    @flow
    def f():
        try:
            yield 1
            yield 2
        finally:
            say("closed")
    values = f()
    next(values)
    say("on")
    (run,) = ON.values()
    while run.stop is None: time.sleep(0.001)
    try: next(values)
    except CancelledRun: say("told")
    """
    with program(text, home) as running:
        running.wait_for("on")
        cancel_all(client)
        running.wait_for("closed")
        running.wait_for("told")
        running.end()
    assert {run.of: run.last.state_type for run in runs_in(home)} == {"f": CANCELLED}


def test_a_cancel_and_a_timeout_at_once_make_one_end(home: Path, client: Client) -> None:
    text = """
    @task
    def t(): spin()
    @flow(timeout_seconds=0.5)
    def f():
        t.submit()
        say("on"); time.sleep(1000)
    print(f(return_state=True).name)
    """
    with program(text, home) as running:
        running.wait_for("on")
        for _ in range(100):
            with quietly():
                cancel_all(client)
        assert running.end().status == 0
    (run,) = client.flow_runs().results  # which has folded all
    assert run.state_type in (CANCELLED, FAILED)
    ends = [state for state in client.states(run.id) if state.type in FINAL]
    assert [(state.type, state.state_details.get("illegal")) for state in ends] == [(run.state_type, None)]


def test_a_cancelled_process_still_heeds_ctrl_c(home: Path, client: Client) -> None:
    text = """
    @flow
    def f():
        try:
            say("on"); time.sleep(1000)
        finally:
            say("tidies"); time.sleep(1000)
    f()
    """
    with program(text, home) as running:
        running.wait_for("on")
        cancel_all(client)
        running.wait_for("tidies")
        running.send(signal.SIGINT)
        assert running.end().status == -signal.SIGINT
    assert {run.of: run.last.state_type for run in runs_in(home)} == {"f": CANCELLED}
    assert_all_ended(home)


def test_a_program_that_has_the_signals_itself_is_cancelled_where_it_waits_through_surefoot(
    home: Path, client: Client
) -> None:
    text = """
    for name in ("SIGURG", "SIGVTALRM", "SIGPROF"):
        signal.signal(getattr(signal, name), lambda *_: None)
    @task
    def t(): say("on"); spin()
    @flow
    def f(): t.submit().result()
    f()
    """
    with program(text, home) as running:
        running.wait_for("on")
        cancel_all(client)
        assert running.end().status == 1
    assert {run.of: run.last.state_type for run in runs_in(home)} == {"f": CANCELLED, "t": CANCELLED}


def test_in_a_forked_child_a_run_of_its_own_is_cancelled_alone(home: Path, client: Client) -> None:
    text = """
    @flow
    def inner():
        say("on"); time.sleep(1000)
    @flow
    def f():
        child = os.fork()
        if not child:
            try: inner()
            except Exception: os._exit(7)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert f() == 7
    """
    with program(text, home) as running:
        running.wait_for("on")
        (run,) = client.flow_runs(FlowRunFilter(flow_name=["inner"])).results
        client.cancel_flow_run(run.id)
        end = running.end()
    assert end.status == 0, end.stderr
    assert {run.of: run.last.state_type for run in runs_in(home)} == {"f": COMPLETED, "inner": CANCELLED}
