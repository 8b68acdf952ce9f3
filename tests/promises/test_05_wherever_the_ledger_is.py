"""Promise 5 where the ledger is a database, where a notebook asks for it, and where a profile names the home."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from surefoot.client import get_client
from surefoot.core.states import COMPLETED
from tests.places import Databases
from tests.promises.test_05_resume_works_with_no_setting import (
    Broken,
    counts,
    fan_out_in_random_order,
    one_after_another,
    the_run,
)


@pytest.fixture
def on_a_server(server: Databases, monkeypatch: pytest.MonkeyPatch) -> str:
    """The settings name a database; its URL."""
    url = server.taken()
    monkeypatch.setenv("SUREFOOT_LEDGER_URL", url)
    return url


@pytest.mark.usefixtures("on_a_server")
def test_with_a_database_too_exactly_those_of_a_hundred_tasks_run_again_that_had_not_completed(home: Path) -> None:
    broken, called = Broken(73), list[int]()
    chain = one_after_another(broken, called, 100)
    with pytest.raises(ValueError, match="73 is broken"):
        chain()
    broken.numbers.clear()
    called.clear()
    run = the_run()
    assert chain.retry(run.id) == 5050  # type: ignore[attr-defined]
    assert called == list(range(73, 101))
    assert (the_run().id, the_run().state_type, the_run().epoch) == (run.id, COMPLETED, 1)
    assert counts(run) == {"Cached": 72, "Completed": 28}
    assert not (home / "ledger.db").exists()


@pytest.mark.usefixtures("on_a_server")
@pytest.mark.parametrize("seed", range(2))
def test_with_a_database_too_a_fan_out_in_random_order_takes_over_what_finished(seed: int) -> None:
    fan_out_in_random_order(seed, 60)


@pytest.mark.usefixtures("on_a_server")
def test_in_a_notebook_a_run_goes_on_from_a_ledger_that_is_a_database(home: Path, tmp_path: Path) -> None:
    pytest.importorskip("ipykernel")
    from tests.notebooks.kernel import Kernel

    kernel = Kernel(home, tmp_path)
    try:
        assert kernel.run(NOTEBOOK).error is None
        again = kernel.run("mended.append(1); state = total.retry(state.state_details['flow_run_id']); state, calls")
        assert again.error is None, again.traceback
        assert again.value == "(6, [1, 2, 3, 3])"
    finally:
        kernel.close()
    assert (the_run().state_type, the_run().epoch) == (COMPLETED, 1)
    assert counts(the_run()) == {"Cached": 2, "Completed": 1}
    assert not (home / "ledger.db").exists()


NOTEBOOK = """
from surefoot import flow, task
calls, mended = [], []
@task
def number(n):
    calls.append(n)
    if n == 3 and not mended:
        raise OSError("full")
    return n
@flow
def total():
    return number(1) + number(2) + number(3)
state = total(return_state=True)
"""
FLOWS = """
from pathlib import Path
from surefoot import flow, task
from surefoot.task_runners import ProcessPoolTaskRunner

@task
def number(n):
    with open("calls", "a") as calls:
        calls.write(f"{n} ")
    if n == 3 and not Path("mended").exists():
        raise OSError("full")
    return n

@flow(task_runner=ProcessPoolTaskRunner(max_workers=1))
def total():
    return sum(number.map([1, 2, 3]).result())
"""


@pytest.mark.parametrize("way", ["option", "environment", "active"])
def test_with_the_home_of_a_profile_a_run_is_found_and_goes_on_with_what_is_kept_there(
    way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    profiles, of_the_profile = tmp_path / "profiles.toml", tmp_path / "home of the night"
    active = 'active = "night"\n' if way == "active" else ""
    profiles.write_text(f"{active}[profiles.night]\nhome = {json.dumps(str(of_the_profile))}\n")
    (tmp_path / "flows.py").write_text(FLOWS)
    monkeypatch.delenv("SUREFOOT_HOME")  # what the environment says goes before a profile
    env = {**os.environ, "SUREFOOT_PROFILES_PATH": str(profiles), "HOME": str(tmp_path / "nobody's")}
    env |= {"USERPROFILE": env["HOME"]} | ({"SUREFOOT_PROFILE": "night"} if way == "environment" else {})

    def surefoot(*words: str) -> subprocess.CompletedProcess[str]:
        option = ["--profile", "night"] if way == "option" else []
        command = [sys.executable, "-m", "surefoot", *option, *words]
        return subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)

    assert surefoot("run", "flows.py:total").returncode == 1
    (tmp_path / "mended").touch()
    again = surefoot("flow-run", "retry", "--last")
    assert again.returncode == 0, again.stderr
    assert (tmp_path / "calls").read_text().split() == ["1", "2", "3", "3"]
    (run,) = json.loads(surefoot("flow-run", "ls", "-o", "json").stdout)
    assert (run["state_name"], run["epoch"]) == ("Completed", 1)
    assert (of_the_profile / "ledger.db").exists()
    assert not (tmp_path / "nobody's" / ".surefoot" / "writers").exists()
    monkeypatch.setenv("SUREFOOT_HOME", str(of_the_profile))
    with closing(get_client()) as client:
        assert [run.id for run in client.flow_runs().results] == [run["id"]]
