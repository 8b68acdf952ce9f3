"""A failing flow tells whom the settings name, before its process ends, with nothing to start."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.notify.conftest import Begun, Script
from tests.notify.servers import Inbox, settings_file, words


def _tell(folder: Path, *urls: str, more: str = "") -> None:
    settings_file(folder, f"[notify]\non_failure = {json.dumps(list(urls))}\n{more}")


def _outbox(home: Path) -> list[Path]:
    return sorted((home / "notices" / "outbox").glob("*.json"))


def _dead_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def test_a_failed_flow_sends_one_mail_before_its_process_ends(script: Script, tmp_path: Path, mail: Inbox) -> None:
    _tell(tmp_path, f"smtp://127.0.0.1:{mail.port}?to=ada@example.com,bob@example.com")
    script("backup.py", "fail")
    [letter] = mail.arrived
    assert letter["subject"] == "backup failed: upload: ConnectionError: connection refused"
    assert letter["to"] == "ada@example.com, bob@example.com"
    told = words(letter)
    assert "The first that failed in it: upload" in told
    assert "Why: ConnectionError: connection refused" in told
    assert "Did not run because of it: report" in told
    assert "surefoot why " in told
    assert "surefoot flow-run retry " in told


CHAIN = """
from surefoot import flow, task

@task
def other():
    raise OSError("of no account")

@task
def check():
    raise ValueError("3% are null")

@task
def load(): ...

@task
def publish(loaded): ...

@flow
def nightly():
    other.submit()
    checked = check.submit()
    return publish.submit(load.submit(wait_for=[checked]))

