"""Chapter 7 of the reference: logging. Rows that are tested for themselves are marked in tests/test_logging.py."""

from __future__ import annotations

import io
import json
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from surefoot import flow, get_run_logger, task
from surefoot.core.settings.elsewhere import find_elsewhere
from surefoot.core.settings.sources import find_problems
from surefoot.exceptions import MissingContextError, SettingsError
from surefoot.logging import JsonFormatter, disable_run_logger, flow_run_logger, get_logger, task_run_logger
from surefoot.settings import get_current_settings, temporary_settings
from tests.recorded import record
from tests.reference.rows import at, row

NAMES = ("surefoot", "surefoot.flow_runs", "surefoot.task_runs", "surefoot.extra", "surefoot.mine")


@pytest.fixture(autouse=True)
def loggers() -> Iterator[None]:
    """Loggers are the process's own: each test leaves them as it found them."""
    known = {name: logging.getLogger(name) for name in NAMES}
    before = {name: (logger.level, list(logger.handlers), logger.disabled) for name, logger in known.items()}
    yield
    for name, logger in known.items():
        logger.level, logger.handlers[:], logger.disabled = before[name]


def said(home: Path, *names: str) -> list[str]:
    """What was kept of these loggers, the engine's own lines left out."""
    kept = [line for line in record(home).lines if not names or line.logger in names]
    return [line.message for line in kept if not line.message.startswith(("started", "completed", "failed"))]


