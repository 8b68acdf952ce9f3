# ruff: noqa: T201
"""Logging: what runs say reaches the journal in order and the console in a readable form, and disturbs nobody else."""

from __future__ import annotations

import asyncio
import builtins
import contextlib
import contextvars
import io
import json
import logging
import logging.config
import os
import re
import subprocess
import sys
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from surefoot import flow, get_run_logger, task
from surefoot.context import FlowRunContext
from surefoot.core.facts import LogWritten
from surefoot.exceptions import MissingContextError
from surefoot.logging import (
    JournalHandler,
    disable_run_logger,
    flow_run_logger,
    get_logger,
    task_run_logger,
)
from tests.recorded import record
from tests.reference.rows import row

FLOW_RUNS, TASK_RUNS = "surefoot.flow_runs", "surefoot.task_runs"


@pytest.fixture(autouse=True)
def loggers() -> Iterator[None]:
    """Loggers are the process's own: each test leaves them as it found them."""
    known = {name: logging.getLogger(name) for name in ("surefoot", FLOW_RUNS, TASK_RUNS, "library", "library.part")}
    before = {name: (logger.level, list(logger.handlers), logger.disabled) for name, logger in known.items()}
    yield
    for name, logger in known.items():
        logger.level, logger.handlers[:], logger.disabled = before[name]


def told(lines: list[LogWritten]) -> list[str]:
    """What users said, without the engine's own lines."""
    engine = re.compile(r"^(started|completed|failed|map |its on_)")
    return [line.message for line in lines if not engine.match(line.message)]


# -- where lines belong ------------------------------------------------------------------------------------------------


def test_lines_of_a_flow_a_task_and_a_subflow_belong_to_their_runs_in_order(home: Path) -> None:
    @task
    def step() -> None:
        get_run_logger().warning("in the task")

    @flow
    def inner() -> None:
        get_run_logger().info("in the subflow")
        step()

    @flow
    def outer() -> None:
        get_run_logger().info("before")
        step()
        inner()
        get_run_logger().error("after")

    outer()
    found = record(home)
    flows = {run.created.run_id: run.of for run in found.flow_runs}
    tasks = {run.created.run_id: run.of for run in found.task_runs}
    said = [
        (line.message, line.logger, line.level, flows[line.flow_run_id or b""], tasks.get(line.task_run_id or b""))
        for line in found.lines
        if line.message in told(found.lines)
    ]
    assert said == [
        ("before", FLOW_RUNS, 20, "outer", None),
        ("in the task", TASK_RUNS, 30, "outer", "step"),
        ("in the subflow", FLOW_RUNS, 20, "inner", None),
        ("in the task", TASK_RUNS, 30, "inner", "step"),
        ("after", FLOW_RUNS, 40, "outer", None),
    ]
    assert [line.at_us for line in found.lines] == sorted(line.at_us for line in found.lines)


def test_a_task_outside_of_flows_logs_for_itself(home: Path) -> None:
    @task
    def step() -> None:
        get_run_logger().info("alone")

    step()
    (line,) = record(home).lines
    assert (line.message, line.flow_run_id) == ("alone", None)
    assert line.task_run_id == record(home).task_run().created.run_id


def test_asynchronous_code_and_its_threads_log_for_their_run(home: Path) -> None:
    @task
    async def step(n: int) -> None:
        await asyncio.sleep(0)
        get_run_logger().info("task %d", n)
        await asyncio.to_thread(lambda: get_run_logger().info("thread of %d", n))

    @flow
    async def main() -> None:
        await asyncio.gather(*(step(n) for n in range(5)))
        get_run_logger().info("flow")

    asyncio.run(main())
    found = record(home)
    by_run: dict[bytes | None, set[str]] = {}
    for line in found.lines:
        if line.message in told(found.lines):
            by_run.setdefault(line.task_run_id, set()).add(line.message)
    assert sorted(map(sorted, by_run.values())) == [["flow"], *([f"task {n}", f"thread of {n}"] for n in range(5))]


