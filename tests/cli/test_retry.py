"""`surefoot flow-run retry`: a new process loads the file and goes on with the run, or says why it cannot."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from textwrap import dedent

import pytest

from surefoot.client import get_client
from surefoot.core.states import StateType
from surefoot.core.wire import FlowRun
from tests.client.builders import a_flow_run, a_task_run, recorded

FLOW = """
import os, pathlib, sys
from surefoot import flow, task

MENDED = pathlib.Path(__file__).with_name("mended")

class Row:
    def __init__(self, number): self.number = number

@task
def load(number):
    print("load", number, flush=True)
    return Row(number)

@task
def save(row):
    assert isinstance(row, Row), type(row)
    print("save", row.number, flush=True)
    if not MENDED.exists():
        DIE
    return row.number

@flow(name="nightly-load")
def nightly(number: int = 1):
    return save(load(number))
"""


def start(folder: Path, *args: str, text: str | None = None, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *args],
        cwd=folder,
        env={**os.environ, "NO_COLOR": "1", **env},
        input=text,
        capture_output=True,
        text=True,
        check=False,
    )


def surefoot(folder: Path, *args: str) -> subprocess.CompletedProcess[str]:
    return start(folder, "-m", "surefoot", *args)


def written(folder: Path, end: str, *, die: str = 'raise ValueError("broken")', name: str = "job.py") -> Path:
    """A script that makes the flow and ends like this."""
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(dedent(FLOW).replace("DIE", die) + dedent(end))
    return file


def runs() -> Sequence[FlowRun]:
    with closing(get_client()) as client:
        return client.flow_runs().results


def mend(file: Path) -> None:
    file.with_name("mended").touch()


GUARDED = """
if __name__ == "__main__":
    nightly(int(sys.argv[1]))