def heard(*names: str) -> io.StringIO:
    """A handler of the user's own on these loggers."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter())
    for name in names:
        logging.getLogger(name).addHandler(handler)
    return stream


@row("7.01")
def test_the_logger_is_that_of_the_innermost_run(row: str) -> None:
    names = []

    @task
    def step() -> None:
        names.append(get_run_logger().logger.name)

    @flow
    def main() -> None:
        names.append(get_run_logger().logger.name)
        step()

    main()
    assert names == ["surefoot.flow_runs", "surefoot.task_runs"]
    with pytest.raises(MissingContextError, match=r"get_run_logger\(\) was called outside of a flow or task run"):
        get_run_logger()


@row("7.02", "7.06")
def test_a_logger_beside_runs_is_shown_and_not_kept_but_that_of_extra_lines(
    row: str, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    @flow
    def main() -> None:
        get_logger("mine").warning("beside")
        get_logger("extra").warning("of the run")

    get_logger("extra").warning("of no run")
    main()
    shown = capsys.readouterr().err
    assert "beside" in shown
    assert "of the run" in shown
    assert said(home) == ["of the run"]


@row("7.03")
def test_loggers_are_made_from_the_runs_that_hooks_are_given(row: str, home: Path) -> None:
    def of_flow(flow: Any, run: Any, state: Any) -> None:
        flow_run_logger(run, flow).info("flow %s", run.name)

    def of_task(task: Any, run: Any, state: Any) -> None:
        task_run_logger(run, task, None, None).info("task %s", run.name)

    @task(on_running=[of_task], task_run_name="one")
    def step() -> None: ...

    @flow(on_completion=[of_flow], flow_run_name="all")
    def main() -> None:
        step()

    main()
    assert [line for line in said(home) if line.startswith(("flow ", "task "))] == ["task one", "flow all"]


@row("7.04")
def test_a_silenced_logger_works_outside_of_runs_and_is_heard_again_afterwards(row: str) -> None:
    with disable_run_logger():
        get_run_logger().info("nobody hears it")
        get_run_logger(customer="acme").error("nor that")
    with pytest.raises(MissingContextError):
        get_run_logger()


@pytest.mark.parametrize(
    ("on_flow", "on_task", "setting", "kept"),
    [
        at("7.05", True, None, False, ["flow", "task"]),
        at("7.05", True, False, False, ["flow"]),
        at("7.05", None, None, True, ["flow", "task"]),
        at("7.05", None, True, False, ["task"]),
        at("7.05", False, None, True, []),
        at("7.05", None, None, False, []),
    ],
)
def test_prints_are_lines_as_the_task_says_or_its_flow_or_the_setting(
    on_flow: bool | None, on_task: bool | None, setting: bool, kept: list[str], home: Path
) -> None:
    @task(log_prints=on_task)
    def step() -> None:
        print("task")  # noqa: T201

    @flow(log_prints=on_flow)
    def main() -> None:
        print("flow")  # noqa: T201
        step()

    with temporary_settings({"logging.log_prints": setting}):
        main()
    assert [line for line in said(home) if line in ("flow", "task")] == kept


@row("7.07")
def test_a_level_that_there_is_not_is_an_error_of_settings(row: str, home: Path) -> None:
    assert get_current_settings().logging.level == "INFO"
    with pytest.raises(SettingsError, match="LOUD"), temporary_settings({"logging.level": "LOUD"}):
        pass


@row("7.08")
def test_a_level_of_ones_own_on_a_logger_counts_and_a_variable_for_it_is_told_of(
    row: str, home: Path, tmp_path: Path
) -> None:
    @task
    def step() -> None:
        get_run_logger().info("info of a task")

    @flow
    def main() -> None:
        get_run_logger().info("info of a flow")
        step()

    logging.getLogger("surefoot.task_runs").setLevel("WARNING")
    main()
    assert said(home, "surefoot.flow_runs", "surefoot.task_runs") == ["info of a flow"]
    name = "SUREFOOT_LOGGING_LOGGERS_SUREFOOT_FLOW_RUNS_LEVEL"
    (problem,) = find_problems({"SUREFOOT_HOME": str(tmp_path), name: "DEBUG"}, str(tmp_path))
    assert name in problem
    assert "not needed here: logging is Python's own" in problem


@row("7.09")
def test_a_file_for_logging_is_not_looked_for_and_its_setting_is_told_of(row: str, home: Path) -> None:
    home.mkdir()
    (home / "logging.yml").write_text("no: [yaml")

    @flow
    def main() -> int:
        return 1

    assert main() == 1
    (problem,) = find_problems({"SUREFOOT_HOME": str(home), "SUREFOOT_LOGGING_CONFIG_PATH": "x.yml"}, str(home))
    assert "not needed here: logging is Python's own: call `logging.config` in your script" in problem


@row("7.10")
def test_lines_of_handlers_of_ones_own_may_be_json(row: str) -> None:
    stream = heard("surefoot.task_runs", "surefoot.extra")

    @task(task_run_name="one")
    def step() -> None:
        get_run_logger(customer="acme").warning("50 %% of %s", "it", extra={"lock": Path("x")})
        try:
            os.stat("/nowhere/at/all")
        except OSError:
            get_run_logger().exception("gone")

    @flow(flow_run_name="all")
    def main() -> None:
        step()

    main()
    get_logger("extra").warning("of no run\nin two lines")
    first, second, third = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert {name: first[name] for name in ("level", "logger", "message", "customer", "lock")} == {
        "level": "WARNING",
        "logger": "surefoot.task_runs",
        "message": "50 % of it",
        "customer": "acme",
        "lock": "x",
    }
    assert [first[name] for name in ("flow_name", "flow_run_name", "task_name", "task_run_name")] == [
        "main",
        "all",
        "step",
        "one",
    ]
    assert first["timestamp"].endswith("+00:00")
    assert second["traceback"].startswith("Traceback")
    assert "FileNotFoundError" in second["traceback"]
    assert set(third) == {"timestamp", "level", "logger", "message"}


@row("7.12")
def test_brackets_are_shown_as_they_were_written(row: str, capsys: pytest.CaptureFixture[str]) -> None:
    @flow
    def main() -> None:
        get_run_logger().info("a[red]b[/red] [0] [[x]]")

    main()
    shown = capsys.readouterr().err
    assert "a[red]b[/red] [0] [[x]]" in shown
    assert "\x1b" not in shown
    there = find_elsewhere("logging.markup")
    assert there is not None
    assert "brackets and all" in there.why


@row("7.15")
def test_a_line_may_stay_on_the_console_alone(row: str, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    @flow
    def main() -> None:
        get_run_logger().info("kept")
        get_run_logger().info("shown", extra={"send_to_api": False})
        get_run_logger(send_to_api=False).info("shown too")

    main()
    assert said(home) == ["kept"]
    shown = capsys.readouterr().err
    assert shown.index("kept") < shown.index("shown") < shown.index("shown too")


@row("7.19")
def test_lines_of_a_run_are_kept_in_the_order_in_which_they_were_made(row: str, home: Path) -> None:
    @flow
    def main() -> None:
        for n in range(200):
            get_run_logger().info("%d", n)

    main()
    assert said(home) == [str(n) for n in range(200)]


@row("7.20")
def test_secrets_mask_themselves_in_lines(row: str, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    @flow(log_prints=True)
    def main(password: SecretStr) -> None:
        get_run_logger().info("password %s, in %r", password, {"it": password})
        get_run_logger().info("settings %r", get_current_settings().api)
        print(password, get_current_settings())  # noqa: T201

    with temporary_settings({"api.key": "hush-key"}):
        main(SecretStr("hush-word"))
    assert len(said(home)) == 3
    for text in (capsys.readouterr().err, *said(home)):
        assert "hush" not in text
