"""Crashes are told by whoever sees them first, and `surefoot watch` sees them, and runs that did not happen."""

from __future__ import annotations

import json
import os
import signal
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from surefoot.client.crashes import Crashes
from surefoot.client.folding import take_in
from surefoot.client.watching import deadline_before
from surefoot.core.settings.notices import parse_due
from surefoot.journal import reading
from surefoot.journal.home import Home
from surefoot.ledger import Ledger
from tests.notify.conftest import Begun, Script
from tests.notify.servers import Inbox, settings_file
from tests.places import Databases

posix = pytest.mark.skipif(not hasattr(signal, "pause"), reason="the program waits for a signal of POSIX")


def _crash(script: Script, folder: Path, hook: Inbox, more: str = "") -> None:
    """A process that knew whom to tell was killed; nobody who comes later knows."""
    settings_file(folder, f'[notify]\non_failure = ["http://127.0.0.1:{hook.port}/hook"]\n{more}')
    assert script("backup.py", "kill").returncode == -signal.SIGKILL
    (folder / "surefoot.toml").unlink()


@posix
def test_a_crash_is_told_by_whoever_sees_it_first_to_whom_its_process_named(
    script: Script, tmp_path: Path, hook: Inbox
) -> None:
    _crash(script, tmp_path, hook)
    assert script("surefoot", "flow-run", "ls").returncode == 0
    [told] = hook.arrived
    assert (told["event"], told["flow"]) == ("crash", "backup")
    assert told["reason"].startswith("its process died")
    assert "In it was on: upload" in told["text"]
    script("surefoot", "flow-run", "ls")
    assert len(hook.arrived) == 1


@posix
def test_many_who_look_at_once_tell_a_crash_once(begun: Begun, script: Script, tmp_path: Path, hook: Inbox) -> None:
    _crash(script, tmp_path, hook)
    readers = [begun("surefoot", "flow-run", "ls") for _ in range(4)]
    for reader in readers:
        reader.communicate(timeout=60)
    assert len(hook.arrived) == 1


class _Dies(Exception): ...


def _die(self: Crashes, is_alive: object) -> None:
    raise _Dies


