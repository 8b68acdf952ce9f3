"""`surefoot variable`: values are set, read, listed and removed, with their history."""

from __future__ import annotations

import json
from typing import Any

import pytest

from surefoot.cli.mistakes import Exit
from surefoot.core.variables import BYTES_MAX
from surefoot.variables import Variable
from tests.cli.conftest import Process, Surefoot


def test_variables_are_set_listed_shown_and_removed(surefoot: Surefoot) -> None:
    assert "There are no variables. Set one: surefoot variable set page-size 500" in surefoot("variable", "ls").stderr
    assert surefoot("variable", "set", "region", "eu").stdout == "Variable 'region' is eu.\n"
    assert surefoot("variable", "set", "n", "3", "--json", "--tag", "a", "--tag", "b").stdout == "Variable 'n' is 3.\n"
    lines = [line.split() for line in surefoot("variable", "ls").stdout.splitlines()]
    assert lines[0] == ["NAME", "UPDATED", "TAGS", "VALUE"]
    assert [(line[0], line[-1]) for line in lines[1:]] == [("n", "3"), ("region", "eu")]
    assert [line[0] for line in _rows(surefoot("variable", "ls", "--tag", "a").stdout)] == ["n"]
    assert [line[0] for line in _rows(surefoot("variable", "ls", "--name", "gio").stdout)] == ["region"]
    assert surefoot("variable", "ls", "--tag", "c").stderr == "None is like that.\n"
    page = surefoot("variable", "inspect", "n").stdout.splitlines()
    assert (page[0], page[-1]) == ("n", "3")
    assert "tags     a, b" in page
    assert surefoot("variable", "unset", "region").stdout == "Removed variable 'region', which was eu.\n"
    assert [each["name"] for each in json.loads(surefoot("variable", "ls", "-o", "json").stdout)] == ["n"]


def _rows(table: str) -> list[list[str]]:
    return [line.split() for line in table.splitlines()[1:]]


@pytest.mark.parametrize(
    ("value", "printed"),
    [
        ("eu", "eu"),
        ("3", "3"),
        (3, "3"),
        (True, "true"),
        (None, "null"),
        ({"a": [1, "é"]}, '{"a":[1,"é"]}'),
        ("two\nlines \x1b[31mred", "two\nlines \x1b[31mred"),  # a program gets it as it is
    ],
)
def test_a_value_is_printed_as_it_is(process: Process, value: Any, printed: str) -> None:
    Variable.set("x", value)
    assert process("variable", "get", "x").stdout == f"{printed}\n"
    assert json.loads(process("variable", "get", "x", "-o", "json").stdout) == value


def test_a_default_stands_in_for_what_is_not_there(surefoot: Surefoot) -> None:
    assert surefoot("variable", "get", "nix", "--default", "d").stdout == "d\n"
    assert json.loads(surefoot("variable", "get", "nix", "--default", "d", "-o", "json").stdout) == "d"


def test_a_text_that_looks_like_something_else_is_told_to_be_one(surefoot: Surefoot) -> None:
    result = surefoot("variable", "set", "n", "3")
    assert (result.stdout, "add --json --overwrite" in result.stderr) == ("Variable 'n' is \"3\".\n", True)
    assert _rows(surefoot("variable", "ls").stdout)[0][-1] == '"3"'
    assert Variable.get("n") == "3"
    assert surefoot("variable", "set", "region", "eu").stderr == ""


def test_the_history_says_who_changed_what(surefoot: Surefoot) -> None:
    surefoot("variable", "set", "n", "1", "--json")
    surefoot("variable", "set", "n", "1", "--json", "--overwrite", "--tag", "a")
    surefoot("variable", "set", "n", "null", "--json", "--overwrite")
    surefoot("variable", "unset", "n")
    rows = _rows(surefoot("variable", "history", "n").stdout)
    assert [row[3:] for row in rows] == [
        ["removed", "null"],
        ["changed", "1", "null"],
        ["changed,", "tags:", "a", "1", "1"],
        ["set", "1"],
    ]
    assert all("@" in row[2] for row in rows)
    found = json.loads(surefoot("variable", "history", "n", "-o", "json").stdout)
    assert [(each["number"], each["action"]) for each in found] == [
        (4, "removed"),
        (3, "changed"),
        (2, "changed"),
        (1, "created"),
    ]
    assert "add `--after " in surefoot("variable", "history", "n", "--limit", "2").stderr


