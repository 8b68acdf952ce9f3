"""`surefoot config`: what is set, where, and changing it in the active profile.

May import: cli's parts, notify, core.settings.
"""

from __future__ import annotations

import os
import shlex
from typing import Any

import click
import msgspec

from surefoot.cli.command import LazyGroup
from surefoot.cli.mistakes import Exit
from surefoot.cli.output import Output, note, output_option, say, write_object
from surefoot.cli.table import dim
from surefoot.core import settings
from surefoot.core.errors import BadInput, SurefootError
from surefoot.core.settings import Settings
from surefoot.core.settings.kinds import text_of
from surefoot.core.settings.layers import misread
from surefoot.core.settings.profile_text import save_profiles
from surefoot.core.settings.profiles import set_entries, unset_entries
from surefoot.core.settings.sources import find_problems, find_profiles, profile_layer
from surefoot.core.settings.table import TABLE, find_setting, masked

__all__ = ["View", "config"]


class View(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The settings in force, by their names in the environment."""

    profile: str
    settings: dict[str, Any]
    sources: dict[str, str] | None = None


@click.group(cls=LazyGroup)
def config() -> None:
    """See and change settings."""


@config.command(
    "view", examples=["surefoot config view", "surefoot config view --show-defaults --show-sources -o json"]
)
@click.option("--show-defaults", is_flag=True, help="Show the settings that nobody set, too.")
@click.option("--show-sources", is_flag=True, help="Show where each value is from.")
@click.option("--show-secrets", is_flag=True, help="Show keys and passwords.")
@output_option
def view(show_defaults: bool, show_sources: bool, show_secrets: bool, output: Output) -> None:
    """Show the settings in force."""
    found = settings.reload()
    paths = [path for path in TABLE if show_defaults or found.source_of(path) is not None]
    values = {TABLE[path].variable: _seen(found, path, show_secrets) for path in paths}
    sources = {TABLE[path].variable: found.source_of(path) or "the default" for path in paths}
    if output != "table":
        write_object(View(profile=found.profile, settings=values, sources=sources if show_sources else None), output)
        return
    if (wrong := misread(found, "ledger.url")) is not None:
        note(str(wrong))
    lines = {"SUREFOOT_PROFILE": found.profile, **values}
    say(
        f"{name}={shlex.quote(text_of(value))}"
        + (dim(f"   # {sources[name]}") if show_sources and name in sources else "")
        for name, value in lines.items()
    )


def _seen(found: Settings, path: str, show_secrets: bool) -> Any:
    value = found.get(path)
    return value if show_secrets else masked(path, value)


def _names(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    end = "=" if param.name == "assignments" else ""
    names = [name for line in TABLE.values() for name in (line.path, line.variable)]
    return [name + end for name in names if name.startswith(incomplete)]


@config.command(
    "set", examples=["surefoot config set logging.level=DEBUG", "surefoot config set SUREFOOT_TASKS_DEFAULT_RETRIES=2"]
)
@click.argument("assignments", metavar="KEY=VALUE...", nargs=-1, required=True, shell_complete=_names)
def set_(assignments: tuple[str, ...]) -> None:
    """Set settings in the active profile: all of them, or none."""
    entries: dict[str, str] = {}
    for assignment in assignments:
        key, equals, value = assignment.partition("=")
        if not equals:
            raise BadInput(
                f"{assignment!r} is not of the form KEY=VALUE.", do=f"Type `surefoot config set {assignment}=VALUE`."
            )
        entries[key.strip()] = value
    profiles, name = find_profiles()
    save_profiles(set_entries(profiles, name, entries, os.getcwd()))
    variables = [line.variable for key in entries if (line := find_setting(key))]
    say(f"Set {variable} in profile {name!r}." for variable in variables)
    _note_what_wins(variables)


def _note_what_wins(variables: list[str]) -> None:
    try:
        profiles, name = find_profiles()
        ours = profile_layer(profiles, name).source
        found = settings.reload()
    except SurefootError as error:  # another entry is wrong, which is no reason to say that this one was not written
        note(str(error))
        return
    for variable in variables:
        line = find_setting(variable)
        source = found.source_of(line.path) if line else ours
        if source != ours:
            note(f"{variable} is also set in {source}, which wins.")


@config.command(
    "unset", examples=["surefoot config unset logging.level", "surefoot config unset logging.colors logging.log_prints"]
)
@click.argument("keys", metavar="KEY...", nargs=-1, required=True, shell_complete=_names)
def unset(keys: tuple[str, ...]) -> None:
    """Take settings, or mistaken keys, out of the active profile."""
    profiles, name = find_profiles()
    save_profiles(unset_entries(profiles, name, keys))
    say(f"Took {key} out of profile {name!r}." for key in keys)


@config.command("validate", examples=["surefoot config validate", "surefoot config validate && python backup.py"])
@click.pass_context
def validate(ctx: click.Context) -> None:
    """Check environment, files and all profiles."""
    problems = find_problems() or _targets_nobody_knows()
    if not problems:
        say(["All settings are valid."])
        return
    for problem in problems:
        click.echo(" ".join(problem.split()), err=True)
    ctx.exit(Exit.BAD_INPUT)


def _targets_nobody_knows() -> list[str]:
    from surefoot.notify.notices import rules_of
    from surefoot.notify.sending import problem_of  # which loads what TLS needs

    found = settings.reload()
    return [
        f"{problem} See https://github.com/caronc/apprise for those it knows."
        for url in rules_of(found).everyone()
        if (problem := problem_of(url))
    ]
