"""Crashes: of runs whose process died, whoever ends them in the ledger tells those who are to be told, once.

What is to be told is written down before the runs are ended, and held; afterwards it is let go. So a reader that dies
in between leaves it to the next one. Keeps promise 1 for those who do not look. May import: notify (late), ledger,
journal, core.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING

from surefoot.core import settings
from surefoot.core.ids import to_text
from surefoot.core.os.host import host_name
from surefoot.core.states import StateType, is_final
from surefoot.core.wire import FlowRun, FlowRunFilter, TaskRunFilter
from surefoot.journal.home import Home
from surefoot.journal.wills import read_will
from surefoot.ledger import Ledger, queries

if TYPE_CHECKING:
    from surefoot.notify.notices import Notice, Rules
    from surefoot.notify.outbox import Outbox

__all__ = ["Crashes"]


class Crashes:
    """What one reader finds of crashed runs in a home. To be used by whoever folds alone.

    Attributes:
        found: the outermost flow runs that were ended now, and whose process died.
    """

    def __init__(self, home: Home, ledger: Ledger) -> None:
        self._home = home
        self._ledger = ledger
        self._ids: list[bytes] = []
        self.found: list[FlowRun] = []

    def foresee(self, writer_id: bytes, folder: str | None) -> None:
        """A writer is dead, and its open runs are about to be ended."""
        with self._ledger.read() as tx:
            ids = queries.outermost_open_of(tx, writer_id)
            if not ids:
                return
            runs = queries.list_flow_runs(tx, FlowRunFilter(id=list(map(to_text, ids))), limit=len(ids)).results
        self._ids += ids
        rules = _rules(None if folder is None else read_will(folder))
        if rules is None:
            return
        outbox = _outbox(self._home)
        for run in runs:
            urls = rules.targets("crash", run.flow_name, run.tags)
            if urls:
                try:
                    outbox.put(self._notice(run, writer_id), urls, held=True)
                except OSError:
                    return  # no room: `surefoot watch` and every list still show it

    def _notice(self, run: FlowRun, writer_id: bytes) -> Notice:
        from surefoot.notify.notices import Notice

        with self._ledger.read() as tx:
            on = queries.list_task_runs(
                tx, TaskRunFilter(flow_run_id=[run.id], state_type=[StateType.RUNNING]), limit=1
            )
        current = settings.current()
        return Notice(
            id=f"{run.id.replace('-', '')}-{run.epoch}",
            event="crash",
            flow=run.flow_name,
            at_us=0,
            run=run.name,
            run_id=run.id,
            task=next((task.name for task in on.results), ""),
            began_us=int(run.start_time.timestamp() * 1e6) if run.start_time is not None else 0,
            host=host_name(),
            home=self._home.path if current.source_of("home") is not None else "",
            can_go_on=run.start is not None,
            writer=writer_id.hex(),
        )

    def tell(self, is_alive: Callable[[bytes], bool]) -> None:
        """Runs were ended: let go what was written down of these, by this reader or by one that died.

        Also what processes that died just as a run of theirs failed could no longer tell.

        Args:
            is_alive: whether a writer may be alive, and tells of itself.
        """
        if self._ids:
            self.found += [run for run in self._ended(self._ids) if run.state_type is StateType.CRASHED]
            self._ids = []
        if not os.path.isdir(os.path.join(self._home.path, "notices", "outbox")):
            return
        outbox = _outbox(self._home)
        held = {entry.name: entry for entry in outbox.held()}
        if not held:
            return
        runs = {run.id: run for run in self._ended([bytes.fromhex(name.partition("-")[0]) for name in held])}
        for name, entry in held.items():
            run = runs.get(entry.notice.run_id)
            if is_alive(bytes.fromhex(entry.notice.writer)):
                continue
            if run is None or (not is_final(run.state_type) and name.endswith(f"-{run.epoch}")):
                continue  # there was no time for it; the next reader comes to it
            if run.state_type in (StateType.CRASHED, StateType.FAILED) and run.end_time is not None:
                notice = entry.notice
                notice.event = "crash" if run.state_type is StateType.CRASHED else "failure"
                notice.reason = run.reason or run.state.message or ""
                notice.at_us = int(run.end_time.timestamp() * 1e6)
                notice.took_s = 0.0 if run.state.state_details.get("presumed") else run.total_run_time
                _tell(self._home, notice, entry.urls)
            outbox.drop_held(name)

    def _ended(self, ids: list[bytes]) -> list[FlowRun]:
        with self._ledger.read() as tx:
            return queries.list_flow_runs(tx, FlowRunFilter(id=list(map(to_text, ids))), limit=len(ids)).results


def _rules(will: bytes | None) -> Rules | None:
    """Whom the dead process wanted to be told; if it left nothing, whom this one would tell."""
    current = settings.current()
    notify = current.notify
    if will is None and not (notify.on_failure or notify.on_crash or notify.flows or notify.tags):
        return None
    from surefoot.notify.notices import rules_of, rules_within

    return (None if will is None else rules_within(will)) or rules_of(current)


def _outbox(home: Home) -> Outbox:
    from surefoot.notify.outbox import Outbox

    return Outbox(home.path)


def _tell(home: Home, notice: Notice, urls: list[str]) -> None:
    from surefoot.notify.desk import tell_these
    from surefoot.notify.notices import rules_of

    tell_these(home.path, rules_of(settings.current()), notice, urls)
