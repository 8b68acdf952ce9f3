"""Sending: one message to one target. Returns what the target answered, or raises Undelivered, which holds no secret.

Mail by the standard library's SMTP, a webhook by one POST that follows no redirection, all else by Apprise. Keeps
promise 16: nothing is asked of anybody but the target. May import: core, notices, wording.
"""

from __future__ import annotations

import ssl
from base64 import b64encode
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import msgspec

from surefoot._version import __version__
from surefoot.core.os.host import host_name
from surefoot.core.targets import BadTarget, Target, parse_target
from surefoot.notify.notices import Notice
from surefoot.notify.wording import document, subject, text

if TYPE_CHECKING:
    from email.message import EmailMessage

__all__ = ["Undelivered", "make_ready", "problem_of", "send"]

_ANSWER_MAX: Final = 200
_ANSWER_BYTES: Final = 1000
_TRY_LATER: Final = frozenset({408, 425, 429, 500, 502, 503, 504})


class Undelivered(Exception):
    """A message did not go. `is_final`: the target said no, and the same again will not help."""

    def __init__(self, why: str, *, is_final: bool = False) -> None:
        super().__init__(why)
        self.why = why
        self.is_final = is_final


def send(url: str, notice: Notice, timeout_s: float) -> str:
    """Send a message, and return what was answered. Raises Undelivered.

    Each step of it (to connect, to log in ...) may take `timeout_s` seconds.
    """
    try:
        target = parse_target(url)
    except BadTarget as error:
        raise Undelivered(f"{error.what}. {error.do}", is_final=True) from None
    try:
        return _clean(_WAYS[target.kind](target, notice, timeout_s), target)
    except Undelivered as error:
        raise Undelivered(f"{target.shown}: {_clean(error.why, target)}", is_final=error.is_final) from None
    except Exception as error:  # whatever a library raises: no run may fail because of it
        why = getattr(error, "strerror", None) or str(error) or type(error).__name__
        is_final = isinstance(error, ssl.SSLCertVerificationError)
        raise Undelivered(f"{target.shown}: {_clean(str(why), target)}", is_final=is_final) from None


def make_ready(urls: list[str]) -> bool:
    """Load what these need and cannot be loaded any more when the interpreter ends: Apprise begins threads then.

    Whether there is such a one, so that its message has to be sent before the pools of threads are shut. Raises
    nothing: what is in the way is told when the message is sent.
    """
    try:
        if not any(parse_target(url).kind == "apprise" for url in urls):
            return False
        import concurrent.futures.thread  # noqa: F401  # what it registers is called after what is registered from here on

        for url in urls:
            problem_of(url)
    except Exception:
        return False
    return True


def _clean(answer: str, target: Target) -> str:
    for secret in target.secrets:
        answer = answer.replace(secret, "********")
    answer = " ".join("".join(letter if letter.isprintable() else " " for letter in answer).split())
    return answer if len(answer) <= _ANSWER_MAX else f"{answer[:_ANSWER_MAX]}…"


# --- mail -------------------------------------------------------------------------------------------------------------


def _mail(target: Target, notice: Notice, timeout_s: float) -> str:
    import smtplib

    try:
        with _connected(target, timeout_s) as server:
            if target.user:
                server.login(target.user, target.password)
            refused = server.send_message(_letter(target, notice), _sender(target), list(target.to))
            if refused:
                return f"accepted, but not for {', '.join(refused)}"
            return "accepted"
    except smtplib.SMTPRecipientsRefused as error:
        code, told = next(iter(error.recipients.values()))
        raise Undelivered(_answer(code, told), is_final=code >= 500) from None
    except smtplib.SMTPResponseException as error:
        raise Undelivered(_answer(error.smtp_code, error.smtp_error), is_final=error.smtp_code >= 500) from None
    except smtplib.SMTPNotSupportedError as error:
        raise Undelivered(str(error), is_final=True) from None


def _answer(code: int, told: bytes | str) -> str:
    return f"{code} {told.decode('utf-8', 'replace') if isinstance(told, bytes) else told}"


def _connected(target: Target, timeout_s: float) -> Any:
    import smtplib

    own = host_name() or "localhost"  # else the library asks a name server, which may take its time
    if target.tls == "from the start":
        return smtplib.SMTP_SSL(target.host, target.port, own, timeout=timeout_s, context=ssl.create_default_context())
    server = smtplib.SMTP(target.host, target.port, own, timeout=timeout_s)
    try:
        server.ehlo()
        is_offered = server.has_extn("starttls")
        if target.tls == "required" and not is_offered:
            raise Undelivered("does not offer TLS, and without it the password could be read by all", is_final=True)
        if is_offered and target.tls != "never":
            server.starttls(context=_context(target))
            server.ehlo()
    except BaseException:
        server.close()
        raise
    return server


