"""The door to what is recorded: every command that looks at runs opens its client here, and asks here what time it is.

May import: client, click, core.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import click

from surefoot.cli.output import note
from surefoot.client import get_client
from surefoot.client.ledgers import ledger_name
from surefoot.client.protocol import Client
from surefoot.core import settings
from surefoot.core.clock import get_clock
from surefoot.core.settings import Settings
from surefoot.engine.losses import send_waiting

__all__ = ["here", "nothing_recorded", "now_here", "reading"]


@contextmanager
def reading() -> Iterator[Client]:
    """A client for the length of a command, with colours as the settings want them."""
    send_waiting(here())
    client = get_client()
    try:
        yield client
    finally:  # also of an answer that nothing was found: what was asked for may be what is missing
        client.close()
        if client.behind:
            note(f"{client.behind:,} facts are not taken in yet, so this is that much behind. Ask again in a moment.")
        for trouble in client.troubles:
            note(trouble)


def here() -> Settings:
    """The settings in force, with colours as they want them."""
    current = settings.refresh()
    if not current.cli.colors:
        click.get_current_context().color = False
    return current


def now_here() -> datetime:
    """The instant that it is, by the clock in use."""
    return datetime.fromtimestamp(get_clock().now_us() / 1e6, UTC)


def nothing_recorded(noun: str) -> str:
    """What to type where a list is empty because nothing ever ran."""
    current = settings.refresh()
    where = current.home if current.ledger.url is None else ledger_name(current)
    return f"No {noun} is recorded in {where} yet. Put @flow on a function and call it, or type: surefoot run FILE:FLOW"
