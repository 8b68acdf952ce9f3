"""What the engine asks of the ledger when a flow run is started again: the run, the epoch, and what is done already.

The embedded way: straight on the ledger of the home. May import: ledger, journal, core.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any, Final, Self

from msgspec.structs import replace

from surefoot.client.folding import take_in
from surefoot.client.holding import Holding, holder_here, proof_of
from surefoot.client.ledgers import ledger_of
from surefoot.client.neighbours import refuse_results_elsewhere
from surefoot.core import settings
from surefoot.core.errors import NotFound, Refused, Unavailable
from surefoot.core.ids import to_text
from surefoot.core.ports import Earlier, Retryable
from surefoot.core.states import COMPLETED, FINAL
from surefoot.journal.home import Home
from surefoot.ledger import queries
from surefoot.ledger.decisions.epochs import LEASE_S, next_epoch, open_epoch

__all__ = ["EmbeddedEarlierRuns"]

_WAIT_S: Final = 30.0


class EmbeddedEarlierRuns:
    """`EarlierRuns` on the ledger of a home, or on that at `url`."""

    def __init__(self, home: str, url: str | None = None, *, lease_s: float = LEASE_S, busy_s: float = _WAIT_S) -> None:
        self._home = Home(home)
        self._home.ensure()
        self._ledger = ledger_of(self._home, url, busy_s=busy_s)
        self._lease_s = lease_s
        self._proof = partial(proof_of, self._home, self._ledger)
        self._holding: Holding | None = None
        self._troubles: tuple[str, ...] = ()  # what could not be taken in

    @classmethod
    def open(cls) -> Self:
        """That of the settings in force."""
        current = settings.refresh()
        return cls(current.home, settings.ledger_url(current), busy_s=current.ledger.busy_timeout_seconds)

    def close(self) -> None:
        try:
            if self._holding is not None:
                self._holding.end()
        finally:
            self._ledger.close()

    def give_up(self) -> None:
        holding, self._holding = self._holding, None
        try:
            if holding is not None:
                holding.end(has_begun=False)
        finally:
            self._ledger.close()

    def retryable(self, reference: str, from_task: str | None = None, *, anew: bool = False) -> Retryable:
        self._fold()
        with self._ledger.read() as tx, self._telling_troubles():
            return self._checked(tx, queries.flow_run_id_of(tx, reference), from_task, anew)

    def last_retryable(self, flow_name: str | None, from_task: str | None = None, *, anew: bool = False) -> Retryable:
        self._fold()
        with self._ledger.read() as tx, self._telling_troubles():
            found = queries.last_unsuccessful(tx, flow_name)
            if found is None:
                raise queries.nothing_left(tx, flow_name)
            return self._checked(tx, found, from_task, anew)

    def replayable(self, reference: str) -> tuple[Retryable, bytes, frozenset[bytes]]:
        self._fold()
        with self._ledger.read() as tx, self._telling_troubles():
            task_run = queries.find_task_run(tx, reference)
            if task_run.flow_run_id is None:
                raise Refused(
                    f"Task run {task_run.name!r} was called outside of any flow, so its inputs are not known.",
                    do="Call the task again.",
                )
            task_run_id = bytes.fromhex(task_run.id.replace("-", ""))
            root, between = queries.above(tx, task_run_id)
            found, _ = queries.retryable_of(tx, root)
            if found.run.state_type not in FINAL:
                raise Refused(
                    f"Flow run {found.run.name!r}, which {task_run.name!r} is part of, has not ended.",
                    do=f"Wait for its end: surefoot flow-run watch {found.run.name}",
                )
            return found, task_run_id, between

    def open_epoch(self, retryable: Retryable, writer_id: bytes) -> None:
        run_id, epoch = retryable.run.run_id, retryable.epoch
        holder = holder_here(writer_id, self._ledger)
        with self._ledger.decide() as tx:
            open_epoch(tx, run_id, epoch, holder, self._proof, why="retry", lease_s=self._lease_s)
        self._holding = Holding(self._home, self._ledger, run_id, epoch, writer_id, self._lease_s)

    def runs_of(self, flow_run_id: bytes) -> Mapping[bytes, Earlier]:
        with self._ledger.read() as tx:
            return queries.earlier_runs_of(tx, flow_run_id)

    def _fold(self) -> None:
        # What is done already has to be known in full, however long that takes.
        with self._ledger.decide():
            pass  # whoever holds the ledger is waited for, as long as a write waits, and named
        before = None
        while True:
            taken = take_in(self._home, self._ledger, _WAIT_S)
            behind, self._troubles = taken.behind, taken.troubles
            if not behind:
                return
            if before is not None and behind >= before:
                raise Unavailable(
                    f"{behind:,} facts are not taken in, and what is done already may be among them.",
                    do="Try again in a moment.",
                )
            before = behind

    @contextmanager
    def _telling_troubles(self) -> Iterator[None]:
        """What is not found may be in a piece of the journal that could not be read: that is told with it."""
        try:
            yield
        except NotFound as error:
            if not self._troubles:
                raise
            raise NotFound(f"{error.what} {self._troubles[0]}", do=error.do) from error

    def _checked(self, tx: Any, flow_run_id: bytes, from_task: str | None, anew: bool) -> Retryable:
        found, parent_id = queries.retryable_of(tx, flow_run_id)
        run = found.run
        if parent_id is not None:
            raise Refused(
                f"Flow run {run.name!r} is a part of another, with which it is started again.",
                do=f"Retry that one: surefoot flow-run retry {to_text(parent_id)}",
            )
        if run.state_type is COMPLETED and from_task is None:
            raise Refused(
                f"Flow run {run.name!r} completed: there is nothing left to do in it.",
                do="Start a new run by calling the flow, or name a task to run again from: --from-task NAME.",
            )
        if run.state_type not in FINAL:
            raise Refused(
                f"Flow run {run.name!r} is {run.state_name}: it has not ended.",
                do=f"Wait for its end: surefoot flow-run watch {run.name}",
            )
        again = {} if from_task is None else queries.asked_again(tx, flow_run_id, run.name, from_task)
        found = replace(found, epoch=next_epoch(tx, flow_run_id, self._proof), again=again)
        if self._ledger.home_id is not None and not anew:
            refuse_results_elsewhere(tx, self._home, self._ledger.home_id, found)
        return found
