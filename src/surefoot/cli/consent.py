"""Consent: whoever removes something is asked first. May import: click, core."""

from __future__ import annotations

import sys

import click

from surefoot.core import settings
from surefoot.core.errors import BadInput

__all__ = ["agree"]


def agree(question: str, yes: bool) -> None:
    """Return if the answer is yes. Raises click.Abort for any other, BadInput where nobody is there to be asked."""
    if yes:
        return
    may_ask = settings.refresh().cli.prompt
    if not (sys.stdin is not None and sys.stdin.isatty() if may_ask is None else may_ask):
        raise BadInput("Nothing was done: this asks first, and nobody is there to answer.", do="Add --yes.")
    click.confirm(question, abort=True, err=True)