def test_submitted_tasks_log_for_themselves(home: Path) -> None:
    @task
    def step(n: int) -> None:
        get_run_logger().info("%d", n)

    @flow
    def main() -> None:
        step.map(range(20)).wait()

    main()
    found = record(home)
    said = [line for line in found.lines if line.task_run_id]
    assert {line.message for line in said} == {str(n) for n in range(20)}
    assert len({line.task_run_id for line in said}) == 20


def test_a_thread_of_ones_own_takes_its_run_along_by_a_context(home: Path) -> None:
    caught: list[Exception] = []

    def work() -> None:
        try:
            get_run_logger().info("from a thread")
        except MissingContextError as error:
            caught.append(error)

    @flow
    def main() -> None:
        context = contextvars.copy_context()
        for target in (work, lambda: context.run(work)):
            thread = threading.Thread(target=target)
            thread.start()
            thread.join()

    main()
    assert "copy_context" in str(caught[0])
    assert told(record(home).lines) == ["from a thread"]


@row("7.01", "7.03")
def test_hooks_log_for_the_run_that_they_were_called_for(row: str, home: Path) -> None:
    def flow_hook(flow: Any, flow_run: Any, state: Any) -> None:
        get_run_logger().info("hook of %s", flow_run.name)
        flow_run_logger(flow_run, flow).info("again")

    def task_hook(task: Any, task_run: Any, state: Any) -> None:
        task_run_logger(task_run, task).info("hook of a task")

    @task(on_completion=[task_hook])
    def step() -> None: ...

    @flow(on_completion=[flow_hook])
    def main() -> None:
        step()

    main()
    found = record(home)
    assert told(found.lines) == ["hook of a task", f"hook of {found.flow_run().name}", "again"]


def test_a_task_may_log_for_its_flow(home: Path) -> None:
    @task
    def step() -> None:
        get_run_logger(FlowRunContext.get()).info("for the flow")

    @flow
    def main() -> None:
        step()

    main()
    (line,) = [line for line in record(home).lines if line.message == "for the flow"]
    assert line.task_run_id is None


@row("7.01")
def test_outside_of_runs_there_is_no_run_logger(row: str) -> None:
    with pytest.raises(MissingContextError, match="get_run_logger") as caught:
        get_run_logger()
    assert isinstance(caught.value, RuntimeError)
    assert "disable_run_logger" in caught.value.do


