"""The embedded client: straight on the ledger of a home, in this process. Every read folds first.

A home that cannot be written is read all the same, from a copy of its ledger.

May import: ledger, journal, core.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

from msgspec.structs import replace

from surefoot.client.folding import TakenIn, take_in
from surefoot.core.errors import HomeUnwritable
from surefoot.core.wire import (
    Explanation,
    Flow,
    FlowFilter,
    FlowRun,
    FlowRunFilter,
    Log,
    LogFilter,
    Page,
    RunCounts,
    SortFlowRuns,
    SortFlows,
    SortLogs,
    SortTaskRuns,
    State,
    TaskRun,
    TaskRunFilter,
)
from surefoot.journal.home import Home
from surefoot.ledger import Ledger, LedgerCopy, queries

__all__ = ["EmbeddedClient"]

_BUSY_S_MIN: Final = 2.0  # how long a ledger that another process writes into is waited for, at least

T = TypeVar("T")


class EmbeddedClient:
    """A `Client` for the ledger of a home, which is made if it is not there.

    Args:
        home: the folder.
        wait_s: how long a read may spend on taking in what is new; the rest is told as `behind`.
        busy_s: how long another process that writes into the ledger is waited for, at most.
    """

    def __init__(self, home: str | Path, *, wait_s: float = 2.0, busy_s: float = 30.0) -> None:
        self._home = Home(str(home))
        self._wait_s = wait_s
        self._busy_s = min(max(wait_s, _BUSY_S_MIN), busy_s)
        self._behind = 0
        self._troubles: list[str] = []
        self._copy: LedgerCopy | None = None
        try:
            self._home.ensure()
            self._ledger = Ledger.open(self._home.ledger_path, busy_s=self._busy_s)
        except HomeUnwritable as error:
            if not os.path.isdir(self._home.writers_path):
                raise
            self._read_a_copy(error)

    def _read_a_copy(self, error: HomeUnwritable) -> None:
        """What cannot be written can still be read: from a copy elsewhere, into which the journal is folded."""
        try:
            self._copy = LedgerCopy(Path(self._home.ledger_path))
            self._ledger = Ledger.open(self._copy.path, busy_s=self._busy_s)
        except (OSError, HomeUnwritable):
            if self._copy is not None:
                self._copy.close()
            raise error from None
        self._tell(f"{error} Until then this is read from a copy, which changes nothing.")

    def _renew_copy(self) -> None:
        """Another process, which may write there, has taken in more."""
        if self._copy is not None and self._copy.is_old():
            self.close()
            self._copy = LedgerCopy(Path(self._home.ledger_path))
            self._ledger = Ledger.open(self._copy.path, busy_s=self._busy_s)

    @property
    def behind(self) -> int:
        """How many facts, recorded before it was asked, the last answer did not know of."""
        return self._behind

    @property
    def troubles(self) -> Sequence[str]:
        """What could not be read of the journal so far, a sentence each."""
        return self._troubles

    def flows(
        self,
        where: FlowFilter | None = None,
        *,
        sort: SortFlows = "NAME_ASC",
        limit: int = 200,
        after: str | None = None,
    ) -> Page[Flow]:
        """A page of flows."""
        return self._page(lambda tx: queries.list_flows(tx, where, sort=sort, limit=limit, after=after))

    def flow_runs(
        self,
        where: FlowRunFilter | None = None,
        *,
        sort: SortFlowRuns = "ID_DESC",
        limit: int = 200,
        after: str | None = None,
    ) -> Page[FlowRun]:
        """A page of flow runs."""
        return self._page(lambda tx: queries.list_flow_runs(tx, where, sort=sort, limit=limit, after=after))

    def task_runs(
        self,
        where: TaskRunFilter | None = None,
        *,
        sort: SortTaskRuns = "ID_DESC",
        limit: int = 200,
        after: str | None = None,
    ) -> Page[TaskRun]:
        """A page of task runs."""
        return self._page(lambda tx: queries.list_task_runs(tx, where, sort=sort, limit=limit, after=after))

    def logs(
        self,
        where: LogFilter | None = None,
        *,
        sort: SortLogs = "TIMESTAMP_ASC",
        limit: int = 200,
        after: str | None = None,
    ) -> Page[Log]:
        """A page of lines."""
        return self._page(lambda tx: queries.list_logs(tx, where, sort=sort, limit=limit, after=after))

    def states(self, run_id: str) -> Sequence[State]:
        """The whole history of a run, oldest first."""
        return self._ask(lambda tx: queries.list_states(tx, run_id))

    def task_run_counts(self, where: TaskRunFilter) -> RunCounts:
        """How many task runs are in each state."""
        return self._ask(lambda tx: queries.count_task_runs(tx, where))

    def find_flow_run(self, reference: str) -> FlowRun:
        """The flow run that goes by an id, a prefix of one, or a name."""
        return self._ask(lambda tx: queries.find_flow_run(tx, reference))

    def find_task_run(self, reference: str) -> TaskRun:
        """The task run that goes by an id, a prefix of one, or a name."""
        return self._ask(lambda tx: queries.find_task_run(tx, reference))

    def find_run(self, reference: str) -> FlowRun | TaskRun:
        """The flow run or task run that goes by `reference`."""
        return self._ask(lambda tx: queries.find_run(tx, reference))

    def why(self, reference: str) -> Explanation:
        """Why a run is as it is."""
        return self._ask(lambda tx: queries.explain(tx, reference))

    def close(self) -> None:
        """Let go of the ledger's file."""
        if self._ledger is not None:
            self._ledger.close()
        if self._copy is not None:
            self._copy.close()

    def _page(self, ask: Callable[[Any], Page[T]]) -> Page[T]:
        page = self._ask(ask)
        return replace(page, behind=self._behind) if self._behind else page

    def _ask(self, ask: Callable[[Any], T]) -> T:
        self._renew_copy()
        try:
            taken = self._take_in()
        except HomeUnwritable as error:
            if self._copy is not None:
                raise
            self._ledger.close()
            self._read_a_copy(error)
            taken = self._take_in()
        self._behind = taken.behind
        self._tell(*taken.troubles)
        with self._ledger.read() as tx:
            return ask(tx)

    def _take_in(self) -> TakenIn:
        return take_in(self._home, self._ledger, self._wait_s, is_copy=self._copy is not None)

    def _tell(self, *troubles: str) -> None:
        self._troubles += [trouble for trouble in troubles if trouble not in self._troubles]
