"""Promise 7: the last line before the crash is in the log. A task prints a counter and ends its own process."""

import subprocess
import sys
from pathlib import Path

import pytest

from surefoot.client import get_client
from surefoot.core.wire import LogFilter

SCRIPT = """
import faulthandler, os, signal, sys
from surefoot import flow, task

END, LINES = sys.argv[1], int(sys.argv[2])

@task(log_prints=True)
def count():
    for number in range(LINES):
        print("line", number)
        os.write(1, b"%d\\n" % number)  # acknowledged: the print has come back
    if END == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    elif END == "exit":
        os._exit(7)
    faulthandler._sigsegv()

@flow
def counting():
    if len(sys.argv) > 3:
        count.submit().result()
    else:
        count()

counting()
"""


@pytest.mark.parametrize("where", [[], ["submitted"]], ids=["called", "submitted"])
@pytest.mark.parametrize("end", ["kill", "exit", "segfault"])
@pytest.mark.parametrize("lines", [200, pytest.param(100_000, marks=pytest.mark.long)])
def test_every_line_that_was_printed_is_shown_in_order(
    tmp_path: Path, home: Path, end: str, where: list[str], lines: int
) -> None:
    script = tmp_path / "counting.py"
    script.write_text(SCRIPT)
    command = [sys.executable, str(script), end, str(lines), *where]
    ended = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert ended.returncode != 0
    acknowledged = [f"line {number}" for number in ended.stdout.decode().split()]
    assert len(acknowledged) == lines

    client = get_client()
    try:
        run = client.flow_runs().results[0]
        shown: list[str] = []
        after = None
        while True:
            page = client.logs(LogFilter(flow_run_id=[run.id]), limit=5000, after=after)
            shown += [line.message for line in page.results if line.message.startswith("line ")]
            after = page.after
            if after is None and not page.behind:
                break
        assert shown == acknowledged
        assert (client.find_flow_run(run.id).state_type, client.task_runs().results[0].state_type) == (
            "CRASHED",
            "CRASHED",
        )
    finally:
        client.close()
