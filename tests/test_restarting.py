"""Going on with a flow run that did not complete: what is taken over, what is called again and why, what is refused."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from surefoot import Flow, flow, task
from surefoot.client import get_client
from surefoot.client.resuming import EmbeddedEarlierRuns
from surefoot.core.errors import NotFound, Refused
from surefoot.core.ids import to_text
from surefoot.core.settings import temporary_settings
from surefoot.core.states import StateType
from surefoot.core.wire import FlowRun, TaskRun

COMPLETED, CRASHED, FAILED = StateType.COMPLETED, StateType.CRASHED, StateType.FAILED
broken = False
called: list[Any] = []


@pytest.fixture(autouse=True)
def _afresh() -> Iterator[None]:
    global broken
    broken = True
    called.clear()
    yield
    broken = False


def check() -> None:
    if broken:
        raise ValueError("broken")


def fails(program: Flow[..., Any], *args: Any, **kwargs: Any) -> FlowRun:
    """Call a flow whose run is to fail; then mend what was broken."""
    global broken
    state = program(*args, **kwargs, return_state=True)
    if asyncio.iscoroutine(state):
        state = asyncio.run(state)
    assert state.type is FAILED
    broken = False
    called.clear()
    return the_run(program.name)


def the_run(name: str) -> FlowRun:
    with closing(get_client()) as client:
        return next(run for run in client.flow_runs().results if run.flow_name == name)


def the_task_run(name: str) -> TaskRun:
    with closing(get_client()) as client:
        (run,) = [run for run in client.task_runs().results if run.task_name == name]
        return run


def why(run: FlowRun | TaskRun) -> str:
    with closing(get_client()) as client:
        told = client.why(run.id)
        return " ".join([told.summary, *told.causes])


@task
def load(name: str) -> dict[str, str]:
    called.append(f"load {name}")
    return {"name": name}


@task
def tell(row: dict[str, str]) -> str:
    called.append(f"tell {row['name']}")
    return row["name"].upper()


@task
def last(text: str) -> str:
    called.append("last")
    check()
    return text


@flow
def program(name: str = "x") -> Any:
    return last(tell(load(name)))


@pytest.mark.parametrize("hooks", ["on_completion", "on_failure", "on_running", "on_commit", "on_rollback"])
def test_what_a_task_with_hooks_gave_is_kept_too(hooks: str, home: Path) -> None:
    hooked: Any = tell.with_options(**{hooks: [lambda *_: None]})

    @flow(name="hooked")
    def program() -> Any:
        return last(hooked(load("a")))

    fails(program)
    assert program.retry(the_run("hooked").name) == "A"
    assert called == ["last"]


def test_a_run_goes_on_under_its_id_and_name_in_the_next_epoch(home: Path) -> None:
    before = fails(program, "a")
    assert program.retry(before.name) == "A"
    assert called == ["last"]
    after = the_run("program")
    assert (after.id, after.name, after.epoch, after.state_type) == (before.id, before.name, 1, COMPLETED)
    assert after.parameters == {"name": "a"}
    assert after.created == before.created
    with closing(get_client()) as client:
        assert len(client.task_runs().results) == 3
        states = client.states(before.id)
    assert not any("illegal" in state.state_details for state in states)


def test_why_tells_of_each_task_whether_it_was_taken_over(home: Path) -> None:
    program.retry(fails(program).id)
    assert "was not called again: it had completed in epoch 0" in why(the_task_run("load"))
    assert "it was called again in epoch 1: it had failed" in why(the_task_run("last"))
    assert "2 task runs had completed already and were not called again" in why(the_run("program"))


def test_a_task_whose_code_was_changed_is_called_again_and_so_is_what_was_made_of_it(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = fails(program, "a")

    def changed(name: str) -> dict[str, str]:
        called.append(f"changed {name}")
        return {"name": name + "!"}

    changed.__qualname__ = load.fn.__qualname__
    monkeypatch.setitem(globals(), "load", task(name="load")(changed))
    assert program.retry(run.id) == "A!"
    assert called == ["changed a", "tell a!", "last"]
    assert "its code was changed since it completed" in why(the_task_run("load"))


def test_other_parameters_may_be_given(home: Path) -> None:
    run = fails(program, "a")
    assert program.retry(run.id, parameters={"name": "b"}) == "B"
    assert called == ["load b", "tell b", "last"]
    with pytest.raises(Refused, match="has no parameter 'nme'"):
        program.retry(fails_again().id, parameters={"nme": "b"})


def fails_again() -> FlowRun:
    global broken
    broken = True
    return fails(program)


def test_a_run_may_go_on_more_than_once(home: Path) -> None:
    global broken
    run = fails(program)
    broken = True
    with pytest.raises(ValueError, match="broken"):
        program.retry(run.id)
    assert called == ["last"]
    assert the_run("program").epoch == 1
    broken = False
    assert program.retry(run.id) == "X"
    assert called == ["last", "last"]
    assert the_run("program").epoch == 2
    assert the_task_run("last").run_count == 3
    assert "it had completed in epoch 0" in why(the_task_run("load"))


def test_subflows_that_completed_are_taken_over_and_others_go_on_within(home: Path) -> None:
    @flow
    def done(number: int) -> int:
        called.append("done")
        return number + 1

    @flow
    def inner(number: int) -> Any:
        called.append("inner")
        first = load("i")
        return last(first["name"] + str(number))

    @flow
    def outer() -> Any:
        return inner(done(1))

    run = fails(outer)
    subs = {name: the_run(name).id for name in ("done", "inner")}
    assert outer.retry(run.id) == "i2"
    assert called == ["inner", "last"]
    assert {name: the_run(name).id for name in subs} == subs
    assert (the_run("done").state_name, the_run("inner").state_name) == ("Cached", "Completed")
    with pytest.raises(Refused, match="part of another"):
        inner.retry(subs["inner"])


def test_a_subflow_that_is_taken_over_goes_by_the_name_that_it_had(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    @flow(flow_run_name="of-{number}")
    def inner(number: int) -> int:
        return number

    @flow
    def outer() -> None:
        inner(7)
        check()

    run = fails(outer)
    capsys.readouterr()
    outer.retry(run.id)
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "inner/" in line]
    assert line.endswith("inner/of-7 | had completed in epoch 0")


def test_what_had_completed_and_was_not_called_since_is_taken_over_from_further_back(home: Path) -> None:
    epochs: list[int] = []

    @task
    def first() -> None:
        raise ValueError("broken")

    @task
    def load(n: int) -> int:
        called.append(n)
        return n

    @flow
    def program() -> int:
        epochs.append(len(epochs))
        if len(epochs) == 2:  # begun again, it waits for what it needs until the flow fails
            load.submit(5, wait_for=[first.submit()])
            raise ValueError("while it waits")
        value: int = load(5)
        check()
        return value

    run = fails(program)
    with pytest.raises(ValueError, match="while it waits"):
        program.retry(run.id)
    assert the_task_run("load").state_type is not COMPLETED
    assert program.retry(run.id) == 5
    assert called == []


def test_tasks_within_tasks_are_found_in_the_task_around_them(home: Path) -> None:
    @task
    def around(number: int) -> Any:
        called.append(f"around {number}")
        value = load("same")["name"]
        if number == 2:
            check()
        return value

    @flow
    def nested() -> list[str]:
        return [around(1), around(2)]

    run = fails(nested)
    assert nested.retry(run.id) == ["same", "same"]
    assert called == ["around 2"]  # and the load in it is taken over


def test_asynchronous_flows_go_on_likewise(home: Path) -> None:
    @task
    async def fetch(number: int) -> int:
        called.append(number)
        if number == 3:
            check()
        return number * 2

    @flow
    async def gathers() -> list[int]:
        return list(await asyncio.gather(*[fetch(number) for number in range(5)], return_exceptions=False))

    @flow
    async def submits() -> list[int]:
        futures = [fetch.submit(number) for number in range(5)]
        return [await future for future in futures]

    for each in (gathers, submits):
        globals()["broken"] = True
        run = fails(each)
        assert asyncio.run(each.retry(run.id)) == [0, 2, 4, 6, 8]
        assert 3 in called
        assert len(called) < 5


def test_a_generator_flow_goes_on_too(home: Path) -> None:
    @flow
    def yields() -> Iterator[str]:
        yield load("g")["name"]
        yield last("end")

    with pytest.raises(ValueError, match="broken"):
        list(yields())
    globals()["broken"] = False
    called.clear()
    assert list(yields.retry(the_run("yields").id)) == ["g", "end"]
    assert called == ["last"]


def test_parameters_that_json_cannot_hold_come_back_as_they_were(home: Path) -> None:
    seen: list[Any] = []

    @flow(validate_parameters=False)
    def takes(point: Any, rows: Any, plain: int) -> None:
        seen.append((point, rows, plain))
        check()

    run = fails(takes, (1, 2), {3: {"x"}}, 4)
    takes.retry(run.id)
    assert seen[0] == seen[1] == ((1, 2), {3: {"x"}}, 4)
    assert type(seen[1][0]) is tuple


def test_a_parameter_that_could_not_be_kept_has_to_be_given_again(home: Path) -> None:
    @flow(validate_parameters=False)
    def takes(lock: Any, number: int) -> int:
        check()
        return number

    @flow
    def secret(token: SecretStr) -> str:
        check()
        return token.get_secret_value()

    run = fails(takes, threading.Lock(), 1)
    with pytest.raises(Refused, match=r"Parameter 'lock' .* could not be kept: it cannot be pickled: ") as caught:
        takes.retry(run.id)
    assert f"takes.retry('{run.id}', parameters={{'lock': ...}})" in caught.value.do
    assert the_run("takes").epoch == 0
    assert takes.retry(run.id, parameters={"lock": None}) == 1

    globals()["broken"] = True
    run = fails(secret, SecretStr("hush"))
    with pytest.raises(Refused, match="could not be kept: it is secret"):
        secret.retry(run.id)
    assert secret.retry(run.id, parameters={"token": "hush"}) == "hush"


@pytest.mark.parametrize("damage", ["removed", "corrupt"])
def test_a_result_that_is_gone_is_made_anew_and_why_says_so(damage: str, home: Path) -> None:
    run = fails(program)
    packs = [path for path in (home / "results").rglob("*") if path.is_file()]
    assert packs
    for path in packs:
        path.chmod(0o600)
        if damage == "removed":
            path.unlink()
        else:
            data = bytearray(path.read_bytes())
            data[64:] = b"\xff" * len(data[64:])
            path.write_bytes(data)
    assert program.retry(run.id) == "X"
    assert called == ["load x", "tell x", "last"]
    assert "it had completed, but" in why(the_task_run("load"))


def test_a_result_that_cannot_be_pickled_is_made_anew_and_why_says_so(home: Path) -> None:
    @task
    def locks() -> Any:
        called.append("locks")
        return threading.Lock()

    @flow
    def locking() -> Any:
        locks()
        return last("done")

    run = fails(locking)
    assert locking.retry(run.id) == "done"
    assert called == ["locks", "last"]
    assert "cannot be pickled" in why(the_task_run("locks"))


def test_nothing_is_kept_where_the_settings_say_so(home: Path) -> None:
    with temporary_settings({"results.keep_for_resuming": False}):
        run = fails(program)
        assert not (home / "results").exists()
        before = the_task_run("load").id
        assert program.retry(run.id) == "X"
        assert the_task_run("load").id == before  # the same run, in its next epoch
    assert called == ["load x", "tell x", "last"]
    assert "results are not kept (results.keep_for_resuming=false)" in why(the_task_run("load"))


def test_a_result_that_was_stored_by_request_is_taken_over_too(home: Path, tmp_path: Path) -> None:
    @task(persist_result=True, result_storage=tmp_path / "store", result_serializer="json")
    def stored() -> list[int]:
        called.append("stored")
        return [1, 2]

    @flow
    def storing() -> Any:
        return last(str(stored()))

    run = fails(storing)
    assert storing.retry(run.id) == "[1, 2]"
    assert called == ["last"]


def test_a_run_that_is_changed_by_hand_between_its_tasks_is_seen(home: Path) -> None:
    @flow
    def mutates(name: str) -> Any:
        row = load("m")
        row["name"] = name
        return last(tell(row))

    run = fails(mutates, "a")
    assert mutates.retry(run.id, parameters={"name": "b"}) == "B"
    assert called == ["tell b", "last"]


def test_what_cannot_go_on_is_refused_before_anything_runs(home: Path) -> None:
    @flow
    def other() -> None: ...

    other()
    with pytest.raises(Refused, match="completed: there is nothing left to do"):
        other.retry(the_run("other").id)
    with pytest.raises(NotFound):
        other.retry("no-such-run")
    run = fails(program)
    with pytest.raises(Refused, match="is a run of 'program', and this is 'other'"):
        other.retry(run.id)

    @flow
    def waits() -> None:
        with pytest.raises(Refused, match="is Running: it has not ended"):
            waits.retry(the_run("waits").id)

    waits()
    assert the_run("program").epoch == 0


def test_only_one_of_those_who_ask_at_once_goes_on(home: Path) -> None:
    run = fails(program)
    first, second = EmbeddedEarlierRuns(str(home)), EmbeddedEarlierRuns(str(home))
    with closing(first), closing(second):
        one, two = first.retryable(run.id), second.retryable(run.id)
        first.open_epoch(one, os.urandom(16))
        with pytest.raises(Refused, match="was started again meanwhile, by another process"):
            second.open_epoch(two, os.urandom(16))
        # Whoever opened it has died before it recorded anything: the next epoch is free.
        again = second.retryable(run.id)
        assert again.epoch == 2
        second.open_epoch(again, os.urandom(16))
    assert program.retry(run.id) == "X"
    assert the_run("program").epoch == 3


def test_whoever_is_about_to_go_on_is_named(home: Path) -> None:
    from surefoot.journal.recorder import get_recorder

    run = fails(program)
    with closing(EmbeddedEarlierRuns(str(home))) as runs:
        runs.open_epoch(runs.retryable(run.id), get_recorder(str(home)).writer_id)
        with pytest.raises(Refused, match=f"is being started again by pid {os.getpid()} on"):
            runs.retryable(run.id)


def test_an_older_epochs_late_facts_change_nothing_of_the_run(home: Path) -> None:
    run = fails(program)
    program.retry(run.id)
    with closing(get_client()) as client:
        states = client.states(run.id)
    assert [state.state_details["epoch"] for state in states] == sorted(
        state.state_details["epoch"] for state in states
    )
    assert the_run("program").state_type is COMPLETED
    assert to_text(bytes.fromhex(run.id.replace("-", ""))) == run.id
