"""client: asks what is recorded. One protocol, whichever way it reaches the ledger; here, straight on its database.

The database toolkit is loaded when a client is asked for, not before. May import: ledger, journal, core.
"""

from __future__ import annotations

from surefoot.client.protocol import Client
from surefoot.core import settings
from surefoot.core.errors import SettingsError

__all__ = ["Client", "get_client"]


def get_client() -> Client:
    """A client for the ledger that the settings name, as the commands use it. Close it when done.

    For scripts there is `surefoot.get_client`, with the methods and filters that they know.

    Raises SettingsError where they name a server: this version reads only the home's own ledger.
    """
    current = settings.refresh()
    if url := current.api.url:
        raise SettingsError(
            f"The setting api.url is {url!r}, and this version of Surefoot reads only the ledger of its home.",
            do="Leave it out: surefoot config unset api.url",
        )
    from surefoot.client.embedded import EmbeddedClient

    ledger = current.ledger
    return EmbeddedClient(
        current.home,
        wait_s=ledger.fold_wait_seconds,
        busy_s=ledger.busy_timeout_seconds,
        url=settings.ledger_url(current),
    )
