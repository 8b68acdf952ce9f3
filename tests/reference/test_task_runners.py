"""Chapter 6 of the reference: where submitted tasks run."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest

from surefoot import Task, flow, get_run_logger, tags, task, unmapped
from surefoot.context import (
    FlowRunContext,
    TagsContext,
    TaskRunContext,
    get_run_context,
    hydrated_context,
    serialize_context,
)
from surefoot.exceptions import BadInput, CancelledRun, MissingContextError, ParameterBindError
from surefoot.futures import Future, FutureList
from surefoot.runtime import flow_run, task_run
from surefoot.settings import get_current_settings, temporary_settings
from surefoot.task_runners import ConcurrentTaskRunner, ProcessPoolTaskRunner, TaskRunner, ThreadPoolTaskRunner
from tests.recorded import record
from tests.reference.rows import at, row


@task
def double(x: int) -> int:
    return 2 * x


@task
async def later(x: int) -> tuple[int, bool]:
    return x, threading.current_thread() is threading.main_thread()


@task
def where(x: int) -> int:
    return os.getpid()


@task
def fails(x: int) -> int:
    raise ValueError(f"no {x}")


# -- threads -----------------------------------------------------------------------------------------------------------


@row("6.01")
def test_threads_are_the_default_as_many_as_are_needed_or_as_the_argument_or_the_setting_says(row: str) -> None:
    assert ConcurrentTaskRunner is ThreadPoolTaskRunner
    runner = flow(lambda: None).task_runner
    assert isinstance(runner, ThreadPoolTaskRunner)
    assert runner.max_workers is None
    settings = get_current_settings()
    assert ThreadPoolTaskRunner().pool(settings, "x").max_workers == 1_000
    with temporary_settings({"tasks.runner.thread_pool_max_workers": 7}):
        settings = get_current_settings()
        assert ThreadPoolTaskRunner().pool(settings, "x").max_workers == 7
        assert ThreadPoolTaskRunner(3).pool(settings, "x").max_workers == 3


@pytest.mark.parametrize(
    ("make", "error", "says"),
    [
        at("6.01", lambda: ThreadPoolTaskRunner(0), ValueError, "max_workers is 0"),
        at("6.01", lambda: ThreadPoolTaskRunner("2"), TypeError, "max_workers is '2'"),  # type: ignore[arg-type]
        at("6.02", lambda: ProcessPoolTaskRunner(True), TypeError, "max_workers is True"),
        at("6.02", lambda: ProcessPoolTaskRunner(initializer=3), TypeError, "initializer is 3"),  # type: ignore[arg-type]
        at("6.02", lambda: ProcessPoolTaskRunner(initializer=print, initargs="x"), TypeError, "initargs is 'x'"),
        at("6.02", lambda: ProcessPoolTaskRunner(start_method="fork"), ValueError, "start_method is 'fork'"),
    ],
)
def test_what_no_runner_can_be_made_of(make: Callable[[], Any], error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says) as caught:
        make()
    assert isinstance(caught.value, BadInput)


@row("6.01")
def test_asynchronous_tasks_have_an_event_loop_in_another_thread(row: str) -> None:
    @flow
    def main() -> list[tuple[int, bool]]:
        return later.map([1, 2]).result()

    assert main() == [(1, False), (2, False)]


@row("6.01", "6.07", "6.10")
def test_a_bounded_pool_never_starves_however_deep_tasks_wait_for_tasks(
    row: str, capfd: pytest.CaptureFixture[str]
) -> None:
    @task(tags=["db"])
    def down(depth: int) -> int:
        return 0 if depth == 0 else 1 + down.submit(depth - 1).result()

    @flow(task_runner=ThreadPoolTaskRunner(max_workers=1))
    def main() -> tuple[int, int]:
        last = double.submit(0)
        for _ in range(50):
            last = double.submit(1, wait_for=[last])
        return down.submit(20).result(), last.result()

    with tags("db"):
        assert main() == (20, 2)
    assert "WARNING" not in capfd.readouterr().err


# -- processes ---------------------------------------------------------------------------------------------------------


def prepare(path: str) -> None:
    with open(path, "a") as file:
        file.write(f"{os.getpid()}\n")


@row("6.02")
def test_processes_are_as_many_as_said_and_begin_with_the_initializer(row: str, home: Path, tmp_path: Path) -> None:
    @task
    def here() -> int:
        get_run_logger().info("from there")
        return os.getpid()

    begun = tmp_path / "begun"

    @flow(task_runner=ProcessPoolTaskRunner(2, prepare, (str(begun),)))
    def main() -> list[int]:
        return [future.result() for future in [here.submit() for _ in range(6)]]

    pids = set(main())
    assert os.getpid() not in pids
    assert len(pids) <= 2
    assert pids <= set(map(int, begun.read_text().split()))
    assert record(home).messages().count("from there") == 6
    with temporary_settings({"tasks.runner.process_pool_max_workers": 3}):
        pool = ProcessPoolTaskRunner().pool(get_current_settings(), "x")
    assert pool.max_workers == 3
    pool.close()


@row("6.02")
def test_what_cannot_be_sent_is_refused_before_anything_runs(row: str) -> None:
    @flow(task_runner=ProcessPoolTaskRunner(1))
    def main() -> Any:
        return where.submit(threading.Lock())

    with pytest.raises(TypeError, match="'x'"):
        main()


# -- runners of one's own ----------------------------------------------------------------------------------------------


class Telling(ThreadPoolTaskRunner):
    """Notes what is asked of it."""

    def __init__(self, said: list[Any], workers: int | None = None) -> None:
        super().__init__(workers)
        self.said = said

    def __enter__(self) -> Telling:
        self.said.append("begins")
        return super().__enter__()

    def __exit__(self, *what: Any) -> None:
        self.said.append("ends")
        super().__exit__(*what)

    def submit(
        self,
        task: Task[..., Any],
        parameters: Mapping[str, Any],
        wait_for: Iterable[Any] | None = None,
        dependencies: Mapping[str, Iterable[Any]] | None = None,
    ) -> Future[Any]:
        self.said.append((task.name, dict(parameters)))
        return super().submit(task, {**parameters, "x": parameters["x"]}, wait_for, dependencies)


@row("6.06")
def test_a_runner_of_ones_own_is_asked_at_each_submit_and_map_and_told_the_end(row: str, home: Path) -> None:
    said: list[Any] = []
    runner = Telling(said, 2)

    @flow(task_runner=runner)
    def main() -> tuple[int, list[int], str]:
        first = double.submit(1)
        mapped = double.map(x=[1, 2])
        state = fails.submit(3, return_state=True)
        return double.submit(first).result(), mapped.result(), state.name

    for _ in range(2):
        assert main() == (4, [2, 4], "Failed")
        assert said[0] == "begins"
        assert said[-1] == "ends"
        assert [it for it in said if type(it) is tuple][:4] == [
            ("double", {"x": 1}),
            ("double", {"x": 1}),
            ("double", {"x": 2}),
            ("fails", {"x": 3}),
        ]
        said.clear()
    found = record(home)
    linked = [run.created.inputs for run in found.task_runs if run.created.inputs]
    assert len(linked) == 2
    assert runner._pool is None  # the template is not the runner of a run


@row("6.06")
def test_a_runner_may_derive_from_the_least(row: str) -> None:
    class Least(TaskRunner):
        def map(self, task: Task[..., Any], parameters: Mapping[str, Any], wait_for: Any = None) -> FutureList[Any]:
            return FutureList([self.submit(task, {"x": 7}, wait_for)])

    @flow(task_runner=Least())
    def main() -> list[int]:
        return double.map([1, 2, 3]).result()

    assert main() == [14]
    assert (Least().name, repr(Least())) == ("least", "Least()")


@row("6.06")
def test_a_runner_that_gives_no_future_is_told_of(row: str) -> None:
    class Wrong(TaskRunner):
        def submit(self, task: Any, parameters: Any, wait_for: Any = None, dependencies: Any = None) -> Any:
            return 3

    @flow(task_runner=Wrong())
    def main() -> Any:
        return double.submit(1)

    with pytest.raises(TypeError, match=r"submit\(\) of Wrong\(\) gave int, which is no future"):
        main()


@row("6.06")
def test_a_runner_that_raises_at_its_end_is_told_of_and_the_flow_completes(row: str, home: Path) -> None:
    class Broken(TaskRunner):
        def __exit__(self, *what: Any) -> None:
            raise OSError("cannot end")

    @flow(task_runner=Broken())
    def main() -> int:
        return double.submit(1).result()

    assert main() == 2
    assert "its task runner raised when it ended: OSError: cannot end" in record(home).messages()


@pytest.mark.parametrize(
    "act",
    [
        at("6.06", lambda it: it.submit(double, {"x": 1})),
        at("6.06", lambda it: it.map(double, {"x": [1]})),
        at("6.08", lambda it: it.cancel_all()),
    ],
)
@pytest.mark.parametrize("make", [TaskRunner, ThreadPoolTaskRunner, lambda: ProcessPoolTaskRunner(1)])
def test_a_runner_that_is_not_started_says_so(act: Callable[[Any], Any], make: Callable[[], Any]) -> None:
    with pytest.raises(MissingContextError, match="is not started") as caught:
        act(make())
    assert isinstance(caught.value, RuntimeError)


@pytest.mark.parametrize("make", [at("6.01", lambda: ThreadPoolTaskRunner(2)), at("6.06", TaskRunner)])
def test_a_runner_works_without_a_flow(make: Callable[[], TaskRunner], home: Path) -> None:
    with make() as runner:
        one = runner.submit(double, {"x": 1})
        two = runner.submit(double, {"x": one})
        all_of_them = runner.map(double, {"x": [1, 2, 3]}, wait_for=[two])
        assert (two.result(), all_of_them.result()) == (4, [2, 4, 6])
        with pytest.raises(RuntimeError, match="is started already"), runner:
            pass
        with pytest.raises(ParameterBindError, match="'y' is unknown"):
            runner.submit(double, {"y": 1})
        left = runner.submit(double, {"x": 9})
    assert left.result() == 18  # its end was waited for
    assert {run.names[-1] for run in record(home).task_runs} == {"Completed"}


@row("6.02")
def test_a_runner_of_processes_works_without_a_flow(row: str, home: Path) -> None:
    @task
    def tells(x: int) -> tuple[int, int]:
        get_run_logger().info("at %d", x)
        return x, double(x)

    with ProcessPoolTaskRunner(2) as runner:
        pids = set(runner.map(where, {"x": [1, 2, 3]}).result())
        first = runner.submit(tells, {"x": 3})
        assert runner.submit(double, {"x": 5}, wait_for=[first]).result() == 10
        assert first.result() == (3, 6)
        with pytest.raises(ValueError, match="no 4"):
            runner.submit(fails, {"x": 4}).result()
    assert os.getpid() not in pids
    assert len(pids) <= 2
    assert "at 3" in record(home).messages()


@row("6.06")
def test_a_runner_of_ones_own_may_have_processes(row: str) -> None:
    class Counting(ProcessPoolTaskRunner):
        count = 0

        def submit(self, *args: Any, **kwargs: Any) -> Future[Any]:
            self.count += 1
            return super().submit(*args, **kwargs)

    runner = Counting(1)

    @flow(task_runner=runner)
    def main() -> list[int]:
        return where.map([1, 2]).result()

    pids = main()
    assert os.getpid() not in pids
    assert (len(set(pids)), runner.count) == (1, 0)


@row("6.06")
def test_parameters_of_every_kind_arrive(row: str) -> None:
    @task
    def every(a: int, /, b: int, *rest: int, c: int = 3, **more: int) -> Any:
        return a, b, rest, c, more

    with TaskRunner() as runner:
        given = {"a": 1, "b": 2, "rest": (7, 8), "more": {"d": 4}}
        assert runner.submit(every, given).result() == (1, 2, (7, 8), 3, {"d": 4})
        assert runner.map(double, {"x": unmapped(1)} | {"x": [5]}).result() == [10]
        upstream = runner.submit(double, {"x": 1})
        assert runner.submit(double, {"x": 2}, dependencies={"x": [upstream]}).result() == 4


@row("6.08")
def test_cancel_all_stops_what_runs_and_drops_what_has_not_begun(row: str, home: Path) -> None:
    begun = threading.Event()
    never = threading.Event()

    @task
    def waits() -> None:
        begun.set()
        while not never.wait(0.05):
            pass

    with ThreadPoolTaskRunner(max_workers=1) as runner:
        running, waiting = runner.submit(waits, {}), runner.submit(waits, {})
        assert begun.wait(30)
        runner.cancel_all()
        assert [future.done() for future in (running, waiting)] == [True, True]
        assert [future.state.type for future in (running, waiting)] == ["CANCELLED", "CANCELLED"]
        with pytest.raises(CancelledRun):
            runner.submit(double, {"x": 1}).result()


@row("6.08")
def test_an_exception_on_the_way_out_drops_what_has_not_begun(row: str, home: Path) -> None:
    begun, go = threading.Event(), threading.Event()

    @task
    def waits() -> int:
        begun.set()
        go.wait(30)
        return 1

    def leave() -> None:
        with ThreadPoolTaskRunner(max_workers=1) as runner:
            futures.extend([runner.submit(waits, {}), runner.submit(double, {"x": 1})])
            assert begun.wait(30)
            futures[1].add_done_callback(lambda _: go.set())
            raise OSError("out")

    futures: list[Future[Any]] = []
    with pytest.raises(OSError, match="out"):
        leave()
    running, waiting = futures
    assert (running.result(), waiting.state.type) == (1, "CANCELLED")


STOPPED = """
import os, signal, sys, threading
from surefoot import task
from surefoot.task_runners import ThreadPoolTaskRunner
signal.signal(signal.SIGINT, signal.default_int_handler)
begun, never = threading.Event(), threading.Event()
@task
def spins():
    begun.set()
    while not never.wait(0.01): pass
