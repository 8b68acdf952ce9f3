"""What a setting's value may be: each kind reads text (environment, `.env`, command line) and TOML's own types alike.

May import: core.delays, core.storages, core.settings.notices (late).
"""

from __future__ import annotations

from collections.abc import Callable
from math import isfinite
from typing import Any, Final, Generic, TypeVar

import msgspec

from surefoot.core.delays import DELAYS_MAX
from surefoot.core.storages import BadStorage, parse_storage

__all__ = [
    "BOOL",
    "DATABASE_URL",
    "DELAYS",
    "EXPECT",
    "LEVEL",
    "NAMES",
    "PATH",
    "RULES",
    "STORAGE",
    "TARGETS",
    "TEXT",
    "URL",
    "ZONE",
    "Kind",
    "Unusable",
    "choice",
    "number",
    "optional",
    "text_of",
    "whole",
]

T = TypeVar("T")


class Kind(Generic[T]):
    """A kind of value. `read` raises ValueError for what is none; `expected` says what would be one.

    >>> BOOL.read("yes"), whole(least=1).read("1_000"), NAMES.read("botocore, urllib3"), DELAYS.read("1,10,100")
    (True, 1000, ['botocore', 'urllib3'], [1, 10, 100])
    """

    __slots__ = ("expected", "is_table", "read")

    def __init__(self, expected: str, read: Callable[[Any], T], *, is_table: bool = False) -> None:
        self.expected = expected
        self.read = read
        self.is_table = is_table  # what stands below its name is its own


class Unusable(ValueError):
    """A value that is none, said more precisely: `where` within the setting, what is wrong, and what to do."""

    def __init__(self, where: str, what: str, do: str) -> None:
        super().__init__(what)
        self.where = where
        self.what = what
        self.do = do


def text_of(value: object) -> str:
    """A value as text that its kind reads back.

    >>> text_of(None), text_of(True), text_of([1, 10]), text_of(0.5)
    ('', 'true', '1,10', '0.5')
    """
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return ",".join(map(text_of, value))
    if isinstance(value, dict):
        return msgspec.json.encode(value).decode() if value else ""
    return str(value)


def whole(*, least: int = 0, most: int = 2**63 - 1) -> Kind[int]:
    """Whole numbers."""

    def read(raw: Any) -> int:
        value = int(raw) if isinstance(raw, str) else raw
        if type(value) is not int or not least <= value <= most:
            raise ValueError
        return value

    above = f"of at least {least:_}" if most == 2**63 - 1 else f"from {least:_} to {most:_}"
    return Kind(f"a whole number {above}", read)


def number(*, least: float = 0) -> Kind[float]:
    """Numbers, whole ones as they are."""
    return Kind(f"a number of at least {least}", lambda raw: _number(raw, least))


def choice(*words: str) -> Kind[str]:
    """One of some words."""

    def read(raw: Any) -> str:
        word = _text(raw).lower()
        if word not in words:
            raise ValueError
        return word

    return Kind(f"one of {', '.join(words)}", read)


def optional(kind: Kind[T]) -> Kind[T | None]:
    """The same kind, or nothing: TOML has no word for that, so empty text says it."""
    return Kind(f"{kind.expected}, or empty", lambda raw: None if raw is None or raw == "" else kind.read(raw))


def _text(raw: Any) -> str:
    if not isinstance(raw, str) or not raw.strip() or not raw.isprintable():
        raise ValueError
    return raw.strip()


def _path(raw: Any) -> str:
    if not isinstance(raw, str) or not raw.strip() or "\0" in raw:
        raise ValueError
    return raw


def _bool(raw: Any) -> bool:
    if isinstance(raw, bool):
        return raw
    word = _text(raw).lower()
    if word in ("true", "1", "yes", "on", "y", "t"):
        return True
    if word in ("false", "0", "no", "off", "n", "f"):
        return False
    raise ValueError


def _number(raw: Any, least: float) -> float:
    value = raw
    if isinstance(raw, str):
        try:
            value = int(raw)
        except ValueError:
            value = float(raw)
    # A whole number that is too long for a float is no number of anything here.
    if type(value) not in (int, float) or not isfinite(value if abs(value) < 2**63 else float("inf")) or value < least:
        raise ValueError
    return value  # type: ignore[no-any-return]


