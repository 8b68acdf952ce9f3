"""Processes that fail are killed at any instant: each run that did not complete is told, and none twice as another."""

from __future__ import annotations

import json
import random
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.notify.conftest import Begun, Script
from tests.notify.servers import Inbox, settings_file

pytestmark = pytest.mark.timeout(1800)


@pytest.mark.parametrize("count", [6, pytest.param(200, marks=pytest.mark.long)])
def test_each_run_that_crashed_or_failed_is_told(
    begun: Begun, script: Script, tmp_path: Path, home: Path, hook: Inbox, count: int
) -> None:
    chance = random.Random(count)
    settings_file(tmp_path, f'[notify]\nburst_seconds = 0\non_failure = ["http://127.0.0.1:{hook.port}/hook"]')
    longest_s = _time(lambda: script("backup.py", "fail"))
    for _ in range(count):
        process = begun("backup.py", "fail")
        try:
            process.wait(chance.uniform(0.3, 1.0) * longest_s)
        except subprocess.TimeoutExpired:
            process.kill()
        process.communicate(timeout=60)
    script("surefoot", "watch", "--once")
    runs = json.loads(script("surefoot", "flow-run", "ls", "--limit", "0", "-o", "json").stdout)
    assert {run["state_type"] for run in runs} <= {"FAILED", "CRASHED"}
    script("surefoot", "notify", "send")
    assert {each["flow_run_id"] for each in hook.arrived} == {run["id"] for run in runs}
    told = {each["flow_run_id"]: each["id"] for each in hook.arrived}
    for each in hook.arrived:
        assert told[each["flow_run_id"]] == each["id"]  # what comes twice can be told from two
    left = list((home / "notices" / "outbox").iterdir())
    # Half a file, and the lock of one that was sent: they go with a later message.
    assert not [path for path in left if path.suffix not in (".tmp", ".lock")]


def _time(run: Callable[[], object]) -> float:
    begun_s = time.monotonic()
    run()
    return time.monotonic() - begun_s