try:
    with ThreadPoolTaskRunner(1) as runner:
        futures = [runner.submit(spins, {}), runner.submit(spins, {})]
        assert begun.wait(30)
        signal.raise_signal(signal.SIGINT)
        futures[0].result()
except KeyboardInterrupt:
    print([future.state.name for future in futures])
"""


@row("6.08")
def test_ctrl_c_stops_what_was_submitted_to_a_runner_without_a_flow(row: str, home: Path) -> None:
    done = subprocess.run([sys.executable, "-c", STOPPED], capture_output=True, text=True, check=False, timeout=120)
    assert done.stdout == "['Crashed', 'Cancelled']\n", done.stderr


# -- the context elsewhere ---------------------------------------------------------------------------------------------

ELSEWHERE = """
import pickle, sys
from surefoot import get_run_logger, task
from surefoot.context import FlowRunContext, TagsContext, get_run_context, hydrated_context
from surefoot.runtime import flow_run, task_run
from surefoot.runtime import flow_run, task_run
from surefoot.settings import get_current_settings

@task
def inner(x):
    get_run_logger().info("inner of there")
    return x + 1

with open(sys.argv[1], "rb") as file:
    told = pickle.load(file)
with hydrated_context(told):
    get_run_logger().info("from elsewhere")
    print(flow_run.name, flow_run.parameters, task_run.name, sorted(TagsContext.get().current_tags))
    print(get_current_settings().tasks.default_retries, type(get_run_context()).__name__)
    print(inner(1), inner.submit(2).result())
