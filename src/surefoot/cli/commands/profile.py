"""`surefoot profile`: named sets of settings, one of them active. May import: cli's parts, core.settings."""

from __future__ import annotations

from typing import Any

import click
import msgspec

from surefoot.cli.command import LazyGroup
from surefoot.cli.output import Output, note, output_option, say, write_array, write_object
from surefoot.core.errors import Refused, SurefootError
from surefoot.core.settings.kinds import text_of
from surefoot.core.settings.profile_text import save_profiles
from surefoot.core.settings.profiles import (
    create_profile,
    delete_profile,
    entries_of,
    rename_profile,
    use_profile,
)
from surefoot.core.settings.sources import find_profiles
from surefoot.core.settings.table import masked

__all__ = ["Profile", "ProfilePage", "profile"]


class Profile(msgspec.Struct, frozen=True):
    """One of the profiles."""

    name: str
    active: bool


class ProfilePage(Profile, frozen=True):
    """A profile and what it sets. Keys and passwords are masked."""

    path: str
    settings: dict[str, Any]


@click.group(cls=LazyGroup)
def profile() -> None:
    """Manage named sets of settings."""


def _names(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    try:
        return [name for name in find_profiles()[0].tables if name.startswith(incomplete)]
    except SurefootError:  # a shell that completes has no place for it; the command will say it
        return []


@profile.command("ls", examples=["surefoot profile ls", "surefoot profile ls -o json"])
@output_option
def ls(output: Output) -> None:
    """List profiles; a star marks the active one."""
    profiles, active = find_profiles()
    found = [Profile(name, name == active) for name in sorted(profiles.tables)]
    if output == "table":
        say(f"{'*' if each.active else ' '} {each.name}" for each in found)
    else:
        write_array([found], output)


@profile.command("create", examples=["surefoot profile create dev", "surefoot profile create night --from dev"])
@click.argument("name")
@click.option("--from", "source", metavar="PROFILE", shell_complete=_names, help="Start with what this profile sets.")
def create(name: str, source: str | None) -> None:
    """Make a profile."""
    profiles, _ = find_profiles()
    save_profiles(create_profile(profiles, name, source))
    say([f"Made profile {name!r}. Use it: `surefoot profile use {name}`."])


@profile.command("use", examples=["surefoot profile use dev", "surefoot profile use default"])
@click.argument("name", shell_complete=_names)
def use(name: str) -> None:
    """Make a profile the active one."""
    profiles, _ = find_profiles()
    save_profiles(use_profile(profiles, name))
    say([f"Profile {name!r} is active."])
    _note_what_wins(name)


def _note_what_wins(name: str) -> None:
    _, active = find_profiles()
    if active != name:
        note(f"Here SUREFOOT_PROFILE says {active!r}, which wins.")


@profile.command("delete", examples=["surefoot profile delete dev", "surefoot profile delete night"])
@click.argument("name", shell_complete=_names)
def delete(name: str) -> None:
    """Delete a profile that is not the active one."""
    profiles, active = find_profiles()
    left = delete_profile(profiles, name)
    if name == active:
        raise Refused(f"Profile {name!r} is the one that SUREFOOT_PROFILE says.", do="Unset SUREFOOT_PROFILE first.")
    save_profiles(left)
    say([f"Deleted profile {name!r}."])


@profile.command("rename", examples=["surefoot profile rename dev night", "surefoot profile rename default laptop"])
@click.argument("name", shell_complete=_names)
@click.argument("to", metavar="NEW_NAME")
def rename(name: str, to: str) -> None:
    """Give a profile another name."""
    profiles, active = find_profiles()
    save_profiles(rename_profile(profiles, name, to))
    say([f"Profile {name!r} is now {to!r}."])
    if active == name != profiles.active:
        note(f"SUREFOOT_PROFILE still says {name!r}: set it to {to!r}.")


@profile.command("inspect", examples=["surefoot profile inspect", "surefoot profile inspect default -o json"])
@click.argument("name", required=False, shell_complete=_names)
@output_option
def inspect(name: str | None, output: Output) -> None:
    """Show what a profile sets; without NAME, the active one."""
    profiles, active = find_profiles()
    name = name or active
    entries = {key: masked(key, value) for key, value in entries_of(profiles, name).items()}
    if output != "table":
        write_object(ProfilePage(name, name == active, profiles.path, entries), output)
    elif entries:
        say(f"{key}={text_of(value)}" for key, value in entries.items())
    else:
        note(f"Profile {name!r} sets nothing. Type: surefoot --profile {name} config set KEY=VALUE")
