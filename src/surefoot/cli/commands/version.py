"""`surefoot version`: what a report of a fault needs to say. May import: cli's parts, core."""

from __future__ import annotations

import platform
import sys
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as version_of

import click
import msgspec

from surefoot._version import __version__
from surefoot.cli.command import Command
from surefoot.cli.output import Output, output_option, say, write_object
from surefoot.cli.table import dim
from surefoot.core import settings

__all__ = ["Versions", "version"]

_PACKAGES = ("alembic", "click", "cloudpickle", "msgspec", "pydantic", "rich", "sqlalchemy")


class Versions(msgspec.Struct, frozen=True, kw_only=True):
    """Versions, and where things are."""

    surefoot: str
    python: str
    implementation: str
    executable: str
    system: str
    machine: str
    home: str
    profile: str
    api_url: str | None = None
    packages: dict[str, str] = {}


@click.command("version", cls=Command, examples=["surefoot version", "surefoot version -o json"])
@output_option
def version(output: Output) -> None:
    """Show versions and where things are."""
    current = settings.refresh()
    found = Versions(
        surefoot=__version__,
        python=platform.python_version(),
        implementation=platform.python_implementation(),
        executable=sys.executable,
        system=platform.platform(),
        machine=platform.machine(),
        home=current.home,
        profile=current.profile,
        api_url=current.api.url,
        packages={name: found for name in _PACKAGES if (found := _version_of(name))},
    )
    if output != "table":
        write_object(found, output)
        return
    facts = {**msgspec.structs.asdict(found), **found.packages, "packages": None}
    width = max(map(len, facts))
    say(f"{dim(f'{name:<{width}}')}   {value}" for name, value in facts.items() if value)


def _version_of(name: str) -> str:
    try:
        return version_of(name)
    except PackageNotFoundError:
        return ""
