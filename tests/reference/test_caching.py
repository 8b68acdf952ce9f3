"""Chapters 2.1 and 5.3 of the reference: caching."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from surefoot import flow, task
from surefoot.cache_policies import (
    DEFAULT,
    FLOW_PARAMETERS,
    INPUTS,
    NO_CACHE,
    NONE,
    RUN_ID,
    TASK_SOURCE,
    CachePolicy,
)
from surefoot.core.clock import SystemClock, set_clock
from surefoot.exceptions import BadInput, HashError
from surefoot.settings import temporary_settings
from surefoot.tasks import Task, task_input_hash
from tests.recorded import record
from tests.reference.rows import at, row


class Counted:
    """A function of one argument that counts its calls."""

    def __init__(self, answer: Callable[[Any], Any] = lambda x: x) -> None:
        self.calls: list[Any] = []
        self.answer = answer

    def task(self, name: str = "counted", **options: Any) -> Task[..., Any]:
        def counted(x: Any = 1, other: Any = None) -> Any:
            self.calls.append(x)
            return self.answer(x)

        return task(name=name, **options)(counted)


@pytest.fixture
def counted() -> Counted:
    return Counted()


class Hands(SystemClock):
    """A clock whose hands are moved by hand."""

    moved_s = 0.0

    def now_us(self) -> int:
        return super().now_us() + int(self.moved_s * 1e6)

    def advance(self, seconds: float) -> None:
        self.moved_s += seconds


@pytest.fixture
def clock() -> Iterator[Hands]:
    hands = Hands()
    before = set_clock(hands)
    yield hands
    set_clock(before)


def in_a_flow(*calls: Callable[[], Any]) -> list[Any]:
    """What these calls give, in one flow run."""

    @flow
    def main() -> list[Any]:
        return [call() for call in calls]

    found: list[Any] = main()
    return found


# -- on the task


@row("2.05", "5.34", "5.44")
def test_nothing_is_cached_that_does_not_ask_and_persist_result_asks_for_default(
    row: str, counted: Counted, home: Path
) -> None:
    plain, stored = counted.task(), counted.task("stored", persist_result=True)
    in_a_flow(lambda: plain(1), lambda: plain(1))
    assert len(counted.calls) == 2
    for _ in range(2):
        in_a_flow(lambda: stored(1), lambda: stored(1), lambda: stored(2))
    assert counted.calls[2:] == [1, 2, 1, 2]  # the key has the flow run in it

    @flow(persist_result=True)
    def around() -> None:
        plain(5)
        plain(5)

    around()
    assert counted.calls[-2:] == [5, 5]  # what a flow says about results is no cache


@row("2.05")
@pytest.mark.parametrize("policy", [NO_CACHE, NONE, None], ids=["NO_CACHE", "NONE", "None"])
def test_no_cache_stores_and_does_not_cache(row: str, policy: Any, counted: Counted, home: Path) -> None:
    stored = counted.task(persist_result=True, cache_policy=policy)
    assert in_a_flow(lambda: stored(1), lambda: stored(1)) == [1, 1]
    assert len(counted.calls) == 2
    assert len(list((home / "storage").iterdir())) == 2


@row("2.05")
def test_persist_result_false_beside_a_policy_is_no_cache_and_warns(row: str, counted: Counted) -> None:
    with pytest.warns(UserWarning, match="Task 'counted' has persist_result=False, so that its cache_policy"):
        stored = counted.task(persist_result=False, cache_policy=INPUTS)
    assert [stored(1), stored(1)] == counted.calls == [1, 1]


@row("2.05")
@pytest.mark.parametrize("policy", ["INPUTS", 3, type(INPUTS)])
def test_what_is_no_policy_is_refused_where_the_decorator_stands(row: str, policy: Any) -> None:
    with pytest.raises(TypeError, match=r"cache_policy of task 'counted' is .* Pass a policy") as caught:
        Counted().task(cache_policy=policy)
    assert isinstance(caught.value, BadInput)


@row("2.06")
def test_a_key_function_makes_the_key_and_none_is_no_caching(row: str, counted: Counted, home: Path) -> None:
    seen: list[Any] = []

    def key(context: Any, parameters: dict[str, Any]) -> str | None:
        seen.append((context.task.name, context.task_run.name, parameters))
        return None if parameters["x"] == 0 else f"key-{parameters['x'] % 2}"

    keyed = counted.task(cache_key_fn=key, task_run_name="run-{x}")
    assert [keyed(1), keyed(3), keyed(2), keyed(0), keyed(0)] == [1, 1, 2, 0, 0]
    assert counted.calls == [1, 2, 0, 0]
    assert seen[0] == ("counted", "run-1", {"x": 1, "other": None})
    assert (home / "storage" / "key-1").exists()


@row("2.06")
def test_a_key_function_that_raises_is_logged_and_its_run_is_not_cached(row: str, counted: Counted, home: Path) -> None:
    def key(context: Any, parameters: dict[str, Any]) -> str:
        raise KeyError("day")

    keyed = counted.task(cache_key_fn=key)
    assert [keyed(1), keyed(1)] == counted.calls == [1, 1]
    found = record(home)
    (line, _) = found.messages(level=30)
    assert "its cache_key_fn raised, so it is not cached" in line
    assert "KeyError: 'day'" in line
    assert found.task_runs[0].entered[0].message == "not in the cache: its cache_key_fn raised KeyError"


@row("2.06")
def test_a_key_that_is_no_text_is_refused(row: str, counted: Counted, home: Path) -> None:
    keyed = counted.task(cache_key_fn=lambda context, parameters: 7)
    with pytest.raises(TypeError, match="made the cache key 7, which is of type int"):
        keyed(1)
    assert counted.calls == []
    assert record(home).task_run().names == ["Pending", "NotReady"]


@row("2.06")
def test_a_key_function_counts_before_a_policy_with_a_warning(row: str, counted: Counted) -> None:
    with pytest.warns(UserWarning, match="has a cache_key_fn and a cache_policy: the cache_key_fn counts"):
        keyed = counted.task(cache_key_fn=lambda context, parameters: "one", cache_policy=INPUTS)
    assert [keyed(1), keyed(2)] == [1, 1]
    with pytest.raises(TypeError, match="cache_key_fn is 'key', not a function"):
        counted.task(cache_key_fn="key")


@row("2.07", "5.42")
def test_a_stored_result_expires(row: str, counted: Counted, home: Path, clock: Hands) -> None:
    hourly = counted.task(cache_policy=INPUTS, cache_expiration=timedelta(hours=1))
    hourly(1)
    clock.advance(3_590)
    hourly(1)
    assert counted.calls == [1]
    clock.advance(10)
    hourly(1)
    assert counted.calls == [1, 1]
    found = record(home)
    assert "to expire at" in str(found.task_runs[1].last.message)
    assert "what was stored under it expired at" in str(found.task_runs[2].entered[0].message)


@row("2.07")
@pytest.mark.parametrize("expiration", [timedelta(0), timedelta(seconds=-1), 60, "1h", timedelta.max])
def test_an_expiration_that_is_none_is_refused(row: str, expiration: Any, counted: Counted) -> None:
    with pytest.raises(TypeError, match="cache_expiration of task 'counted' is"):
        counted.task(cache_policy=INPUTS, cache_expiration=expiration)


@row("2.07")
def test_an_expiration_without_a_cache_warns(row: str, counted: Counted) -> None:
    with pytest.warns(UserWarning, match="has cache_expiration, and no cache: pass a cache_policy too"):
        counted.task(cache_expiration=timedelta(hours=1))


@row("2.08", "5.45")
def test_refreshing_makes_a_result_anew_and_stores_it(row: str, counted: Counted, home: Path) -> None:
    counted.answer = lambda x: len(counted.calls)
    policy = CachePolicy.from_cache_key_fn(lambda context, parameters: "shared")
    usual, fresh = counted.task(cache_policy=policy), counted.task(cache_policy=policy, refresh_cache=True)
    kept = counted.task(cache_policy=policy, refresh_cache=False)
    assert [usual(), usual(), fresh(), usual()] == [1, 1, 2, 2]
    with temporary_settings({"tasks.refresh_cache": True}):
        assert [kept(), usual(), kept()] == [2, 3, 3]
    messages = [run.entered[0].message for run in record(home).task_runs]
    assert messages[2] == "not in the cache: refresh_cache has the result under 'shared' made anew"
    assert messages[5] == "not in the cache: tasks.refresh_cache has the result under 'shared' made anew"
    with pytest.raises(TypeError, match="refresh_cache of task 'counted' is 'yes'"):
        counted.task(refresh_cache="yes")


@row("2.19")
def test_a_storage_key_is_a_cache_key(row: str, counted: Counted, home: Path) -> None:
    named = counted.task(result_storage_key="report-{parameters[x]}", result_serializer="json")
    assert [named(1), named(1), named(2)] == [1, 1, 2]
    assert counted.calls == [1, 2]
    head, value = (home / "storage" / "report-1").read_bytes().split(b"\n")
    assert (json.loads(head)["cache_key"], value) == ("report-1", b"1")
    again = counted.task(result_storage_key="report-{parameters[x]}", cache_policy=NO_CACHE)
    assert [again(1), again(1)] == [1, 1]
    assert counted.calls == [1, 2, 1, 1]


@row("2.19")
def test_a_storage_key_beside_a_policy_names_the_file_and_the_policy_decides(
    row: str, counted: Counted, home: Path
) -> None:
    latest = counted.task(result_storage_key="latest", cache_policy=INPUTS)
    assert [latest(1), latest(1), latest(2), latest(1)] == [1, 1, 2, 1]
    assert counted.calls == [1, 2, 1]
    assert [path.name for path in (home / "storage").iterdir()] == ["latest"]


class Heavy:
    """A value that is itself only as long as it is not read again."""

    def __init__(self, x: int) -> None:
        self.x = x


@row("2.20")
def test_a_hit_need_not_stay_in_memory_either(row: str, home: Path) -> None:
    @task(cache_policy=INPUTS, cache_result_in_memory=False)
    def make(x: int) -> Heavy:
        return Heavy(x)

    @flow
    def main() -> list[int]:
        first, second = make.submit(3), make.submit(3, wait_for=[make.submit(3)])
        assert first.result().x == second.result().x == 3
        assert second.result() is not second.result()
        return [make(3).x, make(4).x]

    assert main() == [3, 4]


@row("2.20")
def test_what_another_run_stores_under_the_same_key_stands_for_a_result_that_is_not_in_memory(
    row: str, home: Path
) -> None:
    @task(cache_policy=INPUTS, cache_result_in_memory=False)
    def make(x: int) -> Heavy:
        return Heavy(x)

    @flow
    def main() -> list[int]:
        made, taken = make.submit(3), make.submit(3)
        taken.wait()
        make.with_options(refresh_cache=True)(3)
        return [made.result().x, taken.result().x]

    assert main() == [3, 3]


@row("2.29")
def test_task_input_hash_is_the_task_its_code_and_its_arguments(row: str, counted: Counted) -> None:
    one, other = counted.task("one", cache_key_fn=task_input_hash), counted.task("other", cache_key_fn=task_input_hash)
    assert [one(1), one(x=1), one(2), other(1)] == [1, 1, 2, 1]
    assert counted.calls == [1, 2, 1]
    with pytest.raises(HashError, match="'x'"):
        one(threading.Lock())


# -- keys and records


@row("5.07", "5.43")
def test_keys_of_policies_are_a_tasks_own_and_keys_that_users_make_are_for_all(
    row: str, counted: Counted, home: Path
) -> None:
    double, square = Counted(lambda x: 2 * x), Counted(lambda x: x * x)
    for policy in (INPUTS, DEFAULT, INPUTS + RUN_ID):
        tasks = double.task("double", cache_policy=policy), square.task("square", cache_policy=policy)
        assert in_a_flow(*[lambda task=it: task(3) for it in tasks]) == [6, 9]

    def same(context: Any, parameters: dict[str, Any]) -> str:
        return "K"

    shared = double.task("double", cache_key_fn=same), square.task("square", cache_key_fn=same)
    assert [it(3) for it in shared] == [6, 6]
    message = record(home).task_runs[-1].last.message or ""
    assert message.startswith("under the key 'K': task 'double' stored it in the run ")


@row("5.09")
def test_a_place_that_cannot_be_read_is_told_and_the_settings_choose(
    row: str, counted: Counted, home: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    lost = counted.task(cache_policy=INPUTS, result_storage=tmp_path / "file")
    with pytest.raises(OSError, match=r"The cache of task 'counted' cannot be read: .*Not a directory"):
        lost(1)
    assert counted.calls == []
    with temporary_settings({"results.on_store_error": "continue"}):
        assert lost(1) == 1
    lines = record(home).messages(level=30)
    assert any("its cache cannot be used, so it is called" in line for line in lines)
    assert any("goes on, but the result of 'counted' could not be stored" in line for line in lines)


# -- policies


@row("5.30")
def test_inputs_are_the_arguments_by_content(row: str, counted: Counted) -> None:
    cached = counted.task(cache_policy=INPUTS)
    cached({"a": 1, "b": 2})
    cached(x={"b": 2, "a": 1})
    cached({"a": 1, "b": 2}, None)
    assert len(counted.calls) == 1
    cached({"a": 1, "b": 3})
    cached({"a": 1, "b": 2}, "other")
    assert len(counted.calls) == 3


@row("5.30")
def test_an_input_without_a_hash_is_an_error_that_names_it(row: str, counted: Counted, home: Path) -> None:
    cached = counted.task(cache_policy=INPUTS)

    @flow
    def main() -> None:
        cached.submit(1, other=threading.Lock()).result()

    with pytest.raises(
        HashError, match=r"Its input 'other', a lock, cannot be .*, and a cache was asked for"
    ) as caught:
        main()
    assert "INPUTS - 'other'" in caught.value.do
    assert counted.calls == []
    assert record(home).task_run().names == ["Pending", "NotReady"]


@row("5.30")
def test_methods_of_two_objects_are_two_calls(row: str, home: Path) -> None:
    @dataclass
    class Scale:
        factor: int

        @task(cache_policy=INPUTS)
        def times(self, x: int) -> int:
            return self.factor * x

    assert [Scale(2).times(5), Scale(3).times(5), Scale(2).times(5)] == [10, 15, 10]
    assert [run.last.state_name for run in record(home).task_runs] == ["Completed", "Completed", "Cached"]


@row("5.31")
def test_the_source_is_the_code_and_what_the_function_carries(row: str) -> None:
    calls: list[int] = []

    def make(number: int) -> Task[..., int]:
        @task(cache_policy=TASK_SOURCE)
        def give() -> int:
            calls.append(number)
            return number

        return give

    assert [make(1)(), make(1)(), make(2)()] == [1, 1, 2]
    assert calls == [1, 2]

    def of_code(factor: str) -> Task[..., int]:
        names: dict[str, Any] = {"task": task, "policy": TASK_SOURCE}
        exec(f"@task(cache_policy=policy)\ndef scaled(x):\n    # {factor}\n    return x * {factor}", names)
        return names["scaled"]  # type: ignore[no-any-return]

    assert [of_code("2")(3), of_code("3")(3), of_code("2 ")(7)] == [6, 9, 6]


@row("5.32", "2.60")
def test_the_run_id_is_that_of_the_flow_run_or_of_the_task_run(row: str, counted: Counted) -> None:
    cached = counted.task(cache_policy=RUN_ID)
    assert in_a_flow(lambda: cached(1), lambda: cached(2)) == [1, 1]
    assert in_a_flow(lambda: cached(3)) == [3]
    assert [cached(4), cached(5)] == [4, 5]


@row("5.33")
def test_flow_parameters_are_those_of_the_flow_around(row: str, counted: Counted, home: Path) -> None:
    cached = counted.task(cache_policy=FLOW_PARAMETERS)

    @flow
    def main(day: str, limit: int = 3) -> Any:
        return cached(day)

    assert [main("mon"), main("mon"), main("tue"), main("mon", 4)] == ["mon", "mon", "tue", "mon"]
    assert counted.calls == ["mon", "tue", "mon"]
    assert [cached(1), cached(2)] == [1, 2]
    assert record(home).task_runs[-1].entered[0].message == "not in the cache: its cache policy made no key"


@row("5.35")
def test_no_cache_adds_nothing(row: str) -> None:
    assert NO_CACHE is NONE
    assert repr(NO_CACHE + INPUTS) == repr(INPUTS + NO_CACHE) == "INPUTS"
    assert NO_CACHE.compute_key(None, {}, {}) is None  # type: ignore[arg-type]


@row("5.36")
def test_a_sum_is_the_same_only_where_all_parts_are(row: str, counted: Counted) -> None:
    cached = counted.task(cache_policy=INPUTS + FLOW_PARAMETERS)

    @flow
    def main(day: str) -> None:
        cached(1)
        cached(2)

    for day in ("mon", "tue", "mon"):
        main(day)
    assert counted.calls == [1, 2, 1, 2]
    cached(1)  # outside of flows the inputs alone count
    cached(1)
    assert len(counted.calls) == 5


@row("5.36")
def test_policies_that_are_configured_differently_cannot_be_added(row: str, tmp_path: Path) -> None:
    one, other = INPUTS.configure(key_storage=tmp_path), RUN_ID.configure(key_storage=tmp_path / "other")
    with pytest.raises(ValueError, match="have different key_storage"):
        one + other
    assert (one + RUN_ID).key_storage == (RUN_ID + one).key_storage == tmp_path
    with pytest.raises(TypeError):
        INPUTS + "x"  # type: ignore[operator]


@row("5.37")
@pytest.mark.parametrize("policy", [INPUTS - "other" - "nothing", (INPUTS + TASK_SOURCE) - "other"])
def test_an_argument_can_be_left_out(row: str, policy: CachePolicy, counted: Counted) -> None:
    cached = counted.task(cache_policy=policy)
    assert [cached(1, other=threading.Lock()), cached(1, other=2), cached(2)] == [1, 1, 2]
    assert counted.calls == [1, 2]
    with pytest.raises(TypeError, match="3 was subtracted from a cache policy"):
        policy - 3  # type: ignore[operator]


@row("5.38")
def test_a_policy_of_a_function_can_be_added(row: str, counted: Counted) -> None:
    parity = CachePolicy.from_cache_key_fn(lambda context, parameters: str(parameters["x"] % 2))
    cached = counted.task(cache_policy=parity + RUN_ID)
    assert in_a_flow(lambda: cached(1), lambda: cached(3), lambda: cached(2)) == [1, 1, 2]
    with pytest.raises(TypeError, match="not a function"):
        CachePolicy.from_cache_key_fn("key")  # type: ignore[arg-type]


@row("5.39")
def test_a_policy_of_ones_own_may_be_a_dataclass(row: str, counted: Counted, home: Path) -> None:
    @dataclass(frozen=True)
    class Bucket(CachePolicy):
        size: int = 10

        def compute_key(
            self, task_ctx: Any, inputs: dict[str, Any], flow_parameters: dict[str, Any], **kwargs: Any
        ) -> str | None:
            return f"{task_ctx.task.name}-{flow_parameters.get('day')}-{inputs['x'] // self.size}"

    cached = counted.task(cache_policy=Bucket(5).configure(key_storage=home / "keys"))

    @flow
    def main(day: str) -> list[Any]:
        return [cached(1), cached(4), cached(6)]

    assert main("mon") == [1, 1, 6]
    assert sorted(path.name for path in (home / "keys").iterdir()) == ["counted-mon-0", "counted-mon-1"]

    class Unwritten(CachePolicy):
        pass

    counted.task(cache_policy=Unwritten())(1)
    assert "Unwritten has no compute_key" in record(home).messages(level=30)[-1]


@row("5.40")
def test_records_of_keys_may_lie_apart_from_values(row: str, counted: Counted, tmp_path: Path, home: Path) -> None:
    keys, values = tmp_path / "keys", tmp_path / "values"
    policy = CachePolicy.from_cache_key_fn(lambda context, parameters: f"x{parameters['x']}")
    cached = counted.task(cache_policy=policy.configure(key_storage=keys), result_storage=values)
    assert [cached(1), cached(1), cached(2)] == [1, 1, 2]
    assert sorted(path.name for path in keys.iterdir()) == ["x1", "x2"]
    assert len(list(values.iterdir())) == 2
    (keys / "x1").unlink()
    assert cached(1) == 1
    assert counted.calls == [1, 2, 1]
    for path in values.iterdir():
        path.unlink()
    assert cached(2) == 2
    assert "it was removed" in str(record(home).task_runs[-1].entered[0].message)
    with pytest.raises(TypeError, match="isolation_level is 'LOOSE'"):
        INPUTS.configure(isolation_level="LOOSE")


@row("5.41", "2.22")
def test_a_hit_is_completed_under_the_name_cached_and_calls_its_hooks(row: str, counted: Counted, home: Path) -> None:
    ends: list[str] = []
    cached = counted.task(cache_policy=INPUTS, on_completion=[lambda task, run, state: ends.append(state.name)])
    assert cached(1, return_state=True).name == "Completed"
    state = cached(1, return_state=True)
    assert (state.type.value, state.name, state.result()) == ("COMPLETED", "Cached", 1)
    assert ends == ["Completed", "Cached"]
    hit = record(home).task_runs[1]
    assert hit.names == ["Pending", "Cached"]
    assert hit.last.run_count == 0


@pytest.mark.parametrize(
    ("setting", "calls"),
    [at("5.45", "tasks.default_no_cache", [1, 1, 2]), at("5.45", "tasks.disable_caching", [1, 1, 2, 2])],
)
def test_settings_switch_caching_off(setting: str, calls: list[int], counted: Counted, home: Path) -> None:
    default, asked = counted.task("default", persist_result=True), counted.task("asked", cache_policy=INPUTS)
    with temporary_settings({setting: True}):
        in_a_flow(lambda: default(1), lambda: default(1), lambda: asked(2), lambda: asked(2))
    assert counted.calls == calls
    assert record(home).task_runs[0].entered[0].message == f"not in the cache: {setting} is on"


@row("5.46")
def test_generators_are_not_cached(row: str) -> None:
    calls: list[int] = []

    def numbers(count: int) -> Iterator[int]:
        calls.append(count)
        yield from range(count)

    with pytest.warns(UserWarning, match="is a generator, whose values are handed on one by one: it is not cached"):
        generator = task(cache_policy=INPUTS)(numbers)
    quiet = task(persist_result=True)(numbers)
    for it in (generator, generator, quiet, quiet):
        assert list(it(2)) == [0, 1]
    assert len(calls) == 4


@row("5.47")
def test_flows_have_no_cache_policy(row: str) -> None:
    with pytest.raises(TypeError, match="@flow has no option 'cache_policy'"):
        flow(cache_policy=INPUTS)  # type: ignore[call-overload]
