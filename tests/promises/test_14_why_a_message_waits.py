"""Promise 14: it explains itself. A table of reasons for which a message waits, each with what the list must say."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from surefoot.cli.app import app
from surefoot.notify.notices import Notice
from surefoot.notify.postman import Postman
from tests.notify.servers import Inbox, mail_server, webhook

NOTICE = Notice(id="1-0", event="failure", flow="backup", at_us=1_800_000_000_000_000, run="calm-heron")


@pytest.fixture
def hook() -> Iterator[Inbox]:
    with webhook() as inbox:
        yield inbox


@pytest.fixture
def mail() -> Iterator[Inbox]:
    with mail_server() as inbox:
        yield inbox


def _nobody_listens(hook: Inbox, mail: Inbox) -> str:
    return "smtp://127.0.0.1:9?to=a@example.com"


def _no_answer(hook: Inbox, mail: Inbox) -> str:
    hook.silent.clear()
    return f"http://127.0.0.1:{hook.port}/s3cret"


def _no_such_host(hook: Inbox, mail: Inbox) -> str:
    return "https://no-such-host.invalid/s3cret"


def _gone(hook: Inbox, mail: Inbox) -> str:
    hook.always = 410
    return f"http://127.0.0.1:{hook.port}/s3cret"


def _too_much(hook: Inbox, mail: Inbox) -> str:
    hook.always = 429
    return f"http://127.0.0.1:{hook.port}/s3cret"


def _no_mailbox(hook: Inbox, mail: Inbox) -> str:
    mail.always = 550
    return f"smtp://127.0.0.1:{mail.port}?to=a@example.com"


def _wrong_password(hook: Inbox, mail: Inbox) -> str:
    return f"smtp://s3cret:wrong@127.0.0.1:{mail.port}?to=a@example.com&tls=no"


def _no_tls(hook: Inbox, mail: Inbox) -> str:
    return f"smtp://127.0.0.1:{mail.port}?to=a@example.com&tls=yes"


SITUATIONS: list[tuple[Callable[[Inbox, Inbox], str], list[str]]] = [
    (_nobody_listens, ["smtp://127.0.0.1:9", "refused"]),
    (_no_answer, ["http://127.0.0.1:", "timed out"]),
    (_no_such_host, ["https://no-such-host.invalid", "Name or service not known|name resolution|nodename"]),
    (_gone, ["410 Gone"]),
    (_too_much, ["429 Too Many Requests"]),
    (_no_mailbox, ["550 refused"]),
    (_wrong_password, ["535 5.7.8"]),
    (_no_tls, ["does not offer TLS"]),
]


@pytest.mark.parametrize(("situation", "words"), SITUATIONS, ids=[each.__name__ for each, _ in SITUATIONS])
def test_the_list_says_why_a_message_waits(
    home: Path, hook: Inbox, mail: Inbox, situation: Callable[[Inbox, Inbox], str], words: list[str]
) -> None:
    postman = Postman(str(home), timeout_s=0.3)
    postman.outbox.put(NOTICE, [situation(hook, mail)])
    postman.round()
    told = CliRunner().invoke(app, ["notify", "ls", "-o", "json"]).stdout
    [waiting] = json.loads(told)
    assert waiting["status"] == "waiting"
    assert waiting["next_attempt"] is not None
    for word in words:
        assert any(each in waiting["why"] for each in word.split("|")), waiting["why"]
    assert "s3cret" not in told