def _delays(raw: Any) -> float | list[float]:
    if isinstance(raw, str) and "," in raw:
        raw = raw.split(",")
    if not isinstance(raw, list):
        return _number(raw, 0)
    if not 1 <= len(raw) <= DELAYS_MAX:
        raise ValueError
    return [_number(part, 0) for part in raw]


def _names(raw: Any) -> list[str]:
    if raw == "":
        return []
    parts = raw.split(",") if isinstance(raw, str) else raw
    if not isinstance(parts, list):
        raise ValueError
    return [_text(part) for part in parts]


def _level(raw: Any) -> str:
    word = _text(raw).upper()
    if word not in _LEVELS:
        raise ValueError
    return word


def _url(raw: Any) -> str:
    url = _text(raw)
    scheme, separator, rest = url.partition("://")
    server = rest.partition("/")[0]
    # A name and password in it would reach the journal, which keeps the address and no secret: they have a setting.
    if scheme.lower() not in ("http", "https") or not separator or not server.strip(":") or "@" in server or " " in url:
        raise ValueError
    return url


def _database_url(raw: Any) -> str:
    url = _text(raw)
    scheme, separator, rest = url.partition("://")
    known = scheme in ("sqlite", "postgresql", "postgresql+psycopg", "postgres")
    if known and separator and rest.strip("/") and " " not in url:
        return url
    kind, plus, driver = scheme.partition("+")
    if plus and separator and kind in ("sqlite", "postgresql", "postgres") and driver.isidentifier():
        way = "postgresql://USER:PASSWORD@SERVER/DATABASE" if kind != "sqlite" else "sqlite:///PATH"
        raise Unusable("", f" names the driver {driver}, which is not used here.", f"Leave it out: write {way}.")
    if not separator and url.startswith(("/", "~", ".")):
        raise Unusable("", " is a path, and has to be a URL.", "Write sqlite:///PATH, which for /srv/a.db has four /.")
    raise ValueError


def _storage(raw: Any) -> str:
    text = _text(raw)
    try:
        parse_storage(text)
    except BadStorage as error:
        raise Unusable("", error.what, error.do) from None
    return text


# What messages are sent by is looked at only where somebody sets it.


def _targets(raw: Any) -> list[str]:
    from surefoot.core.settings.notices import read_targets

    return read_targets(raw)


def _rules(raw: Any) -> dict[str, dict[str, list[str]]]:
    from surefoot.core.settings.notices import read_rules

    return read_rules(raw)


def _expect(raw: Any) -> dict[str, str]:
    from surefoot.core.settings.notices import read_expect

    return read_expect(raw)


def _zone(raw: Any) -> str:
    from surefoot.core.settings.notices import read_zone

    return read_zone(raw)


_LEVELS: Final = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")

BOOL: Final = Kind("true or false", _bool)
TEXT: Final = Kind("text on one line", _text)
PATH: Final = Kind("a path, which may start with ~ or ${SUREFOOT_HOME}", _path)  # `layers` finds out where it leads
STORAGE: Final = Kind("s3://BUCKET/FOLDER, gs://BUCKET/FOLDER, az://CONTAINER/FOLDER or a folder", _storage)
URL: Final = Kind("http://SERVER or https://SERVER, with a path or without, and no name or password", _url)
DATABASE_URL: Final = Kind("postgresql://USER:PASSWORD@SERVER/DATABASE or sqlite:///PATH", _database_url)
LEVEL: Final = Kind(f"one of {', '.join(_LEVELS)}", _level)
NAMES: Final = Kind("names, separated by commas", _names)
DELAYS: Final = Kind(f"a number of seconds, or a list of up to {DELAYS_MAX} such as 1,10,100", _delays)
TARGETS: Final = Kind("URLs such as smtp://MAIL-SERVER?to=ADDRESS or https://SERVER/PATH, in a list", _targets)
RULES: Final = Kind("a table for each name, of lists of URLs by event", _rules, is_table=True)
EXPECT: Final = Kind('a time for each flow, such as "07:00" or "07:00 mon-fri"', _expect, is_table=True)
ZONE: Final = Kind("a time zone such as Europe/Vienna", _zone)
