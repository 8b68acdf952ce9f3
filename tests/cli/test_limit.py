"""`surefoot limit`: setting limits, seeing who holds and who waits, and the names that users of the field know."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from surefoot.cli.mistakes import Exit
from surefoot.concurrency import concurrency
from tests.limits.processes import shown, until_waiting

Surefoot = Callable[..., Result]


def test_limits_are_set_shown_and_deleted(surefoot: Surefoot) -> None:
    assert "There are no limits. Make one: surefoot limit set database 3" in surefoot("limit", "ls").stderr
    assert surefoot("limit", "set", "database", "3").stdout == "Limit 'database': 3 at once.\n"
    assert surefoot("limit", "set", "api", "60/minute").stdout == "Limit 'api': 60/minute.\n"
    assert surefoot("limit", "set", "mail", "10", "--slot-decay-per-second", "0.5").exit_code == Exit.DONE
    assert surefoot("limit", "set", "database", "--off").stdout == "Limit 'database': 3 at once, off.\n"
    lines = [line.split() for line in surefoot("limit", "ls").stdout.splitlines()]
    assert lines == [
        ["NAME", "LIMIT", "USED", "WAITING"],
        ["api", "60/minute"],
        ["database", "3", "0", "off"],
        ["mail", "10", "at", "once,", "then", "one", "every", "2", "s"],
    ]
    assert surefoot("limit", "set", "database", "--on", "-o", "json").exit_code == Exit.DONE
    assert surefoot("limit", "delete", "database").stdout == "Deleted limit 'database'.\n"
    found = json.loads(surefoot("limit", "ls", "-o", "json").stdout)
    assert [(each["name"], each["limit"], each["slot_decay_per_second"]) for each in found] == [
        ("api", 60, 1.0),
        ("mail", 10, 0.5),
    ]


def test_holders_and_waiters_are_listed_in_their_order(surefoot: Surefoot) -> None:
    surefoot("limit", "set", "db", "1")

    def wait(priority: int) -> None:
        with concurrency("db", holder=f"waiter {priority}", priority=priority):
            pass

    threads = [threading.Thread(target=wait, args=(priority,)) for priority in (0, 7)]
    with concurrency("db", holder="the backup"):
        for number, thread in enumerate(threads):
            thread.start()
            until_waiting("db", number + 1)
        table = surefoot("limit", "holders", "db").stdout.splitlines()
        assert table[0].split() == ["HOLDER", "KEY", "SLOTS", "SINCE", "RUN"]
        assert table[1].startswith("the backup")
        rows = [line.split() for line in surefoot("limit", "waiters", "db").stdout.splitlines()]
        assert [row[:3] for row in rows[1:]] == [["1", "waiter", "7"], ["2", "waiter", "0"]]
        found = json.loads(surefoot("limit", "waiters", "db", "-o", "json").stdout)
        assert [(each["place"], each["priority"], each["state"]) for each in found] == [
            (1, 7, "waiting"),
            (2, 0, "waiting"),
        ]
        more = surefoot("limit", "waiters", "db", "--limit", "1")
        assert "There are more: add `--after " in more.stderr
    for thread in threads:
        thread.join(timeout=60)
    assert surefoot("limit", "holders", "db").stderr == "Nobody holds a slot of 'db'.\n"
    assert surefoot("limit", "waiters", "db").stderr == "Nobody waits for 'db'.\n"


def test_a_limit_that_is_waited_for_is_not_deleted_without_a_word(surefoot: Surefoot) -> None:
    surefoot("limit", "set", "db", "1")
    went_on = threading.Event()

    def wait() -> None:
        with pytest.warns(UserWarning, match="'db', which is not there"), concurrency("db"):
            went_on.set()

    thread = threading.Thread(target=wait)
    with concurrency("db"):
        thread.start()
        until_waiting("db", 1)
        refused = surefoot("limit", "delete", "db")
        assert (refused.exit_code, "Add --yes" in refused.stderr) == (Exit.BAD_INPUT, True)
        assert surefoot("limit", "delete", "db", "--yes").exit_code == Exit.DONE
        assert went_on.wait(60)
    thread.join(timeout=60)


def test_lowering_a_limit_below_what_is_used_says_so(surefoot: Surefoot) -> None:
    surefoot("limit", "set", "db", "3")
    with concurrency("db", 3):
        assert "3 are held now: nobody gets more until fewer are." in surefoot("limit", "set", "db", "1").stderr


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("set", "db", "0"), "A limit of 0 is none."),
        (("set", "db", "--", "-3"), "A limit of -3 is none."),
        (("set", "db", "many"), "'many' is neither a number nor a rate."),
        (("set", "db", "5/fortnight"), "The rate '5/fortnight' is none."),
        (("set", "db"), "How many slots the limit 'db' is to have was not said."),
        (("set", "db", "60/minute", "--slot-decay-per-second", "1"), "60/minute is a rate already."),
        (("set", "db", "3", "--slot-decay-per-second", "0"), "--slot-decay-per-second is 0."),
        (("set", "x" * 201, "3"), "The name of a limit is"),
        (("set", " ", "3"), "The name of a limit is"),
    ],
)
def test_what_can_be_no_limit_is_refused(surefoot: Surefoot, words: tuple[str, ...], told: str) -> None:
    result = surefoot("limit", *words)
    assert (result.exit_code, told in result.stderr) == (Exit.BAD_INPUT, True), result.stderr
    assert surefoot("limit", "ls").stdout == ""


@pytest.mark.parametrize("words", [("set", "nix", "--off"), ("delete", "nix"), ("holders", "nix"), ("waiters", "nix")])
def test_a_limit_that_is_not_there_is_not_found(surefoot: Surefoot, words: tuple[str, ...]) -> None:
    result = surefoot("limit", *words)
    assert (result.exit_code, "There is no limit 'nix'." in result.stderr) == (Exit.NOT_FOUND, True)


def test_tags_that_are_limited_are_told_to_whoever_runs_tasks(surefoot: Surefoot, home: Path) -> None:
    surefoot("limit", "set", "db", "1")
    assert not (home / "tag-limits.json").exists()
    surefoot("concurrency-limit", "create", "gpu", "1")
    assert json.loads((home / "tag-limits.json").read_text()) == ["gpu"]
    surefoot("limit", "set", "tag:gpu", "--off")
    assert json.loads((home / "tag-limits.json").read_text()) == []


def test_the_names_that_users_know_do_the_same(surefoot: Surefoot) -> None:
    assert surefoot("gcl", "create", "db", "--limit", "2", "--disable").stdout == "Limit 'db': 2 at once, off.\n"
    assert surefoot("gcl", "enable", "db").exit_code == Exit.DONE
    assert surefoot("gcl", "update", "db", "--limit", "4").stdout == "Limit 'db': 4 at once.\n"
    assert surefoot("gcl", "update", "db", "--slot-decay-per-second", "4").stdout == "Limit 'db': 4/second.\n"
    assert surefoot("gcl", "update", "db", "--limit", "8").stdout == "Limit 'db': 8 at once, then one every 0.25 s.\n"
    assert surefoot("gcl", "update", "db", "--limit", "4").stdout == "Limit 'db': 4/second.\n"  # the rate stays
    assert surefoot("gcl", "disable", "db").exit_code == Exit.DONE
    assert not shown("db").active
    assert surefoot("gcl", "inspect", "db").stdout == "Limit 'db': 4/second, off.\n"
    assert json.loads(surefoot("gcl", "inspect", "db", "-o", "json").stdout)["rate"] == "4/second"
    assert surefoot("gcl", "create", "bad", "--limit", "-1").exit_code == Exit.BAD_INPUT
    assert surefoot("gcl", "delete", "db").exit_code == Exit.DONE
    assert surefoot("concurrency-limit", "create", "gpu", "1").stdout == "Limit 'tag:gpu': 1 at once.\n"
    inspected = surefoot("concurrency-limit", "inspect", "gpu").stdout
    assert inspected == "Limit 'tag:gpu': 1 at once, 0 used, 0 waiting.\n"
    assert surefoot("concurrency-limit", "ls").stdout.splitlines()[1].split()[:2] == ["tag:gpu", "1"]
    assert surefoot("concurrency-limit", "delete", "gpu").exit_code == Exit.DONE


def test_a_number_or_name_that_a_limit_cannot_have_is_told_for_what_it_is(surefoot: Surefoot) -> None:
    assert "is too high" in surefoot("limit", "set", "y", "99999999999999999999").stderr
    assert "1 to 200 characters" in surefoot("limit", "set", "", "1").stderr
