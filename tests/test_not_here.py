"""What users know from elsewhere, and is not in this version, is told with the reason and a way out."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest

from surefoot import flow, task


@flow
def nightly() -> int:
    return 1


@task
def load() -> int:
    return 2


@pytest.mark.parametrize("name", ["serve", "deploy", "to_deployment"])
def test_a_flow_says_why_it_is_not_deployed(name: str) -> None:
    told = (
        rf"'Flow' object has no attribute '{name}': deployments are not in this version\. Start it with `surefoot run"
    )
    with pytest.raises(AttributeError, match=told):
        getattr(nightly, name)(name="x")
    assert not hasattr(nightly, name)


@pytest.mark.parametrize("name", ["delay", "serve"])
def test_a_task_says_why_it_is_not_run_in_the_background(name: str) -> None:
    with pytest.raises(
        AttributeError, match=rf"no attribute '{name}': background tasks are not in this version\. Call"
    ):
        getattr(load, name)(1)


def test_any_other_name_is_told_as_ever_and_copies_are_as_they_were() -> None:
    anything: Any = load
    with pytest.raises(AttributeError, match=r"'Task' object has no attribute 'lines'$"):
        anything.lines()
    assert copy.copy(load)() == 2
    assert pickle.loads(pickle.dumps(load))() == 2