"""


def test_a_run_that_completed_runs_again_from_a_chosen_task(home: Path, tmp_path: Path) -> None:
    file = written(tmp_path, GUARDED)
    mend(file)
    assert start(tmp_path, "job.py", "7").returncode == 0
    again = surefoot(tmp_path, "flow-run", "retry", runs()[0].name, "--from-task", "save")
    assert (again.returncode, again.stdout) == (0, "save 7\n"), again.stderr
    (run,) = runs()
    assert (run.epoch, run.state_type) == (1, StateType.COMPLETED)
    refused = surefoot(tmp_path, "flow-run", "retry", run.name, "--from-task", "save-it")
    assert (refused.returncode, refused.stdout) == (4, "")
    assert "Did you mean 'save'? Its tasks: " in refused.stderr


def test_a_script_goes_on_in_a_new_process(home: Path, tmp_path: Path) -> None:
    file = written(tmp_path, GUARDED)
    failed = start(tmp_path, "job.py", "7")
    assert failed.returncode == 1
    assert f"To go on: surefoot flow-run retry {runs()[0].name}" in failed.stderr
    mend(file)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    done = surefoot(elsewhere, "flow-run", "retry", "--last")
    assert done.returncode == 0, done.stderr
    assert done.stdout == "save 7\n"  # what was loaded, an object of a class of the script's own, is taken over
    (run,) = runs()
    assert (run.state_type, run.epoch) == (StateType.COMPLETED, 1)


def test_a_module_of_a_package_goes_on_under_its_name(home: Path, tmp_path: Path) -> None:
    package = tmp_path / "pkg"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "beside.py").touch()
    file = written(package, "\nfrom . import beside\n" + GUARDED)
    start(tmp_path, "-m", "pkg.job", "7")
    code = file.read_text()
    file.write_text(f"{code}\ndef (")
    broken = surefoot(tmp_path, "flow-run", "retry", "--last")
    assert broken.returncode
    assert "cannot be loaded: SyntaxError" in broken.stderr
    assert "Traceback" not in broken.stderr
    assert runs()[0].epoch == 0
    file.write_text(code)
    mend(file)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    done = surefoot(elsewhere, "flow-run", "retry", "--last")
    assert (done.returncode, done.stdout) == (0, "save 7\n"), done.stderr


@pytest.mark.parametrize("die", ["os.kill(os.getpid(), 9)", "os._exit(3)", "sys.exit(2)"])
def test_a_run_whose_process_died_goes_on(die: str, home: Path, tmp_path: Path) -> None:
    file = written(tmp_path, GUARDED, die=die)
    start(tmp_path, "job.py", "7")
    mend(file)
    done = surefoot(tmp_path, "flow-run", "retry", runs()[0].name)
    assert (done.returncode, done.stdout) == (0, "save 7\n"), done.stderr


def test_a_call_that_the_file_makes_when_it_is_loaded_is_the_run(home: Path, tmp_path: Path) -> None:
    file = written(tmp_path, "\nprint('before')\nprint('got', nightly(int(sys.argv[1])))\n")
    start(tmp_path, "job.py", "7")
    mend(file)
    done = surefoot(tmp_path, "flow-run", "retry", "--last", "nightly-load")
    assert (done.returncode, done.stdout) == (0, "before\nsave 7\ngot 7\n"), done.stderr
    assert len(runs()) == 1


def test_another_flow_that_the_file_calls_when_it_is_loaded_is_refused(home: Path, tmp_path: Path) -> None:
    file = written(tmp_path, "\n@flow\ndef other(): print('other')\nother()\nnightly(7)\n")
    start(tmp_path, "job.py")
    mend(file)
    done = surefoot(tmp_path, "flow-run", "retry", "--last")
    assert done.returncode == 3
    assert "Flow 'other' is called when its file is loaded" in done.stderr
    assert 'under `if __name__ == "__main__":`' in done.stderr
    assert done.stdout == ""
    assert runs()[0].epoch == 0


def test_a_run_that_fails_again_says_so_by_its_exit_code(home: Path, tmp_path: Path) -> None:
    written(tmp_path, GUARDED)
    start(tmp_path, "job.py", "7")
    done = surefoot(tmp_path, "flow-run", "retry", "--last")
    assert (done.returncode, done.stdout) == (1, "save 7\n")
    assert "ValueError: broken" in done.stderr
    assert runs()[0].epoch == 1


def test_a_flow_of_a_package_goes_on_as_a_part_of_it(home: Path, tmp_path: Path) -> None:
    file = written(tmp_path, "from jobs import names\n", name="jobs/flows.py")
    (tmp_path / "jobs" / "__init__.py").touch()
    (tmp_path / "jobs" / "names.py").write_text("from . import __name__ as package\n")
    start(tmp_path, "-c", "from jobs.flows import nightly; nightly(7)")
    mend(file)
    done = surefoot(tmp_path, "flow-run", "retry", "--last")
    assert (done.returncode, done.stdout) == (0, "save 7\n"), done.stderr


def test_a_run_that_the_command_line_began_goes_on(home: Path, tmp_path: Path) -> None:
    file = written(tmp_path, "")
    assert surefoot(tmp_path, "run", "job.py:nightly", "-p", "number=7").returncode == 1
    mend(file)
    done = surefoot(tmp_path, "flow-run", "retry", "--last", "-p", "number=8")
    assert (done.returncode, done.stdout) == (0, "load 8\nsave 8\n"), done.stderr


def test_asynchronous_and_generator_flows_go_on(home: Path, tmp_path: Path) -> None:
    file = written(
        tmp_path,
        """
        @flow
        async def waits():
            return save(load(7))
        @flow
        def yields():
            yield save(load(7))
        """,
    )
    for name in ("waits", "yields"):
        file.with_name("mended").unlink(missing_ok=True)
        assert surefoot(tmp_path, "run", f"job.py:{name}").returncode == 1
        mend(file)
        done = surefoot(tmp_path, "flow-run", "retry", "--last", name)
        assert (done.returncode, done.stdout) == (0, "save 7\n"), done.stderr


def test_what_stands_in_no_file_is_refused_with_the_way_out(home: Path, tmp_path: Path) -> None:
    start(
        tmp_path, "-", text=dedent(FLOW).replace("DIE", "raise ValueError").replace("__file__", "'x'") + "\nnightly()"
    )
    (run,) = runs()
    done = surefoot(tmp_path, "flow-run", "retry", run.name)
    assert done.returncode == 3
    assert "was started from a REPL, a notebook or standard input" in done.stderr
    assert f'nightly.retry("{run.id}")' in done.stderr


def test_a_file_that_is_gone_is_named(home: Path, tmp_path: Path) -> None:
    file = written(tmp_path, GUARDED)
    start(tmp_path, "job.py", "7")
    file.unlink()
    done = surefoot(tmp_path, "flow-run", "retry", "--last")
    assert done.returncode == 3
    assert f"its file {file} is gone" in done.stderr
    file.write_text("x = 1\n")
    done = surefoot(tmp_path, "flow-run", "retry", "--last")
    assert done.returncode == 2
    assert "has no flow 'nightly-load' any more" in done.stderr
    file.write_text("x = \n")
    done = surefoot(tmp_path, "flow-run", "retry", "--last")
    assert done.returncode == 2
    assert "cannot be loaded: SyntaxError" in done.stderr
    assert runs()[0].epoch == 0


def test_a_task_run_goes_on_with_its_flow_run(home: Path, tmp_path: Path) -> None:
    file = written(tmp_path, GUARDED)
    start(tmp_path, "job.py", "7")
    mend(file)
    with closing(get_client()) as client:
        failed, completed = client.task_runs().results
    refused = surefoot(tmp_path, "task-run", "retry", completed.id)
    assert (refused.returncode, "completed: there is nothing left to do" in refused.stderr) == (3, True)
    done = surefoot(tmp_path, "task-run", "retry", failed.name)
    assert done.returncode == 0, done.stderr
    assert (runs()[0].state_name, runs()[0].epoch) == ("Completed", 1)


def test_a_task_run_without_a_flow_is_told_to_be_called_again(home: Path, tmp_path: Path) -> None:
    recorded(home, a_task_run(None, "alone-1", state="Failed"))
    refused = surefoot(tmp_path, "task-run", "retry", "alone-1")
    assert (refused.returncode, "called outside of any flow" in refused.stderr) == (3, True)


def test_the_function_name_of_a_flow_leads_to_its_own(home: Path, tmp_path: Path) -> None:
    recorded(home, a_flow_run("brave-otter", "nightly-load", state="Failed"))
    told = surefoot(tmp_path, "flow-run", "retry", "--last", "nightly_load")
    assert (told.returncode, "surefoot flow-run retry --last nightly-load" in told.stderr) == (4, True)
    told = surefoot(tmp_path, "flow-run", "ls", "--flow", "nightly_load")
    assert "Did you mean --flow nightly-load?" in told.stderr


def test_nothing_to_go_on_with_is_said_so(home: Path, tmp_path: Path) -> None:
    done = surefoot(tmp_path, "flow-run", "retry", "--last")
    assert (done.returncode, "none to go on with" in done.stderr) == (4, True)
    done = surefoot(tmp_path, "flow-run", "retry")
    assert (done.returncode, "No run is named" in done.stderr) == (2, True)
    file = written(tmp_path, GUARDED)
    mend(file)
    start(tmp_path, "job.py", "7")
    done = surefoot(tmp_path, "flow-run", "retry", runs()[0].name)
    assert (done.returncode, "there is nothing left to do in it" in done.stderr) == (3, True)


def test_of_a_name_that_nobody_knows_the_nearest_is_told(home: Path, tmp_path: Path) -> None:
    recorded(home, a_flow_run("brave-otter", "nightly-load", state="Failed"))
    done = surefoot(tmp_path, "flow-run", "retry", "--last", "nihgtly-load")
    assert (done.returncode, "Did you mean: surefoot flow-run retry --last nightly-load" in done.stderr) == (4, True)


def test_of_a_flow_that_failed_within_another_that_one_is_told(home: Path, tmp_path: Path) -> None:
    written(
        tmp_path,
        """
        @flow
        def outer(): nightly()
        outer()
        """,
    )
    start(tmp_path, "job.py")
    done = surefoot(tmp_path, "flow-run", "retry", "--last", "nightly-load")
    (outer,) = (run for run in runs() if run.flow_name == "outer")
    assert done.returncode == 4
    assert "is a part of another" in done.stderr
    assert f"surefoot flow-run retry {outer.name} " in done.stderr


def test_a_file_that_ends_the_process_while_it_is_loaded_is_told(home: Path, tmp_path: Path) -> None:
    file = written(tmp_path, GUARDED)
    start(tmp_path, "job.py", "7")
    file.write_text("import sys\nsys.exit('set TOKEN first')\n" + file.read_text())
    done = surefoot(tmp_path, "flow-run", "retry", "--last")
    assert done.returncode == 2
    assert "the file called sys.exit('set TOKEN first') while it was loaded" in done.stderr
    assert [(run.state_name, run.epoch) for run in runs()] == [("Failed", 0)]


def test_a_value_that_does_not_fit_is_refused_and_the_run_stays_as_it_is(home: Path, tmp_path: Path) -> None:
    written(tmp_path, GUARDED)
    start(tmp_path, "job.py", "7")
    done = surefoot(tmp_path, "flow-run", "retry", "--last", "-p", "number=zz")
    assert (done.returncode, "[parameter-type]" in done.stderr) == (2, True), done.stderr
    assert [(run.state_name, run.epoch) for run in runs()] == [("Failed", 0)]


def test_ctrl_c_ends_the_run_that_goes_on(home: Path, tmp_path: Path) -> None:
    file = written(tmp_path, GUARDED, die="raise ValueError")
    start(tmp_path, "job.py", "7")
    file.write_text(
        file.read_text().replace("raise ValueError", "print('on', flush=True); __import__('time').sleep(60)")
    )
    command = [sys.executable, "-m", "surefoot", "flow-run", "retry", "--last"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line == "on\n":
                break
        process.send_signal(signal.SIGINT)
        assert process.wait() == 130
    (run,) = runs()
    assert (run.state_type, run.epoch) == (StateType.CRASHED, 1)


def test_reordered_code_finds_its_results(home: Path, tmp_path: Path) -> None:
    """Promise 13: results are found by task and inputs, so code may be changed around them."""
    file = written(tmp_path, "", die="raise ValueError")
    file.write_text(file.read_text().replace("return save(load(number))", "a = load(1); b = load(2); save(a)"))
    surefoot(tmp_path, "run", "job.py:nightly")
    mend(file)
    text = file.read_text().replace(
        "a = load(1); b = load(2); save(a)", "c = load(3); b = load(2); a = load(1); save(a)"
    )
    file.write_text(text)
    done = surefoot(tmp_path, "flow-run", "retry", "--last")
    assert (done.returncode, done.stdout) == (0, "load 3\nsave 1\n"), done.stderr
    shown = json.loads(surefoot(tmp_path, "task-run", "ls", "-o", "json").stdout)
    assert len(shown) == 4
