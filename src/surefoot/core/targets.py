"""Targets: where messages go, as the URLs that people write in their settings; read, checked, and safe to be shown.

`smtp://`, `smtps://`, `mailto://`, `http://` and `https://` are sent by Surefoot itself; all else is for Apprise, if it
is installed. Of a URL nothing is ever shown that could be secret. May import: nothing of ours.
"""

from __future__ import annotations

import re
from difflib import get_close_matches
from importlib.util import find_spec
from typing import Final, Literal
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

import msgspec

__all__ = ["BadTarget", "Target", "parse_target", "shown", "split_targets"]

_OURS: Final = ("smtp", "smtps", "mailto", "http", "https")
_FORCED: Final = "apprise+"  # for schemes that both know
_OPTIONS: Final = ("from", "to", "tls")
_LOCAL: Final = ("localhost", "127.0.0.1", "::1")
_PORTS: Final = {"smtps": 465}
_RELAY, _SUBMISSION = 25, 587
_ADDRESS: Final = r"[^@\s,<>\"]+@[^@\s,<>\"]+"
_URL_MAX: Final = 2000
_SCHEME: Final = r"[A-Za-z][A-Za-z0-9+.-]*"


class BadTarget(ValueError):
    """A URL that no message can be sent to: what is wrong with it, in words, and what to do."""

    def __init__(self, what: str, do: str) -> None:
        super().__init__(what)
        self.what = what
        self.do = do


class Target(msgspec.Struct, frozen=True):
    """Where a message goes. `shown` holds nothing secret; `url` may."""

    url: str
    kind: Literal["smtp", "webhook", "apprise"]
    shown: str
    host: str = ""
    port: int = 0
    user: str = ""
    password: str = ""
    sender: str = ""  # the address that mail is from; empty: one of this machine
    to: tuple[str, ...] = ()
    tls: Literal["from the start", "if offered", "required", "never"] = "if offered"

    @property
    def secrets(self) -> tuple[str, ...]:
        """What must not stand in any text: longer ones first."""
        parts = {self.url, self.url.removeprefix(_FORCED), self.password}
        if self.kind != "smtp":
            rest = self.url.partition("://")[2]
            parts |= {rest, *re.split(r"[/?&=@:]+", rest)[1 if self.host else 0 :]}
        return tuple(sorted((part for part in parts if len(part) > 3), key=len, reverse=True))


def split_targets(text: str) -> list[str]:
    """The URLs of a list that is separated by commas; those within a URL, as in `to=a,b`, separate nothing.

    >>> split_targets("smtp://mail?to=a@x.org,b@x.org, https://example.com/hook")
    ['smtp://mail?to=a@x.org,b@x.org', 'https://example.com/hook']
    """
    return [part.strip() for part in re.split(rf",\s*(?={_SCHEME}://)", text.strip()) if part.strip()]


def parse_target(url: str) -> Target:
    """The target that a URL names. Raises BadTarget for one that no message can be sent to.

    >>> parse_target("smtp://mail.example.com?to=ada@example.com").shown
    'smtp://mail.example.com'
    >>> parse_target("https://hooks.example.com/T00/B00/secret").shown
    'https://hooks.example.com'
    """
    url = url.strip() if isinstance(url, str) else ""
    scheme = url.partition("://")[0].lower()
    if not re.fullmatch(_SCHEME, scheme) or "://" not in url or not url.isprintable() or len(url) > _URL_MAX:
        raise BadTarget("is not a URL", f"Write it as SCHEME://..., such as {_EXAMPLE}.")
    if scheme not in _OURS:
        return _for_apprise(url, scheme)
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", _port(parts)
    except BadTarget:
        raise
    except ValueError:  # its text holds a piece of the URL, which may be a piece of a password
        raise BadTarget(
            "cannot be read", "Write /, :, @ and ? within a name or password as %2F, %3A, %40 and %3F."
        ) from None
    if not host:
        raise BadTarget("names no host", f"Name one: {scheme}://HOST.")
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    where = f"{scheme}://{host}{f':{port}' if port else ''}"
    if scheme in ("http", "https"):
        return Target(url, "webhook", where, host, port or 0, user, password)
    return _mail(Target(url, "smtp", where, host, port or 0, user, password), scheme, parts.query)


def _port(parts: SplitResult) -> int | None:
    """The port that a URL names. Raises ValueError for what is no number, BadTarget for one that there is not."""
    try:
        return parts.port
    except ValueError:
        digits = parts.netloc.rpartition("@")[2].rpartition(":")[2]
        if not parts.username and digits.isdecimal():
            raise BadTarget("names a port that there is not", "Ports are numbers from 0 to 65535.") from None
        raise


def shown(url: str) -> str:
    """A URL without what may be secret in it, whether or not messages can be sent to it.

    >>> shown("smtp://ada:secret@mail?to=a@x.org"), shown("nosuch://token"), shown("?")
    ('smtp://mail', 'nosuch://', '')
    """
    try:
        return parse_target(url).shown
    except BadTarget:
        scheme, separator, _ = url.partition("://")
        return scheme + separator if separator and re.fullmatch(_SCHEME, scheme) else ""


_EXAMPLE: Final = "smtp://mail.example.com?to=you@example.com or https://example.com/hook"


def _mail(target: Target, scheme: str, query: str) -> Target:
    options: dict[str, str] = {}
    for name, value in parse_qsl(query.replace("+", "%2B"), keep_blank_values=True):  # `+` is common in addresses
        if name not in _OPTIONS:
            near = get_close_matches(name, _OPTIONS, n=1, cutoff=0.0)[0]
            raise BadTarget(f"has an option {name!r} that there is not", f"The nearest valid name is {near}.")
        options[name] = f"{options[name]},{value}" if name in options else value
    user, host = target.user, target.host
    to = tuple(part.strip() for part in options.get("to", "").split(",") if part.strip())
    if not to and re.fullmatch(_ADDRESS, user):
        to = (user,)
    if not to:
        raise BadTarget("names nobody to write to", "Add ?to=you@example.com.")
    sender = options.get("from", "") or (user if re.fullmatch(_ADDRESS, user) else "")
    for address in (*to, *filter(None, [sender])):
        if not re.fullmatch(_ADDRESS, address):
            raise BadTarget(f"has {address!r}, which is no address", "Write it as you@example.com.")
    tls = options.get("tls", "").lower()
    if tls not in ("", "yes", "no"):
        raise BadTarget(f"has tls={tls}", "Say tls=yes or tls=no.")
    if tls == "no" and target.password and host not in _LOCAL:
        raise BadTarget("would send its password for all to read", "Take tls=no out.")
    how: Literal["from the start", "if offered", "required", "never"]
    if scheme == "smtps":
        how = "from the start"
    elif tls == "no":
        how = "never"
    else:
        how = "required" if target.password or tls == "yes" else "if offered"
    port = target.port or _PORTS.get(scheme) or (_SUBMISSION if user else _RELAY)
    return msgspec.structs.replace(target, port=port, sender=sender, to=to, tls=how)


def _for_apprise(url: str, scheme: str) -> Target:
    wanted = scheme.removeprefix(_FORCED)
    if find_spec("apprise") is None:
        near = get_close_matches(wanted, _OURS, n=1, cutoff=0.7)
        ours = f"Did you mean {near[0]}://? Else type" if near else "Type"
        raise BadTarget(
            f"begins with {wanted}://, for which Apprise is needed, and that is not installed here",
            f"{ours}: pip install 'surefoot[notify]'",
        )
    return Target(url, "apprise", f"{wanted}://")
