"""The embedded client: straight on the ledger, in this process. Every read folds first.

A home that cannot be written is read all the same, from a copy of its ledger.

May import: ledger, results, journal, core.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

from msgspec.structs import replace

from surefoot.client.folding import TakenIn, take_in
from surefoot.client.ledgers import ledger_of
from surefoot.client.limits import LimitsHere
from surefoot.client.neighbours import home_of_writer
from surefoot.client.variables import set_in, unset_in
from surefoot.core.clock import get_clock
from surefoot.core.errors import HomeUnwritable, SurefootError
from surefoot.core.os.host import host_name, user_at_host, user_name
from surefoot.core.variables import By, checked_name
from surefoot.core.wire import (
    Artifact,
    ArtifactFilter,
    Asset,
    Deleted,
    Explanation,
    FailureGroups,
    Flow,
    FlowFilter,
    FlowRun,
    FlowRunFilter,
    Limit,
    LimitPlace,
    Lineage,
    Log,
    LogFilter,
    Materialization,
    Page,
    Request,
    RunCounts,
    RunResult,
    SortFlowRuns,
    SortFlows,
    SortLogs,
    SortTaskRuns,
    State,
    TaskRun,
    TaskRunFilter,
    Variable,
    VariableChange,
    VariableFilter,
)
from surefoot.journal.commands import CANCEL, Command, send
from surefoot.journal.home import Home
from surefoot.ledger import Ledger, LedgerCopy, Removed, queries
from surefoot.ledger.decisions.deletion import count_below, delete_artifacts
from surefoot.ledger.decisions.requests import ask_to_cancel
from surefoot.ledger.queries.rows import id_bytes, ids_bytes, instant
from surefoot.ledger.removal import Removal
from surefoot.results import cleaning, contents

__all__ = ["EmbeddedClient"]

_BUSY_S_MIN: Final = 2.0  # how long a ledger that another process writes into is waited for, at least

T = TypeVar("T")


class EmbeddedClient:
    """A `Client` for a home and its ledger, which are made if they are not there.

    Args:
        home: the folder.
        wait_s: how long a read may spend on taking in what is new; the rest is told as `behind`.
        busy_s: how long a change waits for another process that writes into the ledger; a read waits `wait_s` or 2 s.
        url: the ledger's database, which other homes may use too; None for a file in the home.
    """

    def __init__(self, home: str | Path, *, wait_s: float = 2.0, busy_s: float = 30.0, url: str | None = None) -> None:
        self._home = Home(str(home))
        self._wait_s = wait_s
        self._busy_s = min(max(wait_s, _BUSY_S_MIN), busy_s)
        self._change_busy_s = busy_s
        self._url = url
        self._changing: Ledger | None = None  # the same ledger, for changes
        self._behind = 0
        self._troubles: list[str] = []
        self._neighbours: dict[str, Home] = {}  # whose runs were asked to stop: how they end stands in their journals
        self._copy: LedgerCopy | None = None
        self._why_copy: HomeUnwritable | None = None  # why nothing can be changed
        try:
            self._home.ensure()
            self._ledger = ledger_of(self._home, url, busy_s=self._busy_s)
        except HomeUnwritable as error:
            if url is not None or not os.path.isdir(self._home.writers_path):
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
        self._why_copy = error
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

    def failures(self, flow_run_id: str) -> FailureGroups:
        """What failed in a flow run, by what went wrong."""
        return self._ask(lambda tx: queries.list_failures(tx, flow_run_id))

    def find_flow_run(self, reference: str) -> FlowRun:
        """The flow run that goes by an id, a prefix of one, or a name."""
        return self._ask(lambda tx: queries.find_flow_run(tx, reference))

    def find_task_run(self, reference: str) -> TaskRun:
        """The task run that goes by an id, a prefix of one, or a name."""
        return self._ask(lambda tx: queries.find_task_run(tx, reference))

    def find_run(self, reference: str) -> FlowRun | TaskRun:
        """The flow run or task run that goes by `reference`."""
        return self._ask(lambda tx: queries.find_run(tx, reference))

    def results(self, flow_run_id: str, *, limit: int = 200, after: str | None = None) -> Page[RunResult]:
        """A page of the results of a flow run and its task runs that are kept or stored."""
        return self._page(lambda tx: queries.list_results(tx, flow_run_id, limit=limit, after=after))

    def find_result(self, reference: str) -> RunResult:
        """Where the result of a run is."""
        return self._ask(lambda tx: queries.find_result(tx, reference))

    def why(self, reference: str) -> Explanation:
        """Why a run is as it is."""
        return self._ask(lambda tx: queries.explain(tx, reference))

    def cancel_flow_run(self, run_id: str) -> Request:
        """Ask a flow run to stop, and all that it started."""
        return self._cancel(run_id, is_task=False)

    def cancel_task_run(self, run_id: str) -> Request:
        """Ask one task run to stop."""
        return self._cancel(run_id, is_task=True)

    def _cancel(self, run_id: str, *, is_task: bool) -> Request:
        ledger = self._ledger_to_change()  # the run's process may have died: then there is nothing to cancel
        raw, now_us = id_bytes(run_id), get_clock().now_us()
        who = f"{user_name()} (pid {os.getpid()} on {host_name() or 'this machine'})"
        with ledger.decide() as tx:
            asked = ask_to_cancel(tx, raw, who, now_us, is_task=is_task)
            home = home_of_writer(tx, self._home, ledger.home_id, asked.writer_id, raw)  # else nothing is asked
        command = Command(
            kind=CANCEL, run_id=raw.hex(), is_task=is_task, asked_by=asked.asked_by, asked_us=asked.asked_us
        )
        # If its process has ended meanwhile nobody reads that, and the next read ends the run.
        if home is not self._home:
            self._neighbours[home.path] = home
        send(os.path.join(home.writers_path, asked.writer_id.hex()), command)
        return Request(kind=CANCEL, asked_by=asked.asked_by, asked=instant(asked.asked_us))

    def count_below(self, flow_run_ids: Sequence[str] = (), task_run_ids: Sequence[str] = ()) -> Deleted:
        """What the deletion of these runs would take with it."""
        flow_runs, task_runs = ids_bytes(flow_run_ids), ids_bytes(task_run_ids)
        return _deleted(self._ask(lambda tx: count_below(tx, flow_runs, task_runs)))

    def delete_flow_runs(self, ids: Sequence[str]) -> Deleted:
        """Delete flow runs with all that is theirs. Raises NotFound and Refused."""
        return self._delete(Ledger.delete_flow_runs, ids)

    def delete_task_runs(self, ids: Sequence[str]) -> Deleted:
        """Delete task runs with all that is theirs. Raises NotFound and Refused."""
        return self._delete(Ledger.delete_task_runs, ids)

    def _delete(self, delete: Callable[[Ledger, Sequence[bytes]], Removal], ids: Sequence[str]) -> Deleted:
        removal = delete(self._ledger_to_change(), ids_bytes(ids))
        for run_id in removal.flow_runs:
            try:
                cleaning.remove(self._home.path, run_id)
            except OSError as error:
                self._troubles.append(f"Results of a deleted run stay: {error}. Try: surefoot results gc")
        self._remove_data(removal.places)
        return _deleted(removal.removed)

    def _remove_data(self, of_artifacts: Sequence[str]) -> None:
        for place in of_artifacts:
            try:
                contents.remove(place)
            except OSError as error:
                self._troubles.append(f"The data of a deleted artifact stays in {place}: {error.strerror or error}.")

    def artifacts(
        self,
        where: ArtifactFilter | None = None,
        *,
        latest: bool = False,
        limit: int = 200,
        after: str | None = None,
    ) -> Page[Artifact]:
        """A page of artifacts."""
        ask = queries.latest_artifacts if latest else queries.list_artifacts
        return self._page(lambda tx: ask(tx, where, limit=limit, after=after))

    def find_artifact(self, reference: str, version: int | None = None) -> Artifact:
        """The artifact that goes by a key, an id, or a prefix of one."""
        return self._ask(lambda tx: queries.find_artifact(tx, reference, version))

    def artifact_content(self, artifact_id: str) -> bytes:
        """The data of an artifact."""
        raw, place, size, crc = self._ask(lambda tx: queries.artifact_content(tx, id_bytes(artifact_id)))
        return contents.read(place, size, crc) if raw is None and place is not None else raw or b""

    def delete_artifacts(self, ids: Sequence[str]) -> int:
        """Delete artifacts with their data."""
        ledger = self._ledger_to_change()
        with ledger.decide() as tx:
            count, left = delete_artifacts(tx, ids_bytes(ids), get_clock().now_us())
        self._remove_data(left)
        return count

    def _ledger_to_change(self) -> Ledger:
        """The ledger, with all taken in, for what changes it: that waits longer for others than what only reads.

        Raises LedgerBusy, and HomeUnwritable where there is but a copy of it.
        """
        if self._why_copy is None:
            with self._writable().decide():
                pass  # from here on nobody holds it, so that what follows can take in all
        self._take_in()
        if self._changing is None or self._why_copy is not None:
            assert self._why_copy is not None
            raise self._why_copy
        return self._changing

    def limits(self, *, limit: int = 200, after: str | None = None) -> Page[Limit]:
        """A page of limits, by name."""
        self._tidy_limits(None)
        with self._ledger.read() as tx:
            return queries.list_limits(tx, limit=limit, after=after)

    def find_limit(self, name: str) -> Limit:
        """The limit of that name."""
        self._tidy_limits(name)
        with self._ledger.read() as tx:
            return queries.find_limit(tx, name)

    def limit_places(
        self, name: str, *, waiting: bool = False, limit: int = 200, after: str | None = None
    ) -> Page[LimitPlace]:
        """A page of those who hold slots of a limit, or of those who wait for some."""
        self._tidy_limits(name)
        with self._ledger.read() as tx:
            return queries.list_limit_places(tx, name, waiting=waiting, limit=limit, after=after)

    def set_limit(
        self,
        name: str,
        slots: int | None = None,
        *,
        interval_us: int | None = None,
        active: bool | None = None,
        new: bool = False,
        keeps_rate: bool = False,
    ) -> Limit:
        """Make a limit, or change it."""
        self._writable_limits().set(name, slots, interval_us, active, is_new=new, keeps_rate=keeps_rate)
        return self.find_limit(name)

    def delete_limit(self, name: str) -> None:
        """Delete a limit."""
        self._writable_limits().delete(name)

    def _tidy_limits(self, name: str | None) -> None:
        if self._why_copy is None:
            LimitsHere(self._home, self._ledger).tidy(name)

    def _writable_limits(self) -> LimitsHere:
        return LimitsHere(self._home, self._writable())

    def variables(
        self, where: VariableFilter | None = None, *, limit: int = 200, after: str | None = None
    ) -> Page[Variable]:
        """A page of variables, by name."""
        return self._look(lambda tx: queries.list_variables(tx, where, limit=limit, after=after))

    def find_variable(self, name: str) -> Variable:
        """The variable of that name."""
        name = checked_name(name)
        return self._look(lambda tx: queries.find_variable(tx, name))

    def variable_changes(self, name: str, *, limit: int = 200, after: str | None = None) -> Page[VariableChange]:
        """A page of what became of a variable."""
        name = checked_name(name)
        return self._look(lambda tx: queries.list_variable_changes(tx, name, limit=limit, after=after))

    def set_variable(
        self, name: str, value: Any, *, tags: Collection[str] | None = None, overwrite: bool = False
    ) -> Variable:
        """Set a variable."""
        return set_in(self._writable(), name, value, tags, By(user_at_host()), overwrite=overwrite)

    def unset_variable(self, name: str) -> bool:
        """Remove a variable."""
        return unset_in(self._writable(), name, By(user_at_host()))

    def _writable(self) -> Ledger:
        """The ledger, for a decision that asks nothing of what was recorded. Raises HomeUnwritable for a copy."""
        if self._why_copy is not None:
            raise self._why_copy
        if self._changing is None:
            self._changing = ledger_of(self._home, self._url, busy_s=self._change_busy_s)
        return self._changing

    def _look(self, ask: Callable[[Any], T]) -> T:
        """What is asked of the ledger about things that do not stand in the journal."""
        self._renew_copy()
        with self._ledger.read() as tx:
            return ask(tx)

    def assets(self, *, like: str | None = None, limit: int = 200, after: str | None = None) -> Page[Asset]:
        """A page of assets, by key."""
        return self._page(lambda tx: queries.list_assets(tx, like=like, limit=limit, after=after))

    def find_asset(self, reference: str) -> Asset:
        """The asset of that key, or the only one whose key contains it."""
        return self._ask(lambda tx: queries.find_asset(tx, reference))

    def materializations(self, reference: str, *, limit: int = 200, after: str | None = None) -> Page[Materialization]:
        """A page of the runs that made an asset, or tried to."""
        return self._page(lambda tx: queries.list_materializations(tx, reference, limit=limit, after=after))

    def lineage(
        self, reference: str, *, up: int | None = None, down: int | None = None, earlier: bool = False
    ) -> Lineage:
        """What an asset rests on, and what rests on it."""
        return self._ask(lambda tx: queries.lineage_of(tx, reference, up=up, down=down, earlier=earlier))

    def delete_asset(self, key: str) -> None:
        """Delete what is recorded of an asset."""
        ledger = self._ledger_to_change()
        with ledger.read() as tx:
            asset_id = queries.asset_id(tx, key)
        ledger.delete_asset(asset_id)

    def close(self) -> None:
        """Let go of the ledger."""
        self._ledger.close()
        if self._changing is not None:
            self._changing.close()
            self._changing = None
        if self._copy is not None:
            self._copy.close()

    def _page(self, ask: Callable[[Any], Page[T]]) -> Page[T]:
        page = self._ask(ask)
        return replace(page, behind=self._behind) if self._behind else page

    def _ask(self, ask: Callable[[Any], T]) -> T:
        self._take_in()
        with self._ledger.read() as tx:
            return ask(tx)

    def _take_in(self) -> None:
        self._renew_copy()
        try:
            taken = self._taken()
        except HomeUnwritable as error:
            if self._copy is not None:
                raise
            self._ledger.close()
            self._read_a_copy(error)
            taken = self._taken()
        for home in self._neighbours.values():
            try:
                with ledger_of(home, self._url, busy_s=self._busy_s) as ledger:
                    take_in(home, ledger, self._wait_s, may_count=False)
            except (SurefootError, OSError):
                continue  # it is folded there
        self._behind = taken.behind
        self._tell(*taken.troubles)

    def _taken(self) -> TakenIn:
        return take_in(self._home, self._ledger, self._wait_s, is_copy=self._copy is not None)

    def _tell(self, *troubles: str) -> None:
        self._troubles += [trouble for trouble in troubles if trouble not in self._troubles]


def _deleted(removed: Removed) -> Deleted:
    return Deleted(
        flow_runs=removed.flow_runs, task_runs=removed.task_runs, logs=removed.logs, artifacts=removed.artifacts
    )
