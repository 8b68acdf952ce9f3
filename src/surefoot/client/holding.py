"""Holding: while this process starts a flow run again, nobody else does, whichever homes share the ledger.

Where homes share one, no other home sees into this one's journal. So a thread takes what was recorded into the ledger,
and until that has told of the new epoch it renews the lease on the run. May import: ledger, journal, core.
"""

from __future__ import annotations

import os
from threading import Event, Thread
from typing import Final

from surefoot.client.folding import take_in
from surefoot.core.clock import get_clock
from surefoot.core.errors import SurefootError
from surefoot.core.os.host import boot_id, host_name, is_gone, process_mark
from surefoot.journal.commands import CANCEL, Command, send
from surefoot.journal.home import Home
from surefoot.journal.reading import writer
from surefoot.ledger import Ledger
from surefoot.ledger.decisions.epochs import LEASE_S, give_up_epoch, keep_epoch
from surefoot.ledger.decisions.leases import Holder

__all__ = ["Holding", "holder_here", "proof_of"]

_FIRST_S: Final = 1.0  # by then the first fact is recorded, but for odd circumstances
_FOLD_S: Final = 1.0
_LAST_S: Final = 2.0  # what is left to be taken in at the end of a run may hold up its process for so long


def holder_here(writer_id: bytes, ledger: Ledger) -> Holder:
    """This process, as others are told of it."""
    pid = os.getpid()
    return Holder(
        writer_id=writer_id,
        home_id=ledger.home_id,
        host=host_name(),
        boot_id=boot_id(),
        pid=pid,
        mark=process_mark(pid),
    )


def proof_of(home: Home, ledger: Ledger, holder: Holder) -> bool | None:
    """Whether a holder certainly lives (True) or is certainly no more (False), as far as it can be told from here."""
    if holder.home_id == ledger.home_id:
        return writer(home, holder.writer_id).proof()
    is_this_machine = bool(holder.boot_id) and holder.boot_id == boot_id()
    return False if is_this_machine and is_gone(holder.pid, holder.mark) else None


class Holding:
    """That this process has a flow run to itself, from the opening of an epoch on until `end`.

    Args:
        home: whose journal tells of the epoch.
        ledger: where it was opened.
        flow_run_id: the run.
        epoch: the one that was opened.
        writer_id: who executes it, in this process.
        lease_s: how long each lease lasts, in seconds.
    """

    def __init__(
        self, home: Home, ledger: Ledger, flow_run_id: bytes, epoch: int, writer_id: bytes, lease_s: float = LEASE_S
    ) -> None:
        self._home = home
        self._ledger = ledger
        self._run_id = flow_run_id
        self._epoch = epoch
        self._writer_id = writer_id
        self._lease_s = lease_s
        self._is_over = False  # the ledger knows, or another has the run
        self._ended = Event()
        self._thread: Thread | None = None
        if ledger.home_id is not None:  # else whoever asks looks into this journal first
            self._thread = Thread(target=self._keep, name="surefoot-lease", daemon=True)
            self._thread.start()

    def end(self, *, has_begun: bool = True) -> None:
        """The run has ended here; or was not begun, and nothing of it was recorded."""
        self._ended.set()
        thread = self._thread
        if thread is not None:
            thread.join(_LAST_S)
        if not has_begun:
            with self._ledger.decide() as tx:
                give_up_epoch(tx, self._run_id, self._epoch)
        elif thread is not None and not self._is_over:
            self._look(_LAST_S)

    def _keep(self) -> None:
        wait_s = min(_FIRST_S, self._lease_s / 3)
        while not self._ended.wait(wait_s):
            self._look(_FOLD_S)
            if self._is_over:
                return
            wait_s = self._lease_s / 3

    def _look(self, fold_s: float) -> None:
        """Have the ledger told; where that was not to be, renew the lease. What fails now is tried again."""
        try:
            take_in(self._home, self._ledger, fold_s, may_count=False)
        except (SurefootError, OSError):
            pass
        try:
            with self._ledger.decide() as tx:
                answer = keep_epoch(tx, self._run_id, self._epoch, lease_s=self._lease_s)
        except (SurefootError, OSError):
            return
        if isinstance(answer, str):
            self._stop(answer)
        self._is_over = answer is not False

    def _stop(self, opened_by: str) -> None:
        """This process was frozen or cut off for longer than its lease, and another opened the run's next epoch."""
        asked_by = f"{opened_by}, which started the run again, since for {self._lease_s:g} s nothing was heard of this"
        command = Command(kind=CANCEL, run_id=self._run_id.hex(), asked_by=asked_by, asked_us=get_clock().now_us())
        send(os.path.join(self._home.writers_path, self._writer_id.hex()), command)