nightly(return_state=True)
"""


def test_a_flow_that_gives_what_did_not_run_tells_what_failed_at_the_bottom_of_it(
    home: Path, tmp_path: Path, hook: Inbox
) -> None:
    _tell(tmp_path, f"http://127.0.0.1:{hook.port}/hook")
    (tmp_path / "nightly.py").write_text(CHAIN)
    subprocess.run([sys.executable, "nightly.py"], cwd=tmp_path, capture_output=True, check=True)
    [told] = hook.arrived
    assert (told["task"], told["reason"]) == ("check", "ValueError: 3% are null")
    assert told["subject"] == "nightly failed: check: ValueError: 3% are null"
    assert {each["task"] for each in told["blocked"]} == {"load", "publish"}


def test_the_commands_that_a_message_names_work(script: Script, tmp_path: Path, hook: Inbox) -> None:
    _tell(tmp_path, f"http://127.0.0.1:{hook.port}/hook")
    script("backup.py", "fail")
    [told] = hook.arrived
    command = next(line for line in told["text"].splitlines() if "surefoot why" in line).partition(": ")[2].split()
    why = script(*command)
    assert why.returncode == 0
    assert "connection refused" in why.stdout


def test_a_webhook_gets_a_document_with_all_that_is_told(script: Script, tmp_path: Path, hook: Inbox) -> None:
    _tell(tmp_path, f"http://ada:s%3Acret@127.0.0.1:{hook.port}/hook")
    script("backup.py", "fail")
    [told] = hook.arrived
    assert told["event"] == "failure"
    assert (told["flow"], told["task"], told["reason"]) == ("backup", "upload", "ConnectionError: connection refused")
    assert told["blocked"] == [{"task": "report", "runs": 1}]
    assert told["text"].startswith(told["subject"])
    assert hook.headers[0]["authorization"] == "Basic YWRhOnM6Y3JldA=="
    assert hook.headers[0]["idempotency-key"] == told["id"]


def test_a_flow_that_completes_tells_nothing_and_leaves_nothing(
    script: Script, tmp_path: Path, home: Path, hook: Inbox
) -> None:
    _tell(tmp_path, f"http://127.0.0.1:{hook.port}/hook")
    script("backup.py", "ok")
    assert hook.connections == 0
    assert not (home / "notices").exists()


def test_the_first_that_completes_afterwards_tells_that_it_works_again(
    script: Script, tmp_path: Path, hook: Inbox
) -> None:
    url = f"http://127.0.0.1:{hook.port}/hook"
    _tell(tmp_path, url, more=f'on_recovery = ["{url}"]')
    script("backup.py", "ok", "fail")
    script("backup.py", "ok", "ok")
    assert [told["event"] for told in hook.arrived] == ["failure", "recovery"]
    assert "It had failed since " in hook.arrived[1]["text"]


def test_a_success_is_told_to_those_who_ask_for_it(script: Script, tmp_path: Path, hook: Inbox) -> None:
    settings_file(tmp_path, f'[notify]\non_success = ["http://127.0.0.1:{hook.port}/hook"]')
    script("backup.py", "ok")
    assert [told["subject"] for told in hook.arrived] == ["backup completed"]


def test_what_is_said_of_a_flow_counts_before_what_is_said_of_all(script: Script, tmp_path: Path, hook: Inbox) -> None:
    more = "[notify.flows.quiet]\non_failure = []\n"
    _tell(tmp_path, f"http://127.0.0.1:{hook.port}/hook", more=more)
    script("backup.py", "fail", FLOW="quiet")
    assert hook.connections == 0
    script("backup.py", "fail", FLOW="loud")
    assert [told["flow"] for told in hook.arrived] == ["loud"]


def test_a_target_that_is_down_for_a_moment_is_tried_again(script: Script, tmp_path: Path, hook: Inbox) -> None:
    hook.answers = [503, 429]
    _tell(tmp_path, f"http://127.0.0.1:{hook.port}/hook")
    ended = script("backup.py", "fail")
    assert len(hook.arrived) == 1
    assert hook.connections == 3
    assert "surefoot: a message" not in ended.stderr


def test_what_cannot_be_sent_waits_and_goes_with_the_next_process(
    script: Script, tmp_path: Path, home: Path, hook: Inbox
) -> None:
    hook.always = 404
    _tell(tmp_path, f"http://127.0.0.1:{hook.port}/hook/verysecret")
    ended = script("backup.py", "fail")
    assert ended.returncode == 0
    assert f"a message is not sent yet (http://127.0.0.1:{hook.port}: 404" in ended.stderr
    assert "verysecret" not in ended.stderr
    [waiting] = _outbox(home)
    listed = json.loads(script("surefoot", "notify", "ls", "-o", "json").stdout)
    assert [each["status"] for each in listed] == ["waiting"]
    assert "404" in listed[0]["why"]
    assert "verysecret" not in json.dumps(listed)
    hook.always = None
    os.utime(waiting, (0, 0))  # the time of the next attempt has come
    (tmp_path / "surefoot.toml").unlink()  # the next process need not know whom to tell
    script("backup.py", "ok")
    assert [told["flow"] for told in hook.arrived] == ["backup"]
    assert not _outbox(home)


def test_a_target_that_does_not_answer_holds_the_process_no_longer_than_the_settings_allow(
    script: Script, tmp_path: Path, home: Path, hook: Inbox
) -> None:
    hook.silent.clear()
    _tell(tmp_path, f"http://127.0.0.1:{hook.port}/hook", more="timeout_seconds = 1\n")
    begun_s = time.monotonic()
    ended = script("backup.py", "fail")
    assert time.monotonic() - begun_s < 20  # it would answer after 30
    assert "not sent yet" in ended.stderr
    assert "no answer in" in ended.stderr
    assert len(_outbox(home)) == 1
    [listed] = json.loads(script("surefoot", "notify", "ls", "-o", "json").stdout)
    assert listed["attempts"] == 1
    assert "no answer in" in listed["why"]


def test_a_target_that_is_down_keeps_no_other_from_its_message(script: Script, tmp_path: Path, hook: Inbox) -> None:
    dead = _dead_port()
    _tell(
        tmp_path,
        f"smtp://127.0.0.1:{dead}?to=ada@example.com",
        f"http://127.0.0.1:{hook.port}/hook",
        more="timeout_seconds = 1\n",
    )
    ended = script("backup.py", "fail")
    assert len(hook.arrived) == 1
    assert "not sent yet" in ended.stderr
    listed = json.loads(script("surefoot", "notify", "ls", "-o", "json").stdout)
    assert [each["targets"] for each in listed] == [[f"smtp://127.0.0.1:{dead}"]]


def test_many_failures_in_a_short_time_make_two_messages(script: Script, tmp_path: Path, hook: Inbox) -> None:
    _tell(tmp_path, f"http://127.0.0.1:{hook.port}/hook")
    script("backup.py", *["fail"] * 13)
    assert [told["count"] for told in hook.arrived] == [1]
    listed = json.loads(script("surefoot", "notify", "ls", "-o", "json").stdout)
    assert [(each["status"], each["runs"]) for each in listed] == [("gathering", 12)]
    assert script("surefoot", "notify", "send").returncode == 0
    told = hook.arrived[1]
    assert told["count"] == 12
    assert told["subject"].startswith("backup failed 12 times: upload: ConnectionError")
    assert told["reasons"] == [{"reason": "upload: ConnectionError: connection refused", "count": 12}]
    assert len(told["flow_runs"]) == 10


def test_a_burst_of_many_processes_makes_one_message(begun: Begun, tmp_path: Path, hook: Inbox) -> None:
    _tell(tmp_path, f"http://127.0.0.1:{hook.port}/hook")
    processes = [begun("backup.py", "fail") for _ in range(5)]
    for process in processes:
        process.communicate(timeout=60)
    assert len(hook.arrived) == 1


def test_a_burst_is_told_by_whoever_comes_when_it_is_over(script: Script, tmp_path: Path, hook: Inbox) -> None:
    _tell(tmp_path, f"http://127.0.0.1:{hook.port}/hook", more="burst_seconds = 0.2\n")
    script("backup.py", "fail", "fail")
    script("backup.py", "ok")
    assert sum(told["count"] for told in hook.arrived) == 2


def test_a_process_that_is_killed_while_it_sends_loses_no_message(
    begun: Begun, script: Script, tmp_path: Path, home: Path, hook: Inbox
) -> None:
    hook.silent.clear()
    _tell(tmp_path, f"http://127.0.0.1:{hook.port}/hook")
    process = begun("backup.py", "fail")
    assert hook.knocked.wait(20)
    process.kill()
    process.communicate(timeout=20)
    assert len(_outbox(home)) == 1
    hook.silent.set()
    hook.wait()  # it had been sent to the end
    script("backup.py", "ok")
    assert {told["id"] for told in hook.arrived} == {hook.arrived[0]["id"]}
    assert not _outbox(home)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('on_failure = ["smtp://mail"]', "names nobody to write to"),
        ('on_failure = ["smtp://mail?too=a@b.org"]', "The nearest valid name is to."),
        ('on_failure = ["smtp://ada:pa/ss@mail?to=a@b.org"]', "cannot be read"),
        ('on_failure = ["smtp://ada:secret@mail?to=a@b.org&tls=no"]', "for all to read"),
        ("on_failure = 3", "Expected URLs"),
        ("on_failur = []", "The nearest valid name is notify.on_failure."),
        ("[notify.flows.backup]\non_crsh = []", "The nearest valid name is on_crash."),
        ('[notify.tags.prod]\non_crash = ["x"]', "notify.tags.prod.on_crash[0]"),
        ('[notify.expect]\nbackup = "25:00"', "notify.expect.backup = '25:00' is no time of the day."),
        ('timezone = "Mars"', "Expected a time zone"),
    ],
)
def test_a_mistake_in_the_settings_is_told_before_anything_runs(
    script: Script, tmp_path: Path, text: str, told: str
) -> None:
    settings_file(tmp_path, f"[notify]\n{text}\n")
    ended = script("backup.py", "ok")
    assert ended.returncode == 1
    assert told in ended.stderr.splitlines()[-1]
    assert "secret" not in ended.stderr
    assert "pa/ss" not in ended.stderr
    checked = script("surefoot", "config", "validate")
    assert checked.returncode == 2
    assert told in checked.stderr


def test_flows_in_event_loops_threads_and_generators_tell_too(script: Script, tmp_path: Path, hook: Inbox) -> None:
    _tell(tmp_path, f"http://127.0.0.1:{hook.port}/hook")
    (tmp_path / "ways.py").write_text(
        "import asyncio, threading\nfrom surefoot import flow\n"
        "@flow\nasync def in_a_loop(): raise ValueError('a')\n"
        "@flow\ndef in_a_thread(): raise ValueError('b')\n"
        "@flow\ndef in_steps():\n    yield 1\n    raise ValueError('c')\n"
        "async def main(): await in_a_loop(return_state=True)\n"
        "asyncio.run(main())\n"
        "thread = threading.Thread(target=in_a_thread, kwargs={'return_state': True}); thread.start(); thread.join()\n"
        "for step in in_steps(): pass\n"
    )
    script("ways.py")
    assert sorted(told["subject"] for told in hook.arrived) == [
        "in-a-loop failed: ValueError: a",
        "in-a-thread failed: ValueError: b",
        "in-steps failed: ValueError: c",
    ]


def test_a_message_is_on_its_way_before_the_hooks_of_the_run_are_called(
    script: Script, tmp_path: Path, hook: Inbox
) -> None:
    _tell(tmp_path, f"http://127.0.0.1:{hook.port}/hook")
    (tmp_path / "hooks.py").write_text(
        "import os\nfrom surefoot import flow\n"
        "def dies(*_): os._exit(9)\n"
        "@flow(on_failure=[dies])\ndef hooked(): raise ValueError('a')\n"
        "hooked()\n"
    )
    assert script("hooks.py").returncode == 9
    script("surefoot", "notify", "send")
    assert [told["flow"] for told in hook.arrived][:1] == ["hooked"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_whoever_does_not_want_to_wait_need_not(
    begun: Begun, tmp_path: Path, home: Path, hook: Inbox, number: signal.Signals
) -> None:
    hook.silent.clear()
    _tell(tmp_path, f"http://127.0.0.1:{hook.port}/hook", more="timeout_seconds = 25\n")
    (tmp_path / "last.py").write_text(
        "import atexit, backup\nbackup.main('fail', return_state=True)\n"
        "import sys, threading, time, traceback\n"
        "main_thread = threading.get_ident()\n"
        "def tell():\n"
        "    while not any(f.name == 'wait' and f.filename.endswith('postman.py')\n"
        "        for f in traceback.extract_stack(sys._current_frames()[main_thread])): time.sleep(0.01)\n"
        "    print('waits', flush=True)\n"
        "threading.Thread(target=tell, daemon=True).start()\n"
    )
    process = begun("last.py")
    assert process.stdout is not None
    assert process.stdout.readline() == "waits\n"
    process.send_signal(number)
    begun_s = time.monotonic()
    _, told = process.communicate(timeout=60)
    assert time.monotonic() - begun_s < 15
    assert "Traceback" not in told.partition("connection refused")[2]
    assert len(_outbox(home)) == 1


def test_a_url_that_nobody_knows_is_told(script: Script, tmp_path: Path) -> None:
    _tell(tmp_path, "smpt://mail?to=a@b.org")
    checked = script("surefoot", "config", "validate")
    assert checked.returncode == 2
    assert "smpt://: Apprise does not know such a URL." in checked.stderr


def test_an_apprise_url_is_written_to_by_a_process_that_ends_with_the_failure(
    script: Script, tmp_path: Path, home: Path, hook: Inbox
) -> None:
    _tell(tmp_path, f"json://127.0.0.1:{hook.port}/hook")
    ended = script("backup.py", "fail")
    assert "not sent yet" not in ended.stderr
    assert len(hook.arrived) == 1
    assert not _outbox(home)


def test_where_apprise_is_not_installed_that_is_told_before_anything_runs(script: Script, tmp_path: Path) -> None:
    _tell(tmp_path, "smpt://mail?to=a@b.org")
    ended = script("-c", "import sys; sys.modules['apprise'] = None; import backup; backup.main('ok')")
    told = ended.stderr.splitlines()[-1]
    assert "Did you mean smtp://? Else type: pip install 'surefoot[notify]'" in told


def test_tests_of_flows_send_nothing(script: Script, tmp_path: Path, home: Path, hook: Inbox) -> None:
    _tell(tmp_path, f"http://127.0.0.1:{hook.port}/hook", more='[notify.tags.prod]\non_failure = ["http://h/x"]')
    code = "from surefoot.testing import test_harness\nimport backup\n"
    code += "with test_harness():\n    backup.main('fail', return_state=True)"
    assert script("-c", code).returncode == 0
    assert hook.connections == 0


def test_a_failure_in_a_child_of_multiprocessing_is_told(script: Script, tmp_path: Path, hook: Inbox) -> None:
    _tell(tmp_path, f"http://127.0.0.1:{hook.port}/hook")
    for way in ("fork", "spawn"):
        flow = f"FLOW={way}"
        code = (
            f"import multiprocessing as m, os; os.environ['FLOW'] = {way!r}; import backup\n"
            f"if __name__ == '__main__':\n"
            f"    again = {{'return_state': True}}\n"
            f"    p = m.get_context({way!r}).Process(target=backup.main, args=('fail',), kwargs=again)\n"
            f"    p.start(); p.join()\n"
        )
        (tmp_path / f"{way}.py").write_text(code)
        assert script(f"{way}.py").returncode == 0, flow
    assert [told["flow"] for told in hook.arrived] == ["fork", "spawn"]


def test_a_home_that_cannot_be_written_keeps_no_message_back(script: Script, tmp_path: Path, hook: Inbox) -> None:
    _tell(tmp_path, f"http://127.0.0.1:{hook.port}/hook")
    (tmp_path / "home").write_text("a file is in the way")
    script("backup.py", "fail")
    assert [told["flow"] for told in hook.arrived] == ["backup"]


def test_a_subflow_that_failed_is_not_told_and_an_error_of_the_flows_own_is(
    script: Script, tmp_path: Path, hook: Inbox
) -> None:
    _tell(tmp_path, f"http://127.0.0.1:{hook.port}/hook")
    (tmp_path / "nested.py").write_text(
        "import backup, sys\nfrom surefoot import flow\n"
        "@flow\ndef outer(raises):\n    backup.main('fail', return_state=True)\n"
        "    if raises: raise ValueError('no bucket')\n"
        "outer(False)\nouter(True, return_state=True)\n"
    )
    script("nested.py")
    [told] = hook.arrived
    assert (told["flow"], told["reason"], told["task"]) == ("outer", "ValueError: no bucket", None)


def test_a_retry_of_the_flow_that_helped_is_not_told_and_what_failed_last_is(
    script: Script, tmp_path: Path, hook: Inbox
) -> None:
    _tell(tmp_path, f"http://127.0.0.1:{hook.port}/hook")
    (tmp_path / "tries.py").write_text(
        "from surefoot import flow, task\ncalls = []\n"
        "@task\ndef step(): calls.append(1); raise OSError(f'call {len(calls)}')\n"
        "@flow(retries=1)\ndef tries(enough):\n    if len(calls) < enough: step()\n"
        "tries(1)\ntries(9, return_state=True)\n"
    )
    script("tries.py")
    [told] = hook.arrived
    assert (told["task"], told["reason"]) == ("step", "OSError: call 3")


def test_the_command_tests_all_targets(script: Script, tmp_path: Path, mail: Inbox, hook: Inbox) -> None:
    _tell(tmp_path, f"smtp://127.0.0.1:{mail.port}?to=ada@example.com", f"http://127.0.0.1:{hook.port}/hook/verysecret")
    done = script("surefoot", "notify", "test", "-o", "json")
    assert done.returncode == 0
    assert [(each["sent"], each["answer"]) for each in json.loads(done.stdout)] == [
        (True, "accepted"),
        (True, "200 OK"),
    ]
    assert mail.arrived[0]["subject"] == "Surefoot: a test message"
    hook.always = 403
    done = script("surefoot", "notify", "test", "-o", "json")
    assert done.returncode == 5
    told = json.loads(done.stdout)[1]
    assert told["error"].startswith("403")
    assert "verysecret" not in done.stdout


def test_the_command_says_what_to_write_where_nobody_is_named(script: Script) -> None:
    done = script("surefoot", "notify", "test")
    assert done.returncode == 2
    assert "on_failure" in done.stderr


def test_a_password_that_is_corrected_counts_for_what_waits(script: Script, tmp_path: Path, mail: Inbox) -> None:
    for password, code in (("wrong", 5), ("right", 0)):
        url = f"smtp://ada:{password}@127.0.0.1:{mail.port}?to=ada@example.com&tls=no"
        _tell(tmp_path, url, more="timeout_seconds = 0.1\n")
        if code:
            script("backup.py", "fail")
        assert script("surefoot", "notify", "send").returncode == code
    assert len(mail.arrived) == 1


def test_a_message_that_waits_can_be_dropped(script: Script, tmp_path: Path, home: Path) -> None:
    _tell(tmp_path, f"http://127.0.0.1:{_dead_port()}/hook", more="timeout_seconds = 0.1\n")
    script("backup.py", "fail")
    listed = json.loads(script("surefoot", "notify", "ls", "-o", "json").stdout)
    assert script("surefoot", "notify", "rm", "nothing").returncode == 4
    assert script("surefoot", "notify", "rm", listed[0]["id"]).returncode == 0
    assert not _outbox(home)