def test_a_value_is_read_from_stdin(process: Process) -> None:
    given = json.dumps({"rows": list(range(1000))}, indent=8)
    assert process("variable", "set", "conf", "-", "--json", stdin=given).returncode == Exit.DONE
    assert Variable.get("conf") == {"rows": list(range(1000))}
    assert process("variable", "set", "key", "-", stdin="two\nlines\n").returncode == Exit.DONE
    assert Variable.get("key") == "two\nlines"
    much = process("variable", "set", "much", "-", stdin="x" * (BYTES_MAX * 20))
    assert (much.returncode, "larger than the 65,536 bytes" in much.stderr) == (Exit.BAD_INPUT, True)


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (("set", "Page Size", "3"), Exit.BAD_INPUT, "Call it 'page-size'."),
        (("set", "x", "{", "--json"), Exit.BAD_INPUT, "The value of 'x' is not JSON"),
        (("set", "x", "NaN", "--json"), Exit.BAD_INPUT, "is nan, which JSON does not have"),
        (("set", "x", "[" * 5000, "--json"), Exit.BAD_INPUT, "is not JSON"),
        (("set", "x", "y" * 70_000), Exit.BAD_INPUT, "65,536 are possible"),
        (("set", "x", "y", "--tag", ""), Exit.BAD_INPUT, "A tag of a variable is ''"),
        (("set", "there", "y"), Exit.REFUSED, "There is a variable 'there' already"),
        (("get", "there-1"), Exit.NOT_FOUND, "Did you mean 'there'?"),
        (("inspect", "nix"), Exit.NOT_FOUND, "There is no variable 'nix'"),
        (("unset", "nix"), Exit.NOT_FOUND, "There is no variable 'nix'"),
        (("history", "nix"), Exit.NOT_FOUND, "There is no variable 'nix'"),
        (("get", "No Name"), Exit.BAD_INPUT, "Call it 'no-name'."),
        (("ls", "--limit", "-1"), Exit.BAD_INPUT, "--limit"),
    ],
)
def test_what_cannot_be_is_told_in_one_line(surefoot: Surefoot, words: tuple[str, ...], code: Exit, told: str) -> None:
    Variable.set("there", 1)
    result = surefoot("variable", *words)
    assert (result.exit_code, told in result.stderr, result.stdout) == (code, True, ""), result.stderr
    assert Variable.get("there") == 1


def test_what_could_steer_a_terminal_is_shown_and_not_done(surefoot: Surefoot) -> None:
    hostile = "a\x1b[2J\x1b]0;owned\x07b\u202e\r\n<script>"
    Variable.set("x", hostile, ["\u00e9"])
    Variable.set("y", {"k\x1b[2J": hostile})
    for words in (("ls",), ("inspect", "x"), ("inspect", "y"), ("history", "x"), ("unset", "x")):
        shown = surefoot("variable", *words).stdout
        assert not {"\x1b", "\x07", "\u202e", "\r"} & set(shown), words
        assert "\\x1b[2J" in shown or "\\u001b[2J" in shown


def test_a_long_value_is_cut_in_tables_and_whole_on_its_page(surefoot: Surefoot) -> None:
    Variable.set("x", "y" * 60_000)
    assert len(surefoot("variable", "ls").stdout) < 1000
    assert len(surefoot("variable", "set", "x", "z" * 60_000, "--overwrite").stdout) < 1000
    assert "z" * 60_000 in surefoot("variable", "inspect", "x").stdout
