"""Templates: texts, and structures of them, with places for the values of variables: `{{ surefoot.variables.NAME }}`. Pure.

A place that is a whole text becomes the value, of whatever type; within a text it has to be one that is written in a
word. What else stands in `{{ }}` is somebody else's, and stays. May import: core.errors, core.variables.
"""  # noqa: E501

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from typing import Any, Final

from surefoot.core.errors import TemplateError
from surefoot.core.variables import text_of

__all__ = ["fill_in", "names_in"]

_PLACE: Final = re.compile(r"\{\{\s*(?P<root>surefoot|prefect)\.variables\.(?P<rest>[^{}]*?)\s*\}\}")
_PATH: Final = re.compile(r"(?P<name>[a-z0-9_-]{1,255})(?P<keys>(?:\.[A-Za-z0-9_-]+)*)")
_DEPTH_MAX: Final = 100


def names_in(template: Any) -> list[str]:
    """The variables that a template names, each once. Raises TemplateError for a place that is not written rightly.

    >>> names_in({"to": "{{ surefoot.variables.mail }}", "n": [1, "{{surefoot.variables.team.lead}} and {{ x }}"]})
    ['mail', 'team']
    """
    found: dict[str, None] = {}

    def note(text: str) -> str:
        for place in _PLACE.finditer(text):
            found[_path(place)[0]] = None
        return text

    _walk(template, note, 0)
    return list(found)


def fill_in(template: Any, values: Mapping[str, Any]) -> Any:
    """A copy of a template with the values of variables in their places; what has no place is the very same.

    >>> fill_in("{{ surefoot.variables.n }}", {"n": 3}), fill_in("page-{{ surefoot.variables.n }}", {"n": 3})
    (3, 'page-3')
    """

    def filled(text: str) -> Any:
        whole = _PLACE.fullmatch(text)
        if whole is not None:
            return _value(whole, values)
        return _PLACE.sub(lambda place: _inline(place, values), text)

    return _walk(template, filled, 0)


def _walk(template: Any, text: Callable[[str], Any], depth: int) -> Any:
    if isinstance(template, str):
        return text(template) if "{{" in template else template
    if not isinstance(template, dict | list | tuple):
        return template
    if depth >= _DEPTH_MAX:
        raise TemplateError(f"A template is nested more than {_DEPTH_MAX} deep, or holds itself.", do="Make it flat.")
    if isinstance(template, dict):
        return {key: _walk(value, text, depth + 1) for key, value in template.items()}
    items = [_walk(each, text, depth + 1) for each in template]
    if isinstance(template, tuple):
        return template._make(items) if hasattr(template, "_make") else tuple(items)
    return items


def _path(place: re.Match[str]) -> tuple[str, list[str]]:
    """The variable, and the keys within its value, that a place names."""
    if place["root"] != "surefoot":
        right = place[0].replace("prefect", "surefoot", 1)
        raise TemplateError(f"A template says {place[0]!r}.", do=f"Write {right}, or run: surefoot migrate prefect .")
    path = _PATH.fullmatch(place["rest"])
    if path is None:
        raise TemplateError(
            f"A template says {place[0]!r}, which names no variable.",
            do="Write the name alone, such as {{ surefoot.variables.region }}; of a value that is a dict, .KEY too.",
        )
    return path["name"], path["keys"].split(".")[1:]


def _value(place: re.Match[str], values: Mapping[str, Any]) -> Any:
    name, keys = _path(place)
    value, at = values[name], name
    for key in keys:
        if not isinstance(value, dict) or key not in value:
            near = get_close_matches(key, [str(each) for each in value], n=1) if isinstance(value, dict) else []
            is_what = "has no such key" if isinstance(value, dict) else "is no dict"
            raise TemplateError(
                f"A template asks for {key!r} of the variable {at!r}, which {is_what}.",
                do=f"Did you mean {near[0]!r}?" if near else f"See what it is: surefoot variable inspect {name}",
            )
        value, at = value[key], f"{at}.{key}"
    return value


def _inline(place: re.Match[str], values: Mapping[str, Any]) -> str:
    value = _value(place, values)
    if isinstance(value, dict | list):
        raise TemplateError(
            f"The value at {place[0]} is of type {type(value).__name__}, and stands within a text.",
            do="Let the place be the whole text, or name a part of the value: .KEY",
        )
    return text_of(value)
