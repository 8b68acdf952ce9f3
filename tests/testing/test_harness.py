"""The harness, the clock that jumps and the fixtures, as users' tests have them."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from surefoot import flow, task
from surefoot.concurrency import limit
from surefoot.locking import LedgerLockManager
from surefoot.logging import disable_run_logger, get_run_logger
from surefoot.results import ResultStore
from surefoot.runtime import flow_run
from surefoot.settings import get_current_settings
from surefoot.testing import Clock, Harness, test_harness
from surefoot.testing.clock import ClockError
from surefoot.testing.utilities import surefoot_test_harness
from surefoot.variables import Variable
from tests.locking.watching import until
from tests.reference.rows import row


@flow
def nightly(day: str = "mon") -> str | None:
    return flow_run.name


@flow
def limited() -> int:
    with limit("database", 1):
        Variable.set("page-size", 500)
    locks = LedgerLockManager()
    locks.acquire_lock("x", "me")
    locks.release_lock("x", "me")
    value: int = Variable.get("page-size")
    return value


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="the system does not list the files that are open")
def test_what_was_opened_in_a_harness_is_closed_with_it() -> None:
    def use(times: int) -> int:
        for _ in range(times):
            with test_harness():
                assert limited() == 500
        until(lambda: not {"surefoot-limits", "surefoot-locks"} & {each.name for each in threading.enumerate()})
        with test_harness():
            nightly()
        return len(os.listdir("/proc/self/fd"))

    before = use(1)
    assert use(20) <= before + 4


@row("22.01")
def test_runs_within_a_harness_are_recorded_there_and_gone_with_it(row: str, home: Path) -> None:
    before = os.environ["SUREFOOT_HOME"]
    with test_harness() as harness:
        name = nightly()
        assert [run.name for run in harness.flow_runs()] == [name]
        assert harness.client.find_flow_run(str(name)).state_name == "Completed"
        inside = harness.home
        assert inside.exists()
        assert inside != home
    assert not inside.exists()
    assert os.environ["SUREFOOT_HOME"] == before
    nightly()
    assert home.exists()


def test_a_harness_within_another_has_a_home_of_its_own() -> None:
    with test_harness() as outer:
        nightly()
        with surefoot_test_harness() as inner:
            nightly("tue")
            assert len(inner.flow_runs()) == 1
        nightly()
        assert len(outer.flow_runs()) == 2


def test_settings_hold_for_the_length_of_it() -> None:
    with test_harness(settings={"tasks.default_retries": 3}):
        assert get_current_settings().tasks.default_retries == 3
    assert get_current_settings().tasks.default_retries == 0


def test_a_failure_within_it_leaves_nothing_behind(tmp_path: Path) -> None:
    seen: list[Harness] = []

    def fails() -> None:
        with test_harness(clock=True) as harness:
            seen.append(harness)
            nightly()
            raise RuntimeError("the test's own")

    with pytest.raises(RuntimeError, match="the test's own"):
        fails()
    assert not seen[0].home.exists()
    assert not isinstance(get_clock_in_use(), Clock)


def get_clock_in_use() -> object:
    from surefoot.core.clock import get_clock

    return get_clock()


@row("22.02")
def test_functions_are_called_without_an_engine(row: str) -> None:
    @task(retries=3)
    def half(number: int) -> float:
        get_run_logger().info("halving %s", number)
        return number / 2

    with disable_run_logger():
        assert half.fn(4) == 2


@pytest.mark.parametrize("kind", ["called", "submitted", "async", "async submitted", "flow"])
def test_hours_of_retries_pass_at_once(kind: str) -> None:
    calls: list[datetime] = []

    def tried() -> str:
        calls.append(clock.now)
        if len(calls) < 4:
            raise ConnectionError("not yet")
        return "there"

    fetch = task(retries=3, retry_delay_seconds=[3600, 7200, 86_400])(tried)

    @task(retries=3, retry_delay_seconds=[3600, 7200, 86_400])
    async def fetch_async() -> str:
        return tried()

    @flow
    def load() -> Any:
        if kind == "called":
            return fetch()
        return (fetch if kind == "submitted" else fetch_async).submit().result()

    @flow
    async def load_async() -> Any:
        return await fetch_async()

    @flow(retries=3, retry_delay_seconds=[3600, 7200, 86_400])
    def retried() -> str:
        return tried()

    with test_harness(clock=True) as harness:
        assert harness.clock is not None
        clock = harness.clock
        if kind == "async":
            assert asyncio.run(load_async()) == "there"
        else:
            assert (retried if kind == "flow" else load)() == "there"
        assert clock.pauses == [3600, 7200, 86_400]
        assert clock.paused_s == 97_200
        hours = [round((later - calls[0]).total_seconds() / 3600) for later in calls]
        assert hours == [0, 1, 3, 27]
        (run,) = harness.flow_runs()
        assert run.total_run_time < 60  # what is measured is real


def test_a_time_limit_is_not_what_jumps() -> None:
    @task(retries=1, retry_delay_seconds=3600)
    def flickers() -> None:
        raise ConnectionError("no")

    @flow(timeout_seconds=60)
    def load() -> str:
        flickers(return_state=True)
        return "in time"

    with test_harness(clock=True):
        assert load() == "in time"


def test_the_time_of_day_is_what_the_test_says() -> None:
    with Clock(datetime(2026, 3, 29, 0, 59, tzinfo=UTC)) as clock, test_harness() as harness:
        nightly()
        clock.advance(hours=1)
        clock.advance(timedelta(minutes=30))
        nightly()
        later, earlier = harness.flow_runs()
        assert earlier.start_time is not None
        assert later.start_time is not None
        assert (earlier.start_time.date().isoformat(), earlier.start_time.hour) == ("2026-03-29", 0)
        assert round((later.start_time - earlier.start_time).total_seconds() / 60) == 90


def test_what_is_stored_for_a_time_is_over_when_the_clock_has_moved_on() -> None:
    @task(result_ttl=3600, result_storage="memory://clock", result_storage_key="short")
    def short() -> int:
        return 1

    with test_harness(clock=True) as harness:
        short()
        assert harness.clock is not None
        harness.clock.advance(hours=2)
        assert len(ResultStore("memory://clock").remove_expired()) == 1


def test_a_clock_refuses_what_clocks_do_not() -> None:
    with pytest.raises(ClockError, match="without a time zone"):
        Clock(datetime(2026, 1, 1))  # noqa: DTZ001  # what is refused
    with pytest.raises(ClockError, match="Time goes forward"):
        Clock().advance(hours=-1)


def test_the_fixtures_are_there_by_themselves(tmp_path: Path) -> None:
    (tmp_path / "test_users.py").write_text(
        "from surefoot import flow, task\n"
        "@task(retries=1, retry_delay_seconds=3600)\n"
        "def flickers(): raise ConnectionError\n"
        "@flow\n"
        "def load(): return flickers(return_state=True)\n"
        "@flow\n"
        "def fails(): raise ValueError\n"
        "def test_a_run(surefoot_harness):\n"
        "    fails(return_state=True)\n"
        "    assert [run.state_name for run in surefoot_harness.flow_runs()] == ['Failed']\n"
        "def test_alone_again(surefoot_harness, surefoot_clock):\n"
        "    assert surefoot_harness.flow_runs() == []\n"
        "    load(return_state=True)\n"
        "    assert surefoot_clock.pauses == [3600]\n"
        "def test_isolated():\n"
        "    fails(return_state=True)\n"
    )
    environment = {**os.environ, "SUREFOOT_HOME": str(tmp_path / "home")}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)]
    plain = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment)
    assert "3 passed" in plain.stdout, plain.stdout
    assert (tmp_path / "home").exists()  # the last test has no harness
    environment["SUREFOOT_HOME"] = str(tmp_path / "other")
    isolated = subprocess.run(
        [*command, "-o", "surefoot_isolate=true"], capture_output=True, text=True, cwd=tmp_path, env=environment
    )
    assert "3 passed" in isolated.stdout, isolated.stdout
    assert not (tmp_path / "other").exists()
