"""Files of settings: `.env`, `prefect.toml`, `[tool.prefect]` in `pyproject.toml`.

What has no meaning here is put aside in TOML, as a comment, since it would be a mistake there.
May import: migrating.edits, migrating.variables, core.settings.
"""

from __future__ import annotations

import re
import tomllib
from typing import Any, Final

from surefoot.core.settings.layers import flatten
from surefoot.core.settings.table import TABLE, find_setting
from surefoot.migrating.edits import Look, Rewritten, in_order
from surefoot.migrating.variables import HOME, dotted, variable

__all__ = ["rewrite_dotenv", "rewrite_toml"]

_VARIABLE: Final = re.compile(r"(?P<before>\s*(?:export\s+)?)(?P<name>PREFECT_\w+)(?P<after>\s*=.*)", re.DOTALL)
_HEADER: Final = re.compile(r"\s*\[\[?\s*(?P<path>[\w.\s\"'-]+?)\s*\]\]?\s*(#.*)?$")
_KEY: Final = re.compile(r"(?P<before>\s*)(?P<key>[\w.\"'-]+(?:\s*\.\s*[\w\"'-]+)*)(?P<after>\s*=)")


def rewrite_dotenv(text: str) -> Rewritten:
    r"""A `.env` for Surefoot. Variables that mean nothing here are left as they are.

    >>> rewrite_dotenv("# PREFECT_\nexport PREFECT_LOGGING_LEVEL=DEBUG\nPREFECT_SERVER_API_PORT=1\n").text
    '# PREFECT_\nexport SUREFOOT_LOGGING_LEVEL=DEBUG\nPREFECT_SERVER_API_PORT=1\n'
    """
    lines, looks = text.splitlines(keepends=True), []
    for n, line in enumerate(lines):
        if match := _VARIABLE.fullmatch(line):
            new, look = variable(match["name"])
            if new:
                lines[n] = f"{match['before']}{new}{match['after'].replace(*HOME)}"
            if look:
                looks.append(Look(n + 1, look))
    return Rewritten("".join(lines), looks)


def rewrite_toml(text: str, table: str = "") -> Rewritten:
    r"""The settings of a TOML file, all of it or those in `table` (`tool.prefect`), for Surefoot.

    >>> print(rewrite_toml("[server.api]\nport = 1\n[logging]\nlevel = 'DEBUG'  # loud\n").text, end="")
    # [server.api]
    # port = 1
    [logging]
    level = 'DEBUG'  # loud
    """
    try:
        tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        return Rewritten(text, [Look(1, f"This is not valid TOML, and was left alone: {error}.")], left_alone=True)
    return _Toml(text, table).rewrite()


class _Toml:
    def __init__(self, text: str, table: str) -> None:
        self.lines = re.split(r"(?<=\n)", text)
        self.table = table
        self.looks: list[Look] = []
        self.inside = not table
        self.group = ""  # the table that the line stands in, below ours
        self.given = {setting.path for path in self._entries(text) if (setting := find_setting(path))}

    def rewrite(self) -> Rewritten:
        n = 0
        while n < len(self.lines):
            line = self.lines[n]
            if match := _HEADER.match(line):
                self._header(n, _bare(match["path"]))
                n += 1
            elif match := _KEY.match(line):
                n = self._entry(n, match) if self.inside else self._end(n)
            else:
                n += 1
        text = "".join(self.lines)
        self._check(text)
        return Rewritten(text, in_order(self.looks))

    def _header(self, n: int, path: str) -> None:
        if self.table:
            self.inside = path == self.table or path.startswith(f"{self.table}.")
            if not self.inside:
                return
            self.lines[n] = re.sub(r"(?<=[\[.\s\"'])prefect(?=[\].\s\"'])", "surefoot", self.lines[n], count=1)
        self.group = path.removeprefix(self.table).strip(".")
        if self.group and not any(known.startswith(f"{self.group}.") for known in TABLE):
            self._aside(n, n + 1)

    def _entry(self, n: int, match: re.Match[str]) -> int:
        end = self._end(n)
        key = _bare(match["key"])
        path = f"{self.group}.{key}".strip(".")
        inner = _value("".join(self.lines[n:end]), key)
        paths = [f"{path}.{name}" for name, _ in flatten(inner)] if isinstance(inner, dict) and inner else [path]
        found = [dotted(each) for each in paths]
        self.looks += [Look(n + 1, one.look) for one in found if one.look]
        if all(one.name is None for one in found):
            self._aside(n, end)
        elif len(found) == 1 and found[0].name and find_setting(path) is None and not isinstance(inner, dict):
            self._rename(n, match, key, found[0].name)
        elif any(one.name is None for one in found):
            self.looks.append(Look(n + 1, f"Take what is not needed out of {path} by hand."))
        if not self.lines[n].startswith("#"):
            self.lines[n:end] = [line.replace(*HOME) for line in self.lines[n:end]]
        return end

    def _rename(self, n: int, match: re.Match[str], key: str, new: str) -> None:
        setting = find_setting(new)
        if setting is None or setting.path in self.given:
            self._aside(n, self._end(n))
            self.looks.append(Look(n + 1, f"{key} is called {new} here, which is set in this file already."))
            return
        self.given.add(setting.path)
        if not key.startswith("PREFECT_"):
            above = f"{self.group}." if self.group else ""
            if not new.startswith(above):
                self._aside(n, self._end(n))
                self.looks.append(Look(n + 1, f"{above}{key} is called {new} here: set it there."))
                return
            new = new.removeprefix(above)
        self.lines[n] = f"{match['before']}{new}{self.lines[n][match.start('after') :]}"

    def _end(self, n: int) -> int:
        """The line after the value that begins on line `n`."""
        for end in range(n + 1, len(self.lines) + 1):
            try:
                tomllib.loads("".join(self.lines[n:end]))
            except tomllib.TOMLDecodeError:
                continue
            return end
        return n + 1

    def _aside(self, start: int, end: int) -> None:
        self.lines[start:end] = [f"# {line}" for line in self.lines[start:end]]

    def _entries(self, text: str) -> list[str]:
        document: Any = tomllib.loads(text)
        for part in self.table.split(".") if self.table else ():
            document = document.get(part, {}) if isinstance(document, dict) else {}
        return [path for path, _ in flatten(document)] if isinstance(document, dict) else [self.table]

    def _check(self, text: str) -> None:
        try:
            left = self._entries(text)
        except tomllib.TOMLDecodeError as error:
            self.looks.append(Look(1, f"What this became is not valid TOML: {error}. Correct it by hand."))
            return
        if self.table and left:
            self.looks.append(
                Look(1, f"Some of {self.table} is written in a way that was left alone: rewrite it by hand.")
            )


def _bare(path: str) -> str:
    return re.sub(r"[\s\"']", "", path)


def _value(text: str, key: str) -> Any:
    value: Any = tomllib.loads(text)
    while isinstance(value, dict) and key:
        part = next((part for part in value if key == part or key.startswith(f"{part}.")), None)
        if part is None:
            break
        value, key = value[part], key[len(part) + 1 :]
    return value