@posix
def test_a_reader_that_dies_before_it_has_told_leaves_it_to_the_next(
    script: Script, tmp_path: Path, home: Path, hook: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    _crash(script, tmp_path, hook)
    [folder] = reading.writers(Home(str(home)))
    with Ledger.open(home / "ledger.db") as ledger:
        monkeypatch.setattr(Crashes, "tell", _die)
        with pytest.raises(_Dies):
            take_in(Home(str(home)), ledger, 2.0)
    assert folder.is_alive() is False
    assert list((home / "notices" / "outbox").glob("*.held"))
    assert hook.arrived == []
    script("surefoot", "flow-run", "ls")
    assert [told["event"] for told in hook.arrived] == ["crash"]
    assert not list((home / "notices" / "outbox").iterdir())


@posix
def test_a_termination_from_elsewhere_is_told_before_the_process_ends(
    begun: Begun, tmp_path: Path, hook: Inbox
) -> None:
    settings_file(tmp_path, f'[notify]\non_crash = ["http://127.0.0.1:{hook.port}/hook"]')
    process = begun("backup.py", "wait")
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert process.returncode == -signal.SIGTERM
    [told] = hook.arrived
    assert told["event"] == "crash"
    assert "terminated" in told["reason"]


@posix
def test_watch_reports_a_crash_once_and_tells_it(script: Script, tmp_path: Path, hook: Inbox) -> None:
    _crash(script, tmp_path, hook)
    found = script("surefoot", "watch", "--once", "-o", "json")
    assert found.returncode == 1
    [crash] = json.loads(found.stdout)
    assert (crash["event"], crash["flow"]) == ("crash", "backup")
    assert len(hook.arrived) == 1
    again = script("surefoot", "watch", "--once")
    assert (again.returncode, again.stdout, again.stderr) == (0, "", "")


@posix
def test_watch_reports_a_crash_that_nobody_is_to_be_told_of(script: Script) -> None:
    script("backup.py", "kill")
    found = script("surefoot", "watch", "--once")
    assert found.returncode == 1
    assert "its process died" in found.stdout


def _expecting(folder: Path, hook: Inbox) -> None:
    due = datetime.now(UTC) - timedelta(minutes=2)
    settings_file(
        folder,
        f'[notify]\non_failure = ["http://127.0.0.1:{hook.port}/hook"]\ntimezone = "UTC"\n'
        f'[notify.expect]\nbackup = "{due:%H:%M}"\n',
    )


def test_watch_tells_of_a_run_that_did_not_happen_once_a_day(script: Script, tmp_path: Path, hook: Inbox) -> None:
    _expecting(tmp_path, hook)
    found = script("surefoot", "watch", "--once", "-o", "json")
    assert found.returncode == 1
    [missed] = json.loads(found.stdout)
    assert (missed["event"], missed["is_new"]) == ("missed", True)
    [told] = hook.arrived
    assert told["subject"].startswith("backup has not completed by ")
    found = script("surefoot", "watch", "--once", "-o", "json")
    assert found.returncode == 1
    assert [each["is_new"] for each in json.loads(found.stdout)] == [False]
    assert len(hook.arrived) == 1


def test_a_run_that_failed_is_missing_and_one_that_completed_is_not(
    script: Script, tmp_path: Path, hook: Inbox
) -> None:
    script("backup.py", "fail")
    _expecting(tmp_path, hook)
    assert script("surefoot", "watch", "--once").returncode == 1
    assert "Its last run, " in hook.arrived[0]["text"]
    assert "connection refused" in hook.arrived[0]["text"]
    script("backup.py", "ok")
    assert script("surefoot", "watch", "--once").returncode == 0


def test_watch_goes_on_until_it_is_interrupted(begun: Begun, script: Script, tmp_path: Path, hook: Inbox) -> None:
    settings_file(tmp_path, f'[notify]\non_failure = ["http://127.0.0.1:{hook.port}/hook"]')
    watch = begun("surefoot", "watch", "--every", "1", "-o", "jsonl")
    script("backup.py", "kill")
    assert watch.stdout is not None
    assert json.loads(watch.stdout.readline())["event"] == "crash"
    hook.wait()
    watch.send_signal(signal.SIGINT)
    watch.communicate(timeout=30)
    assert watch.returncode == 130


@pytest.mark.parametrize(
    ("due", "now", "at", "since"),
    [
        ("07:00", "2026-11-30T07:00", "2026-11-30T07:00+01:00", "2026-11-30T00:00+01:00"),
        ("07:00", "2026-11-30T06:59", "2026-11-29T07:00+01:00", "2026-11-29T00:00+01:00"),
        ("23:30", "2026-11-30T00:05", "2026-11-29T23:30+01:00", "2026-11-29T00:00+01:00"),
        ("07:00 mon-fri", "2026-11-29T12:00", None, None),  # a Sunday
        ("07:00 sat,sun", "2026-11-29T12:00", "2026-11-29T07:00+01:00", "2026-11-29T00:00+01:00"),
        ("02:30", "2026-03-29T04:00", "2026-03-29T02:30+01:00", "2026-03-29T00:00+01:00"),  # an hour that there is not
        ("12:00", "2026-10-25T13:00", "2026-10-25T12:00+01:00", "2026-10-25T00:00+02:00"),
    ],
)
def test_the_last_time_until_which_a_run_was_due(due: str, now: str, at: str | None, since: str | None) -> None:
    zone = ZoneInfo("Europe/Vienna")
    found = deadline_before(parse_due(due), datetime.fromisoformat(now).replace(tzinfo=zone))
    expected = None if at is None or since is None else (datetime.fromisoformat(at), datetime.fromisoformat(since))
    assert [each.timestamp() for each in found or ()] == [each.timestamp() for each in expected or ()]


@pytest.mark.parametrize("text", ["", "7", "24:00", "07:60", "07:00 mo", "07:00 mon-", "07:00,08:00"])
def test_what_is_no_time_of_a_day_is_refused(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        parse_due(text)


@posix
def test_who_is_told_of_a_crash_may_be_said_of_a_flow(script: Script, tmp_path: Path, hook: Inbox) -> None:
    _crash(script, tmp_path, hook, "[notify.flows.backup]\non_crash = []\n")
    script("surefoot", "flow-run", "ls")
    assert hook.connections == 0


def test_a_home_without_messages_has_no_folder_for_them(script: Script, home: Path) -> None:
    script("backup.py", "fail", "kill")
    script("surefoot", "flow-run", "ls")
    assert not (home / "notices").exists()
    assert not list(home.glob("writers/*/will"))


def test_a_flow_that_runs_costs_no_more_because_of_messages_that_nobody_asked_for(script: Script, home: Path) -> None:
    rooms = ("surefoot.notify", "smtplib", "urllib.request", "email")
    code = f"import sys, backup; backup.main('ok'); print([name for name in sys.modules if name.startswith({rooms})])"
    assert script("-c", code).stdout == "[]\n"


@posix
def test_whoever_presses_ctrl_c_in_a_terminal_is_not_told_of_it(begun: Begun, tmp_path: Path, hook: Inbox) -> None:
    import pty

    settings_file(tmp_path, f'[notify]\non_failure = ["http://127.0.0.1:{hook.port}/hook"]')
    ours, theirs = pty.openpty()
    try:
        for stdin, told in ((theirs, 0), (None, 1)):
            process = begun("backup.py", "wait", stdin=stdin)
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=60)
            assert len(hook.arrived) == told
    finally:
        os.close(ours)
        os.close(theirs)
    assert hook.arrived[0]["reason"].startswith("interrupted (Ctrl-C)")


@posix
def test_a_crash_is_told_once_where_the_ledger_is_a_database(
    script: Script, tmp_path: Path, hook: Inbox, server: Databases
) -> None:
    url = server.taken()
    settings_file(tmp_path, f'[notify]\non_failure = ["http://127.0.0.1:{hook.port}/hook"]')
    script("backup.py", "kill", SUREFOOT_LEDGER_URL=url)
    for _ in range(2):
        script("surefoot", "watch", "--once", SUREFOOT_LEDGER_URL=url)
    assert [told["event"] for told in hook.arrived] == ["crash"]
