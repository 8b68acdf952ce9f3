"""Rows 14.20 to 14.24 and 17.23 of the reference, and its line of Appendix A: variables."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys
from typing import Any

import pytest

from surefoot import flow, task
from surefoot.client import get_client
from surefoot.exceptions import BadInput, NotFound
from surefoot.variables import Variable, render
from tests.reference.rows import at, row


@row("14.20")
def test_a_variable_is_set_with_tags(row: str) -> None:
    assert list(inspect.signature(Variable.set).parameters) == ["name", "value", "tags", "overwrite"]
    made = Variable.set("region", {"name": "eu", "zones": [1, 2.5, None, True]}, ["a"])
    assert (made.name, made.value, made.tags) == ("region", {"name": "eu", "zones": [1, 2.5, None, True]}, ["a"])


@row("14.20", "A:a variable set twice")
def test_one_that_is_there_is_changed_only_if_that_was_said(row: str) -> None:
    Variable.set("region", "eu")
    with pytest.raises(ValueError, match="There is a variable 'region' already"):
        Variable.set("region", "us")
    assert Variable.get("region") == "eu"
    Variable.set("region", "us", overwrite=True)
    assert Variable.get("region") == "us"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        at("14.20", "Bad Name", 1),
        at("A:what a variable cannot be", "a.b", 1),
        at("A:what a variable cannot be", "x" * 256, 1),
        at("A:what a variable cannot be", "x", "y" * 65_536),
        at("A:what a variable cannot be", "x", object()),
    ],
)
def test_what_cannot_be_is_refused(name: str, value: Any) -> None:
    with pytest.raises(BadInput):
        Variable.set(name, value)


@row("14.20")
def test_a_value_has_room_for_64_kib(row: str) -> None:
    Variable.set("x", "y" * 60_000)
    assert len(Variable.get("x")) == 60_000


@row("14.21", "14.22", "A:a variable that is not there")
def test_one_that_is_not_there_has_a_default_and_cannot_be_removed(row: str) -> None:
    assert (Variable.get("nix"), Variable.get("nix", default=3)) == (None, 3)
    assert Variable.unset("nix") is False
    Variable.set("nix", 1)
    assert Variable.unset("nix") is True
    assert Variable.get("nix") is None


@row("14.23")
def test_templates_are_filled_and_one_that_is_missing_is_an_error(row: str) -> None:
    Variable.set("bucket", "s3://b")
    Variable.set("n", 3)
    assert render({"to": "{{ surefoot.variables.bucket }}/x", "n": "{{ surefoot.variables.n }}"}) == {
        "to": "s3://b/x",
        "n": 3,
    }
    with pytest.raises(NotFound, match="There is no variable 'buckt'"):
        render("{{ surefoot.variables.buckt }}")


@row("14.24")
def test_there_is_a_history(row: str) -> None:
    @task
    def change() -> None:
        Variable.set("region", "us", overwrite=True)

    Variable.set("region", "eu")
    flow(lambda: change())()
    client = get_client()
    newest, oldest = client.variable_changes("region").results
    client.close()
    assert (oldest.action, oldest.after, oldest.run_name) == ("created", "eu", None)
    assert (newest.action, newest.before, newest.after) == ("changed", "eu", "us")
    assert newest.run_name is not None


def command(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "surefoot", *words], capture_output=True, text=True, check=False)


@row("17.23")
def test_the_command_has_the_verbs_that_users_know(row: str) -> None:
    assert command("variable", "set", "region", "eu", "--tag", "a").returncode == 0
    assert command("variable", "set", "region", "us").returncode == 3
    assert command("variable", "set", "region", "us", "--overwrite").returncode == 0
    assert command("variable", "get", "region").stdout == "us\n"
    (listed,) = json.loads(command("variable", "ls", "-o", "json").stdout)
    assert listed == json.loads(command("variable", "inspect", "region", "-o", "json").stdout)
    assert (listed["value"], listed["tags"]) == ("us", ["a"])
    assert command("variable", "unset", "region").returncode == 0
    assert command("variable", "unset", "region").returncode == 4
