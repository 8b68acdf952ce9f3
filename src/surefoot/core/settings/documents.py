"""The texts that settings stand in: TOML and `.env`. What cannot be read is told with its file and line.

May import: core.os.files.
"""

from __future__ import annotations

import re
from typing import Any, Final

from surefoot.core.errors import SettingsError
from surefoot.core.os import files

__all__ = ["parse_dotenv", "parse_toml", "read_file", "toml_key", "toml_value"]

# Patterns are text here, and compiled when first used: most processes start where there is no such file.
_ASSIGNMENT: Final = r"""(?msx)^[ \t]*(?:export[ \t]+)?([A-Za-z_]\w*)[ \t]*=[ \t]*
    (?: '([^']*)'[ \t\r]*(?:\#[^\n]*)?$ | "((?:[^"\\]|\\.)*)"[ \t\r]*(?:\#[^\n]*)?$ | ([^\n]*) )"""
_DOTENV_ESCAPE: Final = r"(?s)\\(.)"
_DOTENV_ESCAPES: Final = {"n": "\n", "t": "\t", "r": "\r"}
_BARE_KEY: Final = r"[A-Za-z0-9_-]+"
_TOML_ESCAPES: Final = {n: f"\\u{n:04X}" for n in (*range(32), 127)} | {ord('"'): '\\"', ord("\\"): "\\\\"}


def read_file(path: str) -> str | None:
    """The text of a file, or None if there is none. Raises SettingsError if it cannot be read."""
    try:
        return files.read_text(path)
    except OSError as error:
        why = error.strerror or type(error).__name__
        raise SettingsError(f"{path}: cannot be read: {why}.", do="Make it readable, or move it away.") from error
    except UnicodeDecodeError as error:
        raise SettingsError(
            f"{path}: is not UTF-8: {error.reason} at byte {error.start}.", do="Save it as UTF-8."
        ) from error


def parse_toml(path: str, text: str) -> dict[str, Any]:
    """The document that `text`, read from `path`, is. Raises SettingsError with the line if it is none."""
    import tomllib  # a door, for the same reason

    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        what, _, where = str(error).rpartition(" (at ")
        raise SettingsError(
            f"{path}, {where.removesuffix(')')}: is not valid TOML: {what}.", do="Correct that line."
        ) from error
    except RecursionError as error:
        raise SettingsError(f"{path}: is not valid TOML: nested too deeply.", do="Correct it.") from error


def parse_dotenv(text: str) -> dict[str, str]:
    r"""The variables of a `.env`. Lines that set none are for others, and are passed over.

    >>> parse_dotenv("export A='x # y'  # z\nB=1 # one\n# C=2\nD=\"two\\nlines\"")
    {'A': 'x # y', 'B': '1', 'D': 'two\nlines'}
    """
    found = {}
    for name, single, double, plain in re.findall(_ASSIGNMENT, text):
        if double:
            value = re.sub(_DOTENV_ESCAPE, lambda match: _DOTENV_ESCAPES.get(match[1], match[1]), double)
        else:
            value = single or ("" if plain.startswith("#") else plain.partition(" #")[0].strip())
        found[name] = value
    return found


def toml_key(key: str) -> str:
    """A key as it stands before the `=`.

    >>> toml_key("SUREFOOT_HOME"), toml_key("logging.level")
    ('SUREFOOT_HOME', '"logging.level"')
    """
    return key if re.fullmatch(_BARE_KEY, key) else toml_value(key)


def toml_value(value: Any) -> str:
    r"""A value as it stands after the `=`: whatever the parser gives.

    >>> toml_value("a\n\"b\""), toml_value([1, 2.5, True])
    ('"a\\u000A\\"b\\""', '[1, 2.5, true]')
    """
    if isinstance(value, str):
        return f'"{value.translate(_TOML_ESCAPES)}"'
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, list):
        return f"[{', '.join(map(toml_value, value))}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{toml_key(key)} = {toml_value(inner)}' for key, inner in value.items())}}}"
    return str(value.isoformat())  # what is left are dates and times