assert FlowRunContext.get() is None
"""


@row("6.09")
def test_the_context_of_a_run_is_taken_along_to_another_process(row: str, home: Path, tmp_path: Path) -> None:
    script, told, output = tmp_path / "elsewhere.py", tmp_path / "told", []
    script.write_text(ELSEWHERE)

    @task(task_run_name="outer")
    def outer() -> None:
        with open(told, "wb") as file:
            pickle.dump(serialize_context(), file)
        environment = {**os.environ, "SUREFOOT_HOME": str(tmp_path / "another home")}
        done = subprocess.run(
            [sys.executable, str(script), str(told)], env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        output.extend(done.stdout.splitlines())

    @flow(flow_run_name="main")
    def main(n: int) -> None:
        with tags("nightly"):
            outer()

    with temporary_settings({"tasks.default_retries": 4}):
        main(3)
    assert output == ["main {'n': 3} outer ['nightly']", "4 TaskRunContext", "2 3"]
    found = record(home)
    assert found.messages().count("from elsewhere") == 1
    line = next(line for line in found.lines if line.message == "from elsewhere")
    outer_id = found.task_run("outer").created.run_id
    assert (line.flow_run_id, line.task_run_id) == (found.flow_run().created.run_id, outer_id)
    inner = [run for run in found.task_runs if run.of == "inner"]
    assert [run.end[1] for run in inner] == ["Completed", "Completed"]
    assert {getattr(run.created, "flow_run_id", None) for run in inner} == {found.flow_run().created.run_id}


@row("6.09")
def test_the_context_is_taken_along_to_a_thread_and_given_back(row: str) -> None:
    seen: list[Any] = []

    def work(told: dict[str, Any]) -> None:
        with hydrated_context(told) as context:
            seen.extend([context, flow_run.name, task_run.name, sorted(TagsContext.get().current_tags)])
        seen.append(TaskRunContext.get())

    @flow(flow_run_name="main")
    def main() -> None:
        with tags("a"):
            thread = threading.Thread(target=work, args=(serialize_context(),))
            thread.start()
            thread.join()

    main()
    assert isinstance(seen[0], FlowRunContext)
    assert seen[1:] == ["main", None, ["a"], None]


@row("6.09")
def test_outside_of_runs_there_are_tags_and_settings_to_take_along(row: str) -> None:
    with tags("a"):
        told = serialize_context()
    with hydrated_context(told) as context:
        assert context is None
        assert TagsContext.get().current_tags == {"a"}
        with pytest.raises(MissingContextError):
            get_run_context()
    with hydrated_context(None) as context:
        assert context is None
    with pytest.raises(BadInput, match="is no context"), hydrated_context({"x": 1}):
        pass
