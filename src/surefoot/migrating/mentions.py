"""Files that are not rewritten, or only in part, and speak of Prefect: YAML, requirements, images, scripts, notebooks.

May import: migrating.edits, migrating.variables.
"""

from __future__ import annotations

import re
from typing import Final

from surefoot.migrating.edits import OLD_TEMPLATE, Look, Rewritten
from surefoot.migrating.variables import variable

__all__ = ["find_mentions", "rewrite_yaml"]

_STEP: Final = re.compile(r"(?m)^(?P<before>\s*-?\s*)prefect(?P<after>(?:\.\w+)+\s*:)")
_VARIABLE: Final = re.compile(r"(?<![\w.])PREFECT_\w*\w")
_INSTALL: Final = r"\b(?:pip3?|conda|mamba) install\b|\b(?:uv|poetry|pdm|pixi) add\b"
_PACKAGE: Final = re.compile(
    rf"(?i)(?:^[\s\"',-]*|\[\s*[\"']|,\s*[\"']|(?:{_INSTALL}).*?\s[\"']?)prefect(?:[-_](?P<collection>[a-z0-9_-]+))?"
    r"(?=\s*[\"',;\[<>=!~]|\s+@\s|\s*\\?\s*$)"
)
_IMAGE: Final = re.compile(r"\bprefecthq/\w+")
_COMMAND: Final = re.compile(r"(?:^|[\s\"'&|;`(\[])prefect(?:\s+|[\"']\s*,\s*[\"'])(?P<command>[a-z][a-z-]+)")


def rewrite_yaml(text: str) -> Rewritten:
    r"""A `prefect.yaml` with the names of its steps, and the places for variables, as they are here.

    >>> rewrite_yaml("pull:\n- prefect.deployments.steps.git_clone:\n    repository: x  # of prefect.io\n").text
    'pull:\n- surefoot.deployments.steps.git_clone:\n    repository: x  # of prefect.io\n'
    """
    looks = [Look(1, "Deployments are not in this version: nothing reads this file yet.")]
    for n, line in enumerate(text.splitlines(), 1):
        if line.startswith("prefect-version"):
            looks.append(Look(n, "prefect-version says nothing here: take it out."))
        elif match := re.match(r"\s*-?\s*(prefect_\w+)\.[\w.]+\s*:", line):
            looks.append(Look(n, f"Surefoot has no counterpart of `{match[1]}`."))
    text = OLD_TEMPLATE.sub(lambda place: place[0].replace(place["old"], "surefoot"), text)
    return Rewritten(_STEP.sub(r"\g<before>surefoot\g<after>", text), looks)


def find_mentions(text: str) -> list[Look]:
    """Variables, packages, images and commands that a text names, which a person has to change.

    >>> find_mentions("ENV PREFECT_LOGGING_LEVEL=DEBUG")
    [Look(line=1, what='PREFECT_LOGGING_LEVEL is called SUREFOOT_LOGGING_LEVEL here.')]
    """
    looks = []
    for n, line in enumerate(text.splitlines(), 1):
        if line.lstrip().startswith("#"):
            continue
        for name in _VARIABLE.findall(line):
            new, look = variable(name)
            told = look or f"{name} is called {new} here."  # of one that is to be taken out its new name is no help
            looks.append(Look(n, told))
        if OLD_TEMPLATE.search(line):
            looks.append(Look(n, "The places for variables are `{{ surefoot.variables.NAME }}` here."))
        command = _COMMAND.search(line)
        for match in _PACKAGE.finditer(line):
            if command and command.start() < match.end() <= command.end():
                continue  # the first word of a command that is written as a list
            told = "The package is called `surefoot` here."
            if match["collection"]:
                told = (
                    f"Surefoot has no counterpart of prefect-{match['collection']}: ask for the library that it wraps."
                )
            looks.append(Look(n, told))
        if image := _IMAGE.search(line):
            looks.append(Look(n, f"The image {image[0]} holds Prefect: build one with `pip install surefoot`."))
        if command:
            looks.append(Look(n, f"`prefect {command['command']}` is a command of Prefect's: see `surefoot --help`."))
    return looks
