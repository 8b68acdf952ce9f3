"""Neighbours: other homes that share the ledger. Where the process of a run writes, if that is not this home.

May import: ledger, journal, core.
"""

from __future__ import annotations

import os
from typing import Any

from surefoot.core.errors import Refused
from surefoot.core.ids import to_text
from surefoot.core.os.host import boot_id, open_file_of
from surefoot.journal.home import Home
from surefoot.journal.pulse import PULSE
from surefoot.ledger.fold_writers import load_writers

__all__ = ["home_of_writer"]


def home_of_writer(tx: Any, home: Home, home_id: bytes | None, writer_id: bytes, run_id: bytes) -> Home:
    """The home in which the writer of a run writes: this one, or one that its living process on this machine names.

    Raises Refused if that is another one which is not to be found from here.
    """
    row = load_writers(tx, [writer_id]).get(writer_id)
    if home_id is None or row is None or row["home_id"] in (None, home_id):
        return home
    pid, host = row["pid"], row["host"]
    if pid is not None and row["boot_id"] and row["boot_id"] == boot_id():
        # It holds its pulse open as long as it lives.
        pulse = open_file_of(pid, os.sep + os.path.join("writers", writer_id.hex(), PULSE))
        if pulse is not None:
            found = Home(os.path.dirname(os.path.dirname(os.path.dirname(pulse))))
            if os.path.isdir(found.path) and found.id() == row["home_id"]:
                return found
    raise Refused(
        f"The run works in process {pid or 'unknown'} on {host or 'another machine'}, in another home of this ledger, "
        "which cannot be reached from here.",
        do=f"Type it there, with that home's settings: surefoot flow-run cancel {to_text(run_id)}",
    )
