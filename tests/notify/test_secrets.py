"""What is secret in a URL stays where it was written, and in the home's own files for its owner alone."""

from __future__ import annotations

import json
import stat
from pathlib import Path

from tests.notify.conftest import Script
from tests.notify.servers import Inbox, settings_file

SECRET = "hush4hush"


def test_no_command_log_or_ledger_shows_what_is_secret_in_a_url(
    script: Script, tmp_path: Path, home: Path, hook: Inbox
) -> None:
    hook.always = 403
    url = f"http://ada:{SECRET}@127.0.0.1:{hook.port}/{SECRET}?key={SECRET}"
    settings_file(tmp_path, f'[notify]\non_failure = ["{url}"]\n[notify.tags.prod]\non_crash = ["{url}"]')
    told = []
    for words in (
        ("backup.py", "fail"),
        ("surefoot", "flow-run", "ls", "-o", "json"),
        ("surefoot", "flow-run", "logs", "backup"),
        ("surefoot", "notify", "ls", "-o", "json"),
        ("surefoot", "notify", "ls"),
        ("surefoot", "notify", "send"),
        ("surefoot", "notify", "test"),
        ("surefoot", "--debug", "notify", "test", "--url", f"smtp://ada:{SECRET}@127.0.0.1:9?too={SECRET}"),
        ("surefoot", "config", "view"),
        ("surefoot", "config", "view", "-o", "json"),
        ("surefoot", "watch", "--once"),
        ("-c", "from surefoot.settings import get_current_settings as s; print(repr(s()), repr(s().notify))"),
    ):
        done = script(*words)
        told.append(done.stdout + done.stderr)
    assert not [text for text in told if SECRET in text]
    for path in home.rglob("*"):
        if path.is_file() and path.parent.name != "outbox":
            assert SECRET.encode() not in path.read_bytes() or path.parent.name == "flows" or path.name == "will", path
        if path.is_file() and "notices" in path.parts:
            assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_settings_of_messages_can_be_kept_in_a_profile(script: Script, hook: Inbox) -> None:
    url = f"http://127.0.0.1:{hook.port}/{SECRET}"
    assert script("surefoot", "config", "set", f"notify.on_failure={url}, {url}2").returncode == 0
    table = json.dumps({"quiet": {"on_failure": []}})
    assert (
        script("surefoot", "config", "set", f"notify.flows={table}", 'notify.expect={"backup": "07:00"}').stderr == ""
    )
    shown = script("surefoot", "profile", "inspect", "-o", "json").stdout
    assert SECRET not in shown
    assert "07:00" in shown
    script("backup.py", "fail", FLOW="quiet")
    assert hook.connections == 0
    script("backup.py", "fail")
    assert len(hook.arrived) == 2
