"""The command itself: it helps without loading anything, offers the nearest word, and leaves by one door."""

import importlib
import subprocess
import sys
from pathlib import Path

import click
import pytest

from surefoot.cli.app import app
from tests.cli.conftest import Process, Surefoot
from tools.docs_cli import commands

ALL = commands()


@pytest.mark.parametrize("words", [["--help"], ["--version"], ["flow-rum"], ["completion", "--help"]])
def test_help_loads_no_room(words: list[str]) -> None:
    code = (
        "import sys\nfrom surefoot.cli import main\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "heavy = {'sqlalchemy', 'pydantic', 'rich', 'msgspec', 'asyncio', 'alembic', 'surefoot.core.wire'}\n"
        "print(sorted(heavy & sys.modules.keys()), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=True)
    assert done.stderr.splitlines()[-1] == "[]"


@pytest.mark.parametrize("name", list(app.places))
def test_the_purpose_of_each_command_is_what_its_own_help_says(name: str) -> None:
    place = app.places[name]
    command = getattr(importlib.import_module(place.module), place.name)
    assert command.get_short_help_str(200) == place.purpose


@pytest.mark.parametrize(("path", "command"), ALL, ids=[path for path, _ in ALL])
def test_each_command_says_what_it_is_for(path: str, command: click.Command) -> None:
    text = command.get_help(click.Context(command, info_name=path, **app.context_settings))
    assert command.help
    assert command.help.splitlines()[0].endswith(".")
    if not isinstance(command, click.Group):
        assert text.count(f"  {path}") + text.count(f"$({path}") >= 2, "two examples"


@pytest.mark.parametrize(("path", "command"), ALL, ids=[path for path, _ in ALL])
def test_each_option_has_a_long_name_and_help(path: str, command: click.Command) -> None:
    for option in command.params:
        if isinstance(option, click.Option):
            assert any(name.startswith("--") for name in option.opts)
            assert option.help


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["flw"], "No such command 'flw'. Did you mean `surefoot flow`? [usage]"),
        (["flow-run", "lst"], "No such command 'lst'. Did you mean `surefoot flow-run ls`? [usage]"),
        (["xyzzy"], "No such command 'xyzzy'. `surefoot --help` lists them. [usage]"),
        (
            ["limit", "set", "database", "-1"],
            "No such option '-1'. A number below 0 that is meant stands behind two dashes: `surefoot limit set ...",
        ),
        (["flow-run", "ls", "--limt", "3"], "No such option '--limt'. Did you mean `--limit`? [usage]"),
        (
            ["flow-run", "ls", "--debug"],
            "No such option '--debug'. It stands before the command: `surefoot --debug ...`. [usage]",
        ),
        (["flow-run", "ls", "--limit", "many"], "See `surefoot flow-run ls --help`. [usage]"),
        (["flow-run", "ls", "-o", "yaml"], "'yaml' is not one of 'table', 'json', 'jsonl'"),
        (["flow-run", "inspect"], "Missing argument 'RUN'. See `surefoot flow-run inspect --help`. [usage]"),
        (["flow-run", "ls", "--state-type", "DONE"], "is not one of"),
        (["completion", "tcsh"], "'tcsh' is not one of 'bash', 'zsh', 'fish'"),
    ],
)
def test_wrong_usage_is_one_line_that_offers_a_way_out(surefoot: Surefoot, words: list[str], text: str) -> None:
    result = surefoot(*words)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.count("\n") == 1
    assert text in result.stderr


def test_without_a_command_the_help_is_shown(surefoot: Surefoot) -> None:
    result = surefoot()
    assert result.exit_code == 2
    assert "flow-run" in result.output


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_printed_for_each_shell(surefoot: Surefoot, shell: str) -> None:
    result = surefoot("completion", shell)
    assert result.exit_code == 0
    assert "_SUREFOOT_COMPLETE" in result.stdout


def test_a_shell_can_ask_how_a_word_goes_on(process: Process) -> None:
    done = process(_SUREFOOT_COMPLETE="bash_complete", COMP_WORDS="surefoot flow-run in", COMP_CWORD="2")
    assert done.returncode == 0
    assert done.stdout.split() == ["plain,inspect"]


def test_the_profile_and_the_colours_of_one_call_do_not_stay(
    surefoot: Surefoot, monkeypatch: pytest.MonkeyPatch
) -> None:
    import os

    monkeypatch.delenv("NO_COLOR", raising=False)
    surefoot("--no-color", "completion", "bash")
    assert "NO_COLOR" not in os.environ
    assert "SUREFOOT_PROFILE" not in os.environ


def test_a_pipe_that_is_closed_early_is_no_error(tmp_path: Path) -> None:
    command = (
        f"{sys.executable} -c 'from surefoot.cli import main; main()' completion zsh | true; echo ${{PIPESTATUS[0]}}"
    )
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert done.stderr == ""
    assert done.stdout.strip() == "0"