@row("7.04")
def test_the_run_logger_can_be_silenced_for_unit_tests(
    row: str, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    @task
    def step(x: int) -> int:
        get_run_logger().warning("not to be heard")
        return x

    with disable_run_logger(), disable_run_logger():
        assert step.fn(3) == 3
        with disable_run_logger():
            pass
        assert step(4) == 4
    assert "not to be heard" not in capsys.readouterr().err
    assert told(record(home).lines) == []
    step(5)
    assert "not to be heard" in capsys.readouterr().err
    with pytest.raises(MissingContextError):
        step.fn(3)


@row("7.02")
def test_loggers_beside_runs_have_names_under_ours(row: str) -> None:
    names = ("surefoot", "surefoot", "surefoot.x", "surefoot.x")
    assert tuple(get_logger(name).name for name in (None, "surefoot", "x", "surefoot.x")) == names


# -- what lines hold ---------------------------------------------------------------------------------------------------


def test_messages_of_any_shape_are_kept_as_they_read(home: Path) -> None:
    @flow
    def main() -> None:
        logger = get_run_logger()
        logger.info("{not} a {0} format %s", "{x}")
        logger.info("100 % of %%")
        logger.info({"a": 1})
        logger.info(None)
        logger.info(ValueError("no"))
        logger.info("two\nlines")
        logger.info("\x00 and \N{SNOWMAN}")
        logger.info("%(a)s", {"a": 3})
        logger.info("")

    main()
    assert told(record(home).lines) == [
        "{not} a {0} format {x}",
        "100 % of %%",
        "{'a': 1}",
        "None",
        "no",
        "two\nlines",
        "\x00 and \N{SNOWMAN}",
        "3",
        "",
    ]


def test_texts_that_utf_8_cannot_hold_are_kept_with_escapes(home: Path, tmp_path: Path) -> None:
    script = tmp_path / "script.py"  # in a process of its own: the tests' own reports cannot hold such texts either
    script.write_text(
        "from surefoot import flow, get_run_logger\n"
        "@flow(log_prints=True)\n"
        "def main(name):\n"
        "    get_run_logger().info('file %s', name)\n"
        "    print(name)\n"
        "    raise OSError(name)\n"
        "state = main('caf\\udce9', return_state=True)\n"
        "assert str(state.result(raise_on_failure=False)) == 'caf\\udce9'\n"
    )
    subprocess.run([sys.executable, str(script)], check=True, capture_output=True)
    found = record(home)
    assert told(found.lines) == ["file caf\\udce9", "caf\\udce9"]
    assert found.flow_run().last.message == "OSError: caf\\udce9"


def test_a_line_that_cannot_be_formatted_stops_nobody(home: Path, tmp_path: Path) -> None:
    script = tmp_path / "script.py"  # in a process of its own: pytest turns such lines into errors
    script.write_text(
        "from surefoot import flow, get_run_logger\n"
        "@flow\n"
        "def main():\n"
        "    get_run_logger().info('%d', 'not a number')\n"
        "    get_run_logger().info('goes on')\n"
        "main()\n"
    )
    done = subprocess.run([sys.executable, str(script)], check=True, capture_output=True, text=True)
    assert told(record(home).lines) == ["goes on"]
    assert "--- Logging error ---" in done.stderr


def test_exceptions_are_kept_with_their_traceback_and_stacks_too(home: Path) -> None:
    @flow
    def main() -> None:
        try:
            1 / 0  # noqa: B018
        except ZeroDivisionError:
            get_run_logger().exception("it went wrong")
        get_run_logger().info("here", stack_info=True)

    main()
    (line,) = [line for line in record(home).lines if line.message.startswith("it went wrong")]
    assert line.level == logging.ERROR
    assert line.message.splitlines()[1].startswith("Traceback")
    assert line.message.endswith("ZeroDivisionError: division by zero")
    (line,) = [line for line in record(home).lines if line.message.startswith("here")]
    assert "Stack (most recent call last)" in line.message


@row("7.13")
def test_a_huge_line_is_cut_with_a_mark(row: str, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUREFOOT_LOGGING_MAX_LOG_SIZE", "1000")

    @flow
    def main() -> None:
        get_run_logger().info("x" * 5000)
        get_run_logger().info("y" * 1000)

    main()
    cut, whole = [line for line in record(home).lines if line.message[0] in "xy"]
    assert (cut.message, cut.cut) == ("x" * 1000 + " [cut: 4000 characters]", 4000)
    assert (whole.message, whole.cut) == ("y" * 1000, 0)


@row("7.10")
def test_formatters_may_use_the_names_of_runs_and_fields_of_ones_own(row: str, home: Path) -> None:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    names = "flow_name flow_run_name flow_run_id task_name task_run_name task_run_id customer batch".split()
    handler.setFormatter(logging.Formatter(json.dumps({name: f"%({name})s" for name in names})))
    logging.getLogger(TASK_RUNS).addHandler(handler)

    @task
    def step() -> None:
        get_run_logger(customer="acme").info("", extra={"batch": 7})

    @flow
    def main() -> None:
        step()

    main()
    fields = json.loads(stream.getvalue().splitlines()[0])
    found = record(home)
    assert (fields["flow_name"], fields["task_name"], fields["customer"], fields["batch"]) == (
        "main",
        "step",
        "acme",
        "7",
    )
    assert fields["flow_run_name"] == found.flow_run().name
    assert fields["task_run_name"] == found.task_run().name
    assert fields["task_run_id"].replace("-", "") == found.task_run().created.run_id.hex()


def test_handlers_of_the_users_own_stay(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    logging.getLogger(FLOW_RUNS).addHandler(handler)
    logging.getLogger("surefoot").addHandler(handler)

    @flow
    def main() -> None:
        get_run_logger().info("hello")

    main()
    monkeypatch.setenv("SUREFOOT_LOGGING_COLORS", "false")  # other settings: our own handlers are made anew
    main()
    assert stream.getvalue().count("hello") == 4
    kinds = [type(found) for found in logging.getLogger(FLOW_RUNS).handlers]
    assert kinds.count(JournalHandler) == 1
    assert kinds.count(logging.StreamHandler) == 1


def test_a_logging_configuration_that_is_loaded_during_a_run_silences_no_run(home: Path) -> None:
    @flow
    def main() -> None:
        get_run_logger().info("before")
        logging.config.dictConfig({"version": 1})  # which disables all loggers that it does not name
        get_run_logger().info("after")

    main()
    assert told(record(home).lines) == ["before", "after"]


# -- levels and other libraries ----------------------------------------------------------------------------------------


@row("7.07")
def test_the_level_is_what_is_recorded_and_shown(
    row: str, home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    @flow
    def main() -> None:
        for level in ("debug", "info", "warning", "error", "critical"):
            getattr(get_run_logger(), level)(level)

    monkeypatch.setenv("SUREFOOT_LOGGING_LEVEL", "WARNING")
    main()
    assert record(home).messages() == ["warning", "error", "critical"]
    assert re.findall(r"\| (\w+)", capsys.readouterr().err) == ["warning", "error", "critical"]
    monkeypatch.setenv("SUREFOOT_LOGGING_LEVEL", "DEBUG")
    main()
    assert "debug" in record(home).messages()


@row("7.07")
def test_debug_mode_tells_all(row: str, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUREFOOT_LOGGING_LEVEL", "ERROR")
    monkeypatch.setenv("SUREFOOT_DEBUG_MODE", "true")

    @task
    def step() -> None: ...

    @flow
    def main() -> None:
        step()

    main()
    assert {line.logger for line in record(home).lines} == {FLOW_RUNS, TASK_RUNS}


@row("7.11", "7.14")
def test_other_loggers_can_be_kept_with_the_run(row: str, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUREFOOT_LOGGING_EXTRA_LOGGERS", "library,library.part")
    library, part = logging.getLogger("library"), logging.getLogger("library.part")

    @task
    def step() -> None:
        part.info("in a task")

    @flow
    def main() -> None:
        library.info("in the flow")
        library.debug("too quiet")
        step()

    library.warning("outside of runs")
    main()
    found = record(home)
    assert [(line.logger, line.message) for line in found.lines if line.logger.startswith("library")] == [
        ("library", "in the flow"),
        ("library.part", "in a task"),
    ]
    monkeypatch.delenv("SUREFOOT_LOGGING_EXTRA_LOGGERS")
    main()
    assert len([line for line in record(home).lines if line.logger == "library"]) == 1


# -- prints ------------------------------------------------------------------------------------------------------------


def test_prints_are_lines_where_they_are_wanted_and_prints_elsewhere(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    @task
    def inherits() -> None:
        print("task inherits")

    @task(log_prints=False)
    def refuses() -> None:
        print("task refuses")

    @task(log_prints=True)
    def wants() -> None:
        print("task wants")

    @flow
    def sub() -> None:
        print("subflow inherits")

    @flow(log_prints=True)
    def on() -> None:
        print("flow")
        inherits()
        refuses()
        sub()
        inherits.submit().wait()

    @flow
    def off() -> None:
        print("quiet flow")
        inherits()
        wants()

    on()
    off()
    print("outside")
    assert told(record(home).lines) == ["flow", "task inherits", "subflow inherits", "task inherits", "task wants"]
    assert capsys.readouterr().out.splitlines() == ["task refuses", "quiet flow", "task inherits", "outside"]


def test_prints_can_be_switched_on_by_a_setting(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUREFOOT_LOGGING_LOG_PRINTS", "true")

    @task
    def step() -> None:
        print("from a task")

    step()
    assert told(record(home).lines) == ["from a task"]


@row("7.05")
def test_every_form_of_print_reads_as_it_would_have(row: str, home: Path, tmp_path: Path) -> None:
    @flow(log_prints=True)
    def main() -> None:
        print("a", 1, None, sep="-")
        print()
        print("100 %s {x}", "%d")
        print("no newline", end="")
        print("two\nlines", flush=True)
        print({"a": [1]})
        with open(tmp_path / "file.txt", "w") as file:
            print("to a file", file=file)
        print("to stderr", file=sys.stderr)
        print("to stdout", file=sys.stdout)

    main()
    lines = ["a-1-None", "", "100 %s {x} %d", "no newline", "two\nlines", "{'a': [1]}", "to stdout"]
    assert told(record(home).lines) == lines
    assert (tmp_path / "file.txt").read_text() == "to a file\n"


@row("7.19")
def test_prints_and_log_lines_stand_in_the_order_in_which_they_were_made(row: str, home: Path) -> None:
    @task
    def step(n: int) -> None:
        print(f"print {n}")
        get_run_logger().info("log %d", n)

    @flow(log_prints=True)
    def main() -> None:
        for n in range(50):
            step(n)

    main()
    wanted = [f"{kind} {n}" for n in range(50) for kind in ("print", "log")]
    assert told(record(home).lines) == wanted


def test_a_redirected_stdout_gets_what_was_printed_into_it(home: Path) -> None:
    @flow(log_prints=True)
    def main() -> str:
        with contextlib.redirect_stdout(io.StringIO()) as caught:
            print("for the string")
        print("for the log")
        return caught.getvalue()

    assert main() == "for the string\n"
    assert told(record(home).lines) == ["for the log"]


def test_a_print_of_somebody_elses_over_ours_makes_no_circle(monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[Any] = []

    @flow(log_prints=True)
    def main() -> None:
        print("in a run")

    main()
    ours = builtins.print

    def theirs(*values: Any, **options: Any) -> None:
        heard.extend(values)
        ours(*values, **options)

    monkeypatch.setattr(builtins, "print", theirs)
    main()
    print("outside")
    assert heard == ["in a run", "outside"]


# -- the console -------------------------------------------------------------------------------------------------------

LINE = re.compile(r"^\d\d:\d\d:\d\d\.\d{3} (DEBUG|INFO|WARNING|ERROR) {0,3} (\S+)( \S+)? \| (.*)$")


def test_the_console_shows_a_flows_start_end_logs_warnings_and_failures(capsys: pytest.CaptureFixture[str]) -> None:
    @task
    def good() -> None: ...

    @task(retries=1)
    def bad() -> None:
        raise ValueError("no disk")

    @flow
    def nightly() -> None:
        get_run_logger().info("my own line")
        good()
        bad()

    with pytest.raises(ValueError, match="no disk"):
        nightly()
    lines = [LINE.match(line) for line in capsys.readouterr().err.splitlines()]
    shown = [(line[1], bool(line[3]), line[4]) for line in lines if line]
    assert shown == [
        ("INFO", False, "started"),
        ("INFO", False, "my own line"),
        ("WARNING", True, "failed: ValueError: no disk; retry 1 of 1"),
        ("ERROR", True, "failed: ValueError: no disk (after 1 retry)"),
        ("ERROR", False, "failed: ValueError: no disk"),
    ]
    assert all(line[2].startswith("nightly/") for line in lines if line)


def test_each_tasks_own_steps_are_told_at_debug_alone(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    @task
    def good() -> None: ...

    @flow
    def nightly() -> None:
        good()

    nightly()
    assert "good-" not in capsys.readouterr().err
    monkeypatch.setenv("SUREFOOT_LOGGING_LEVEL", "DEBUG")
    nightly()
    assert re.findall(r"good-\w+ \| (\w+)", capsys.readouterr().err) == ["started", "completed"]


def test_where_nobody_looks_there_are_no_colours_and_a_map_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    @task
    def work(n: int) -> None: ...

    @flow
    def main() -> None:
        work.map(range(30)).wait()

    main()
    shown = capsys.readouterr().err
    assert "\x1b" not in shown
    assert "\r" not in shown
    texts = [line[4] for line in map(LINE.match, shown.splitlines()) if line]
    assert re.fullmatch(r"map work: 30 runs, in .*", texts[1])
    assert len(texts) == 3


def test_a_map_that_fails_all_over_is_told_in_few_lines(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    @task
    def work(n: int) -> None:
        raise ValueError(n)

    @flow
    def main() -> str:
        work.map(range(500)).wait()
        return "done"

    assert main() == "done"
    texts = [line[4] for line in map(LINE.match, capsys.readouterr().err.splitlines()) if line]
    assert sum(text.startswith("failed: ValueError") for text in texts) == 10
    assert any(re.match(r"map work: 500 runs, 500 of them failed", text) for text in texts)
    assert sum(run.end[1] == "Failed" for run in record(home).task_runs) == 500, "every one is recorded with its error"


TERMINAL = """
import sys
from surefoot import flow, task, get_run_logger

@task
def work(n):
    if n == 3:
        get_run_logger().warning("odd one")
    return n

@flow
def main():
    get_run_logger().error("red")
    work.map(range(40)).wait()

main()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there are no pseudo-terminals here")
@pytest.mark.parametrize(("variables", "is_coloured"), [({}, True), ({"SUREFOOT_LOGGING_COLORS": "false"}, False)])
def test_on_a_terminal_levels_are_coloured_and_a_map_is_one_line_that_moves(
    variables: dict[str, str], is_coloured: bool, tmp_path: Path
) -> None:
    shown = on_a_terminal(TERMINAL, {**variables, "TERM": "xterm"}, tmp_path)
    assert ("\x1b[31mERROR" in shown) is is_coloured
    assert ("\x1b[33mWARNING" in shown) is is_coloured
    assert re.search(r"\r\x1b\[2Kwork: [\d,]+/40 done", shown), "the line moves"
    # What is left when the terminal has obeyed: the moving line has gone, and every other line is whole.
    left = [line.rsplit("\x1b[2K", 1)[-1] for line in shown.replace("\r\n", "\n").strip("\n").split("\n")]
    texts = [re.sub(r"\x1b\[\d*(;\d+)*m", "", line).strip("\r") for line in left]
    assert [bool(LINE.match(text)) for text in texts] == [True] * len(texts)
    assert any("odd one" in text for text in texts)
    assert any("map work: 40 runs" in text for text in texts)


@pytest.mark.skipif(sys.platform == "win32", reason="there are no pseudo-terminals here")
@pytest.mark.parametrize("variables", [{"TERM": "dumb"}, {"TERM": "xterm", "NO_COLOR": "1"}])
def test_a_terminal_that_wants_none_of_it_gets_none(variables: dict[str, str], tmp_path: Path) -> None:
    assert "\x1b" not in on_a_terminal(TERMINAL, variables, tmp_path)


def on_a_terminal(script: str, variables: dict[str, str], tmp_path: Path) -> str:
    """What a script shows on a terminal of its own."""
    import pty  # not on every system

    file = tmp_path / "script.py"
    file.write_text(script)
    ours, theirs = pty.openpty()
    environment = {name: value for name, value in os.environ.items() if name != "NO_COLOR"}
    child = subprocess.Popen([sys.executable, str(file)], stderr=theirs, env={**environment, **variables})
    os.close(theirs)
    shown = b""
    while True:
        try:
            block = os.read(ours, 4096)
        except OSError:  # how Linux says that the other end is closed
            break
        if not block:
            break
        shown += block
    os.close(ours)
    assert child.wait() == 0
    return shown.decode()


def test_a_program_without_stderr_runs_all_the_same(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    @task
    def work(n: int) -> int:
        get_run_logger().error("nobody hears")
        return n

    @flow
    def main() -> Any:
        return work.map([1, 2])

    monkeypatch.setattr(sys, "stderr", None)
    assert main() == [1, 2]
    assert told(record(home).lines) == ["nobody hears"] * 2


def test_warnings_of_python_are_left_alone() -> None:
    @flow
    def main() -> None:
        warnings.warn("mind the gap", UserWarning, stacklevel=1)

    with pytest.warns(UserWarning, match="mind the gap"):
        main()
