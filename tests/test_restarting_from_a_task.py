"""Going on from a chosen task: it and what rests on its result are called again, and all else is taken over."""

from __future__ import annotations

from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest

from surefoot import flow, task
from surefoot.cache_policies import INPUTS
from surefoot.client import get_client
from surefoot.core.errors import NotFound
from surefoot.task_runners import ProcessPoolTaskRunner

called: Counter[str] = Counter()


@pytest.fixture(autouse=True)
def _afresh() -> None:
    called.clear()


@task
def first(n: int) -> int:
    called["first"] += 1
    return n


@task
def middle(n: int) -> list[int]:
    called["middle"] += 1
    return [n]


@task
def leaf(row: list[int]) -> int:
    called["leaf"] += 1
    return row[0]


@task
def apart() -> str:
    called["apart"] += 1
    return "apart"


@flow
def fan(n: int = 33) -> int:
    apart()
    return sum(leaf(middle(first(i))) for i in range(n))


def newest() -> str:
    with closing(get_client()) as client:
        return next(run.id for run in client.flow_runs().results if run.parent_flow_run_id is None)


def whys(name: str) -> set[str]:
    with closing(get_client()) as client:
        runs = [run for run in client.task_runs().results if run.task_name == name]
        told = (client.why(run.id) for run in runs)
        return {" ".join([one.summary, *one.causes]) for one in told}


def test_of_a_hundred_tasks_exactly_the_named_ones_and_what_rests_on_them_run_again(home: Path) -> None:
    assert fan() == 528
    called.clear()
    assert fan.retry(newest(), from_task="middle") == 528
    assert called == {"middle": 33, "leaf": 33}
    assert all("asked for by --from-task middle" in told for told in whys("middle"))
    assert all("what it is made from was made anew" in told for told in whys("leaf"))
    assert all("was not called again" in told for told in whys("first") | whys("apart"))


def test_one_task_run_may_be_named_by_its_name_or_id(home: Path) -> None:
    fan(4)
    for reference in ("name", "id"):
        with closing(get_client()) as client:
            run = next(run for run in client.task_runs().results if run.task_name == "middle")
        called.clear()
        fan.retry(newest(), from_task=str(getattr(run, reference)))
        assert called == {"middle": 1, "leaf": 1}


def test_a_name_that_is_not_there_is_refused_before_anything_runs(home: Path) -> None:
    fan(2)
    called.clear()
    with pytest.raises(NotFound, match="no task 'middles'") as told:
        fan.retry(newest(), from_task="middles")
    assert "Did you mean 'middle'? Its tasks: " in told.value.do
    assert not called
    with closing(get_client()) as client:
        assert client.flow_runs().results[0].epoch == 0


@task
def outer(n: int) -> int:
    called["outer"] += 1
    return first(n) + leaf([n])


@flow
def inner(n: int) -> int:
    called["inner"] += 1
    return outer(n)


@flow
def nested() -> int:
    return inner(1) + inner(2) + len(apart())


def test_what_the_task_is_called_within_is_called_again_and_what_stands_beside_is_not(home: Path) -> None:
    nested()
    called.clear()
    nested.retry(newest(), from_task="first")
    assert called == {"inner": 2, "outer": 2, "first": 2}


def test_what_the_task_calls_is_called_again_with_it(home: Path) -> None:
    nested()
    called.clear()
    nested.retry(newest(), from_task="outer")
    assert called == {"inner": 2, "outer": 2, "first": 2, "leaf": 2}


@task(cache_policy=INPUTS)
def cached(n: int) -> int:
    called["cached"] += 1
    return n


@flow
def with_cache() -> int:
    return cached(3)


def test_a_task_that_is_named_does_not_take_its_value_from_a_cache(home: Path) -> None:
    with_cache()
    called.clear()
    assert with_cache.retry(newest(), from_task="cached") == 3
    assert called == {"cached": 1}


@task
def noted_within(folder: str) -> None:
    with (Path(folder) / "inner").open("a") as file:
        file.write("x")


@task
def noted(folder: str) -> int:
    with (Path(folder) / "outer").open("a") as file:
        file.write("x")
    noted_within(folder)
    return 1


@flow(task_runner=ProcessPoolTaskRunner(max_workers=1))
def in_processes(folder: str) -> int:
    return noted.submit(folder).result()


def test_a_task_within_a_task_of_a_process_pool_is_found_too(home: Path, tmp_path: Path) -> None:
    in_processes(str(tmp_path))
    in_processes.retry(newest(), from_task="noted_within")
    assert (tmp_path / "inner").read_text() == (tmp_path / "outer").read_text() == "xx"
