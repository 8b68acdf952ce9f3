"""Tasks in child processes: what is carried there and back, what is recorded, and what is refused before it runs."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from surefoot import flow, tags, task
from surefoot.core.ids import to_uuid
from surefoot.core.os.children import METHODS
from surefoot.core.os.cores import memory_kills, usable_cores
from surefoot.core.states import StateType
from surefoot.exceptions import BadInput, ChildDied, FailedRun, UnpicklableArgument, UnpicklableResult
from surefoot.settings import temporary_settings
from surefoot.task_runners import ProcessPoolTaskRunner
from tests.engine import in_processes as tasks
from tests.recorded import record

COMPLETED, CRASHED, FAILED = StateType.COMPLETED, StateType.CRASHED, StateType.FAILED

LOCK = threading.Lock()


def on_processes(workers: int | None = 1, **options: Any) -> Callable[..., Any]:
    """A flow decorator with that many processes."""
    return flow(task_runner=ProcessPoolTaskRunner(max_workers=workers, **options))


def states_of(f: Any) -> list[Any]:
    """What a flow's function gives, were it no flow's."""
    box: list[Any] = []

    @on_processes()
    def g() -> None:
        box.extend(f())

    g()
    return box


# -- calls


@pytest.mark.parametrize("method", METHODS)
def test_tasks_are_called_in_other_processes_at_most_so_many(method: str) -> None:
    @on_processes(2, start_method=method)
    def f() -> list[int]:
        return tasks.pid.map(range(20)).result()

    found = set(f())
    assert os.getpid() not in found
    assert 1 <= len(found) <= 2


def test_values_and_futures_are_carried_there_and_back() -> None:
    k = 10

    @task
    def closure(x: int, *, y: int = 1) -> int:
        return x + y + k

    @on_processes()
    def f() -> list[Any]:
        first = tasks.same.submit({"a": [1, 2]})
        return [
            tasks.same.submit((first, Path("x"))),
            closure.submit(1, y=2),
            task(lambda x: x * k).submit(3),
            tasks.same.submit(b"x" * 1_000_000),
            tasks.same.submit(tasks.same),
            tasks.Counter(5).plus.submit(2),
        ]

    both, closed, lambdas, large, itself, plus = f()
    assert both == ({"a": [1, 2]}, Path("x"))
    assert (closed, lambdas, plus) == (13, 30, 7)
    assert large == b"x" * 1_000_000
    assert itself is tasks.same


def test_a_copy_with_other_options_is_itself_there_not_the_task_that_it_was_made_of() -> None:
    copy = tasks.same.with_options(name="copy", retries=3, retry_condition_fn=lambda *_: LOCK is None)

    @task
    def look(one: Any) -> tuple[str, int, Any]:
        return one.name, one.retries, one(5)

    @on_processes()
    def f() -> list[Any]:
        return [copy.submit(4).result(), look.submit(tasks.same.with_options(name="other", retries=2)).result()]

    assert f() == [4, ("other", 2, 5)]


def test_asynchronous_tasks_and_generators_run_there() -> None:
    @on_processes()
    def f() -> list[Any]:
        return [tasks.pid_async.submit(), tasks.count_up.submit(3), tasks.count_up_async.submit(3)]

    pid, counted, counted_async = f()
    assert pid != os.getpid()
    assert counted == counted_async == [0, 1, 2]


def test_an_asynchronous_flow_uses_processes_too() -> None:
    import asyncio

    @on_processes(2)
    async def f() -> list[int]:
        futures = tasks.pid.map(range(4))
        return [await future for future in futures]

    assert os.getpid() not in asyncio.run(f())


def test_a_child_is_as_its_owner_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("OF_THE_TEST", "here")
    monkeypatch.chdir(tmp_path)

    @on_processes()
    def f() -> Any:
        return tasks.surroundings.submit("OF_THE_TEST")

    assert f() == ("here", str(tmp_path), sys.argv, sys.path)


def test_the_initializer_is_called_once_in_each_child() -> None:
    @on_processes(1, initializer=tasks.start, initargs=("a", 1))
    def f() -> Any:
        return [tasks.started_with.submit(), tasks.started_with.submit()]

    assert f() == [["a", 1], ["a", 1]]


def test_an_initializer_that_raises_fails_the_tasks() -> None:
    @on_processes(1, initializer=tasks.start_badly)
    def f() -> Any:
        return tasks.same.submit(1)

    with pytest.raises(BadInput, match="initializer of the task runner raised OSError: no disk"):
        f()


@pytest.mark.parametrize("initializer", [tasks.end_at_once, sys.exit])
def test_an_initializer_that_ends_its_process_is_told_as_such(initializer: Any) -> None:
    @on_processes(1, initializer=initializer)
    def f() -> Any:
        return tasks.same.submit(1)

    with pytest.raises(ChildDied, match=r"ended with exit code \d in the initializer of its task runner\."):
        f()


def test_a_process_that_dies_after_its_initializer_dies_in_the_call() -> None:
    @on_processes(1, initializer=tasks.start, initargs=(1,))
    def f() -> Any:
        assert tasks.started_with.submit().result() == [1]
        return tasks.ends_by.submit("exit")

    with pytest.raises(ChildDied, match="in the midst of the call"):
        f()


# -- lives


def test_states_retries_and_hooks_are_the_owners(home: Path, tmp_path: Path) -> None:
    hooks: list[Any] = []
    retried = task(retries=2, on_running=[lambda *_: hooks.append(os.getpid())])(tasks.fails_at_first.fn)

    @on_processes()
    def f() -> Any:
        return retried.submit(str(tmp_path / "count"))

    assert f() == 3
    assert hooks == [os.getpid()] * 3
    run = record(home).task_run()
    assert run.names == ["Pending", "Running", "Retrying", "Retrying", "Completed"]


def test_a_failure_comes_back_with_where_it_was_raised(home: Path) -> None:
    @on_processes()
    def f() -> Any:
        return tasks.fails.submit()

    with pytest.raises(OSError, match="no disk") as caught:
        f()
    assert "raise OSError(text)" in str(caught.value.__cause__)
    run = record(home).task_run()
    assert run.end == (FAILED, "Failed")
    assert run.last.traceback is not None
    assert run.last.traceback.startswith("Traceback")
    assert "raise OSError(text)" in run.last.traceback


def test_contexts_tags_and_settings_are_carried_there(home: Path) -> None:
    @on_processes(1)
    def named(n: int) -> Any:
        with tags("outside"):
            return tasks.contexts.submit()

    with temporary_settings({"logging.level": "DEBUG"}):
        found = named(7)
    kept = record(home)
    flow_run, task_run = kept.flow_run(), kept.task_run()
    assert found == (
        "named",
        flow_run.name,
        str(to_uuid(flow_run.created.run_id)),
        {"n": 7},
        "contexts",
        task_run.name,
        1,
        {},
        {"outside"},
    )


@pytest.mark.parametrize("asked", [tasks.runtime, tasks.runtime_apart])
def test_what_code_may_ask_about_its_run_is_the_same_in_another_process(home: Path, asked: Any) -> None:
    """Also the second time that the flow is called, and of a flow within another."""
    here: list[dict[str, Any]] = []
    there: list[dict[str, Any]] = []

    @flow(name="inner", retries=1, version=None)
    def inner(n: int) -> None:
        here.append(tasks.runtime(n))
        there.append(asked.submit(n).result())
        if len(here) == 1:
            raise ValueError("not yet")

    @flow
    def outer() -> None:
        with tags("outside"):
            inner.with_options(task_runner=ProcessPoolTaskRunner(max_workers=1))(7)

    outer()
    assert [one["flow_run.run_count"] for one in here] == [1, 2]
    assert here[0]["flow_run.flow_version"] is not None
    assert here[0]["flow_run.parent_flow_run_id"] == here[0]["flow_run.root_flow_run_id"] != here[0]["flow_run.id"]
    own = {"task_run.id", "task_run.name"}
    for one, other in zip(here, there, strict=True):
        assert {name: other[name] for name in other if name not in own} == {
            name: one[name] for name in one if name not in own
        }


def test_lines_and_prints_are_recorded_with_their_run_in_order(home: Path) -> None:
    @on_processes(2)
    def f() -> None:
        tasks.talk.map(range(4)).wait()

    f()
    kept = record(home)
    runs = {run.created.run_id for run in kept.task_runs}
    said: dict[bytes | None, list[str]] = {run_id: [] for run_id in runs}
    for line in kept.lines:
        assert line.flow_run_id == kept.flow_run().created.run_id
        if line.task_run_id is not None:
            said[line.task_run_id].append(line.message)
    for lines in said.values():
        number = lines[0][0]
        assert lines == [f"{number} says {line}" for line in range(20)] + [f"{number} is done"]


def test_what_a_task_calls_there_is_recorded_as_part_of_it(home: Path) -> None:
    @on_processes()
    def f() -> Any:
        return tasks.outer.submit(4)

    assert f() == (5, 5, [2, 3, 4], 5)
    kept = record(home)
    flow_run = next(run for run in kept.flow_runs if run.of == "f")
    inner_flow = kept.flow_run("inner-flow")
    outer = kept.task_run("outer")
    inner = [run.created for run in kept.task_runs if run.of == "inner"]
    assert inner_flow.created.parent_flow_run_id == flow_run.created.run_id  # type: ignore[union-attr]
    assert inner_flow.created.parent_task_run_id == outer.created.run_id
    assert len(inner) == 6
    within_flow = [run for run in inner if run.flow_run_id == inner_flow.created.run_id]  # type: ignore[union-attr]
    others = [run for run in inner if run not in within_flow]
    assert len(within_flow) == 1
    assert {run.flow_run_id for run in others} == {flow_run.created.run_id}  # type: ignore[union-attr]
    assert {run.parent_task_run_id for run in others} == {outer.created.run_id}
    assert [run.tags for run in others].count(("within",)) == 1
    assert all(run.end == (COMPLETED, "Completed") for run in kept.task_runs)
    assert kept.messages().count("inner") == 6  # `log_prints` is inherited


def test_a_failure_within_is_told_as_the_cause(home: Path) -> None:
    @on_processes()
    def f() -> Any:
        return tasks.outer.submit(-4)

    with pytest.raises(ValueError, match="below zero"):
        f()
    kept = record(home)
    assert kept.task_run("outer").last.cause_id == kept.task_run("inner").created.run_id


def test_results_of_tasks_called_there_are_stored_as_those_around_them_are(home: Path) -> None:
    @flow(task_runner=ProcessPoolTaskRunner(1), persist_result=True)
    def f() -> Any:
        return tasks.outer.submit(4)

    f()
    kept = record(home)
    stored = [run.of for run in [*kept.task_runs, *kept.flow_runs] if run.last.result is not None]
    assert sorted(stored) == ["f", *["inner"] * 6, "inner-flow", "outer"]


def test_an_asynchronous_task_awaits_what_it_submits_there() -> None:
    @on_processes()
    def f() -> Any:
        return tasks.outer_async.submit(1)

    assert f() == 2


# -- what cannot be sent


def test_an_argument_that_cannot_be_sent_is_named_before_anything_runs(home: Path) -> None:
    @on_processes()
    def f() -> None:
        tasks.same.submit(LOCK)

    with pytest.raises(UnpicklableArgument, match=r"Task 'same'.*its argument 'value'.*lock.*make it in the task"):
        f()
    assert record(home).task_runs == []


def test_one_row_of_a_map_that_cannot_be_sent_refuses_the_map(home: Path) -> None:
    @on_processes()
    def f() -> None:
        tasks.same.map([1, [2], [LOCK]])

    with pytest.raises(UnpicklableArgument, match=r"its argument 'value' of call 2 \(the first is 0\) cannot"):
        f()
    assert record(home).task_runs == []


def test_a_function_that_cannot_be_sent_is_refused_before_anything_runs(home: Path) -> None:
    lock = threading.Lock()

    @task
    def locks() -> None:
        with lock:
            pass

    @on_processes()
    def f() -> None:
        locks.submit()

    with pytest.raises(UnpicklableArgument, match=r"Task 'locks'.*what its function uses"):
        f()
    assert record(home).task_runs == []


def test_an_input_that_cannot_be_sent_fails_that_task_alone() -> None:
    def f() -> list[Any]:
        box = tasks.gives_what_stays.submit()
        return [tasks.same.submit(box, return_state=True), tasks.same.submit(2, return_state=True)]

    stays, two = states_of(f)
    assert stays.name == "NotReady"
    assert "its argument 'value'" in stays.message
    assert two.is_completed()


def test_a_result_that_cannot_be_brought_back_fails_its_task_alone() -> None:
    def f() -> list[Any]:
        return [tasks.gives_lock.submit(return_state=True), tasks.same.submit(2, return_state=True)]

    lock, two = states_of(f)
    assert lock.type is FAILED
    assert isinstance(lock.data, UnpicklableResult)
    assert "returned a lock that cannot be brought back" in lock.message
    assert two.is_completed()


def test_an_exception_that_cannot_be_brought_back_is_told(home: Path) -> None:
    @on_processes()
    def f() -> Any:
        return tasks.demands.submit()

    with pytest.raises(FailedRun, match="Demanding: too little"):
        f()
    traceback = record(home).task_run().last.traceback
    assert traceback is not None
    assert "raise Demanding" in traceback


# -- modules


def test_a_task_of_a_file_that_nobody_can_import_is_sent_as_it_is(tmp_path: Path) -> None:
    from surefoot.entrypoints import load_flow

    (tmp_path / "json.py").write_text(
        "import os\nfrom surefoot import flow, task\nfrom surefoot.task_runners import ProcessPoolTaskRunner\n"
        "def helper(): return os.getpid()\n"
        "@task\ndef work(): return helper()\n"
        "@flow(task_runner=ProcessPoolTaskRunner(1))\ndef main(): return work.submit()\n"
    )
    assert load_flow(f"{tmp_path / 'json.py'}:main")() != os.getpid()


def test_a_module_that_calls_a_flow_when_it_is_imported_is_refused_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "unguarded_flow.py").write_text(
        "from surefoot import flow, task\nfrom surefoot.task_runners import ProcessPoolTaskRunner\n"
        "@task\ndef work(): return 1\n"
        "@flow(task_runner=ProcessPoolTaskRunner(1))\ndef main(): return work.submit()\n"
        "main()\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(BadInput, match="called while its module was imported"):
        __import__("unguarded_flow")


# -- options


def test_a_runner_is_a_template() -> None:
    runner = ProcessPoolTaskRunner(3, tasks.start, [1], start_method="spawn")
    other = runner.duplicate()
    assert other is not runner
    assert vars(other) == vars(runner)
    assert repr(runner) == "ProcessPoolTaskRunner(max_workers=3)"


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"max_workers": 0}, "max_workers is 0"),
        ({"max_workers": 1.5}, "max_workers is 1.5"),
        ({"start_method": "fork"}, "not safe"),
        ({"start_method": "never"}, "is none here"),
        ({"initializer": 3}, "initializer is 3"),
        ({"initargs": "ab"}, "initargs is 'ab'"),
    ],
)
def test_an_option_that_cannot_be_is_refused(options: dict[str, Any], says: str) -> None:
    with pytest.raises(BadInput, match=says):
        ProcessPoolTaskRunner(**options)


def test_the_number_of_workers_is_that_of_the_setting_or_of_the_cores() -> None:
    with temporary_settings({}) as settings:
        assert ProcessPoolTaskRunner().pool(settings, "x").max_workers == usable_cores()
    with temporary_settings({"tasks.runner.process_pool_max_workers": 3}) as settings:
        assert ProcessPoolTaskRunner().pool(settings, "x").max_workers == 3
        assert ProcessPoolTaskRunner(2).pool(settings, "x").max_workers == 2


@pytest.mark.skipif(sys.platform != "linux", reason="control groups are Linux's")
@pytest.mark.parametrize(
    ("membership", "file", "text", "cores"),
    [
        ("0::/a/b\n", "a/cpu.max", "100000 100000", 1),
        ("0::/a/b\n", "a/b/cpu.max", "max 100000", 64),
        ("4:cpu,cpuacct:/c\n", "cpu,cpuacct/c/cpu.cfs_quota_us", "50000", 1),
        ("4:cpu:/c\n", "cpu/cpu.cfs_quota_us", "-1", 64),
        ("", "cpu.max", "nonsense", 64),
    ],
)
def test_the_share_of_a_container_counts(membership: str, file: str, text: str, cores: int, tmp_path: Path) -> None:
    path = tmp_path / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    if file.endswith("cfs_quota_us"):
        (path.parent / "cpu.cfs_period_us").write_text("100000")
    (tmp_path / "membership").write_text(membership)
    assert usable_cores(str(tmp_path), str(tmp_path / "membership")) == min(cores, usable_cores("/nowhere", "/nowhere"))


@pytest.mark.skipif(sys.platform != "linux", reason="control groups are Linux's")
def test_processes_killed_for_lack_of_memory_are_counted(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "memory.events").write_text("low 0\noom 2\noom_kill 2\n")
    (tmp_path / "membership").write_text("0::/a\n")
    assert memory_kills(str(tmp_path), str(tmp_path / "membership")) == 2