def _context(target: Target) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if target.tls == "if offered":
        # As mail servers do among themselves: with a certificate that proves nothing it is still better than without.
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _sender(target: Target) -> str:
    return target.sender or f"surefoot@{host_name() or 'localhost'}"


def _letter(target: Target, notice: Notice) -> EmailMessage:
    from email.message import EmailMessage
    from email.utils import format_datetime

    letter = EmailMessage()
    letter["Subject"] = subject(notice)
    letter["From"] = f"Surefoot <{_sender(target)}>"
    letter["To"] = ", ".join(target.to)
    letter["Date"] = format_datetime(datetime.fromtimestamp(notice.at_us / 1e6, UTC).astimezone())
    letter["Message-ID"] = f"<{notice.id}@surefoot.{host_name() or 'localhost'}>"
    letter["Auto-Submitted"] = "auto-generated"  # RFC 3834: no out-of-office answers
    letter.set_content(text(notice))
    return letter


# --- a webhook --------------------------------------------------------------------------------------------------------


def _webhook(target: Target, notice: Notice, timeout_s: float) -> str:
    from urllib.error import HTTPError, URLError
    from urllib.request import HTTPRedirectHandler, Request, build_opener

    class Stay(HTTPRedirectHandler):
        """What is told to one address is not told to another."""

        def redirect_request(self, *_: Any) -> None:
            return None

    scheme, _, rest = target.url.partition("://")
    authority, slash, path = rest.partition("/")
    headers = {
        "Content-Type": "application/json; charset=utf-8",
        "User-Agent": f"surefoot/{__version__}",
        "Idempotency-Key": notice.id,  # a message that was sent twice can be told from two
    }
    if target.user or target.password:
        token = b64encode(f"{target.user}:{target.password}".encode()).decode()
        headers["Authorization"] = f"Basic {token}"
    url = f"{scheme}://{authority.rpartition('@')[2]}{slash}{path}"
    request = Request(url, msgspec.json.encode(document(notice)), headers, method="POST")
    try:
        with build_opener(Stay).open(request, timeout=timeout_s) as response:
            return f"{response.status} {response.reason}"
    except HTTPError as error:
        told = _told(error)
        raise Undelivered(f"{error.code} {error.reason}{told}", is_final=error.code not in _TRY_LATER) from None
    except URLError as error:
        if isinstance(error.reason, OSError):
            raise error.reason from None
        raise


def _told(error: Any) -> str:
    try:
        told = error.read(_ANSWER_BYTES).decode("utf-8", "replace").strip()
    except Exception:
        return ""
    finally:
        error.close()
    return f": {told}" if told and "<" not in told[:1] else ""


# --- all else ---------------------------------------------------------------------------------------------------------


def _apprise(target: Target, notice: Notice, timeout_s: float) -> str:
    import apprise

    capture: Any = apprise.LogCapture
    with capture(level=apprise.logging.INFO) as told:
        there = apprise.Apprise()
        if not there.add(target.url.removeprefix("apprise+")):
            raise Undelivered(_UNKNOWN, is_final=True)
        kind = apprise.NotifyType.SUCCESS if notice.event in ("recovery", "success") else apprise.NotifyType.FAILURE
        if there.notify(body=text(notice), title=subject(notice), notify_type=kind):
            return "sent"
        lines = told.getvalue().strip().splitlines()
    raise Undelivered(lines[-1] if lines else "Apprise could not send it")


def problem_of(url: str) -> str:
    """Why Apprise will not take a URL that is for it; empty if it will, or if it is for others.

    Not looked at where settings are read: Apprise takes longer to load than most scripts to run.
    """
    target = parse_target(url)
    if target.kind != "apprise":
        return ""
    import apprise

    taken = apprise.Apprise.instantiate(url.removeprefix("apprise+"), suppress_exceptions=True)
    return "" if taken else f"{target.shown}: {_UNKNOWN}."


_UNKNOWN: Final = "Apprise does not know such a URL"
_WAYS: Final = {"smtp": _mail, "webhook": _webhook, "apprise": _apprise}
