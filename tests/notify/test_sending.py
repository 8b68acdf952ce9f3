"""Mail servers and webhooks of all moods: what is told of them, and never what is secret."""

from __future__ import annotations

import json
import ssl
from pathlib import Path

import pytest

from surefoot.core.targets import parse_target
from surefoot.notify.notices import Notice
from surefoot.notify.sending import Undelivered, send
from tests.notify.conftest import Script
from tests.notify.servers import Inbox, certificate, words

NOTICE = Notice(
    id="1-0", event="failure", flow="backup", at_us=1_800_000_000_000_000, run="calm-heron", reason="größer"
)


def _refused(url: str, timeout_s: float = 5) -> Undelivered:
    with pytest.raises(Undelivered) as raised:
        send(url, NOTICE, timeout_s)
    assert "geheim" not in raised.value.why
    return raised.value


def test_a_letter_says_who_it_is_from_and_when(mail: Inbox) -> None:
    send(f"smtp://127.0.0.1:{mail.port}?to=ada%40example.com&from=cron+db@example.com", NOTICE, 5)
    [letter] = mail.arrived
    assert letter["from"] == "Surefoot <cron+db@example.com>"
    assert letter["message-id"].startswith("<1-0@surefoot")
    assert letter["auto-submitted"] == "auto-generated"
    assert "größer" in words(letter)


def test_a_password_is_not_given_away_without_tls(mail: Inbox) -> None:
    refused = _refused(f"smtp://ada:geheim@mail.example.invalid:{mail.port}?to=a@example.com")
    assert mail.connections == 0
    refused = _refused(f"smtp://ada:geheim@127.0.0.1:{mail.port}?to=a@example.com")
    assert refused.is_final
    assert "does not offer TLS" in refused.why
    assert mail.logins == []


def test_to_this_machine_it_may_be_allowed(mail: Inbox) -> None:
    assert send(f"smtp://ada:geheim@127.0.0.1:{mail.port}?to=a@example.com&tls=no", NOTICE, 5) == "accepted"
    assert mail.logins == [("ada", "geheim")]


def test_a_wrong_password_is_final_and_not_shown(mail: Inbox) -> None:
    refused = _refused(f"smtp://ada:wrong@127.0.0.1:{mail.port}?to=a@example.com&tls=no")
    assert refused.is_final
    assert "535 5.7.8 no such user with ********" in refused.why


@pytest.mark.parametrize(("code", "is_final"), [(550, True), (451, False)])
def test_what_a_mail_server_refuses_is_told(mail: Inbox, code: int, is_final: bool) -> None:
    mail.always = code
    refused = _refused(f"smtp://127.0.0.1:{mail.port}?to=a@example.com")
    assert (refused.why, refused.is_final) == (f"smtp://127.0.0.1:{mail.port}: {code} refused", is_final)


def test_a_mail_server_that_refuses_one_of_two_gets_the_mail_to_the_other(mail: Inbox) -> None:
    mail.answers = [550]
    answer = send(f"smtp://127.0.0.1:{mail.port}?to=a@example.com,b@example.com", NOTICE, 5)
    assert answer == "accepted, but not for a@example.com"


def test_a_silent_mail_server_is_not_waited_for(mail: Inbox) -> None:
    mail.silent.clear()
    assert "timed out" in _refused(f"smtp://127.0.0.1:{mail.port}?to=a@example.com", 0.2).why


def test_tls_is_used_if_it_is_offered_and_proves_who_the_server_is_where_a_password_goes(
    mail: Inbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = certificate(tmp_path)
    mail.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    mail.tls.load_cert_chain(made)
    url = f"localhost:{mail.port}?to=a@example.com"
    assert send(f"smtp://{url}", NOTICE, 5) == "accepted"
    assert mail.secured == 1
    refused = _refused(f"smtp://ada:geheim@{url}")
    assert refused.is_final
    assert "certificate" in refused.why
    assert mail.logins == []
    monkeypatch.setenv("SSL_CERT_FILE", str(made))
    assert send(f"smtp://ada:geheim@{url}", NOTICE, 5) == "accepted"
    assert mail.logins == [("ada", "geheim")]


def test_a_webhook_that_points_elsewhere_is_not_followed(hook: Inbox) -> None:
    hook.always = 307
    refused = _refused(f"http://127.0.0.1:{hook.port}/geheim")
    assert refused.why.startswith(f"http://127.0.0.1:{hook.port}: 307")
    assert refused.is_final
    assert hook.connections == 1


def test_what_a_webhook_answers_holds_no_secret_of_its_url(hook: Inbox) -> None:
    hook.always = 403
    assert "you asked for /services/********" in _refused(f"http://127.0.0.1:{hook.port}/services/geheim").why.replace(
        "********/", "services/"
    )


def test_a_webhook_that_says_no_to_tls_or_is_not_there_is_told(hook: Inbox) -> None:
    assert "https://127.0.0.1" in _refused(f"https://127.0.0.1:{hook.port}/geheim").why
    assert "refused" in _refused("http://127.0.0.1:9/geheim").why


def test_a_target_is_shown_without_what_is_secret() -> None:
    for url in ("https://u:geheim@h.example/geheim?k=geheim", "smtps://u:geheim@h.example?to=a@b.c"):
        shown = parse_target(url).shown
        assert "geheim" not in shown
        assert "h.example" in shown


def test_an_apprise_url_goes_by_apprise(script: Script, hook: Inbox) -> None:
    url = f"json://127.0.0.1:{hook.port}/geheim"
    done = script("surefoot", "notify", "test", "--url", url, "-o", "json")
    assert [each["answer"] for each in json.loads(done.stdout)] == ["sent"]
    assert hook.arrived[0]["title"] == "Surefoot: a test message"
    hook.always = 500
    done = script("surefoot", "notify", "test", "--url", url, "--url", "nosuch://geheim", "-o", "json")
    assert done.returncode == 5
    assert [each["target"] for each in json.loads(done.stdout)] == ["json://", "nosuch://"]
    assert [bool(each["error"]) for each in json.loads(done.stdout)] == [True, True]
    assert "geheim" not in done.stdout + done.stderr
