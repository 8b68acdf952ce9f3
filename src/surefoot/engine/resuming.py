"""Resuming: a flow run that is started again, and what of it is done already. Keeps promises 5 and 13.

Every task run and subflow run of it is found by its key. One that completed, with the code and the inputs of today, is
not called again: its value is read from where it was kept. All else runs, and says why. May import: core, results.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final, Protocol

import msgspec
from msgspec.structs import replace

from surefoot.core import ports
from surefoot.core.errors import MissingResult, Refused
from surefoot.core.facts import ResultAt
from surefoot.core.ids import to_text
from surefoot.core.ports import Earlier, EarlierRuns, Retryable
from surefoot.core.states import CANCELLED, COMPLETED, CRASHED, FAILED, SKIPPED

if TYPE_CHECKING:
    from surefoot.engine.definition import Definition
    from surefoot.engine.effects import Verdict
    from surefoot.engine.execution import Execution
    from surefoot.engine.session import Session
    from surefoot.results.loading import Loader

__all__ = [
    "Kept",
    "Replay",
    "Restart",
    "Resuming",
    "RunsTold",
    "Told",
    "expected_restart",
    "loading",
    "refuse_other",
    "restart_of",
]

RunsTold = dict[bytes, dict[bytes, Earlier]]  # flow run -> the runs in it that another process is to know, by key


class Kept(msgspec.Struct, frozen=True):
    """A value that was kept, and where."""

    value: Any
    at: ResultAt


class Replay(Protocol):
    """Runs one task of a flow run again; all else of it is only read. See `replaying.py`."""

    rules: Any
    runner: Any

    def look_up(self, execution: Execution, resuming: Resuming) -> Verdict | str | None: ...


class Restart:
    """That a flow run is to be started again, by the next call of its flow.

    Args:
        retryable: the run.
        parameters: as they are to be now.
        module: stands in for the `__main__` that values of it were kept in.
    """

    __slots__ = ("execution", "module", "parameters", "replay", "retryable")

    def __init__(self, retryable: Retryable, parameters: Mapping[str, Any], module: ModuleType | None = None) -> None:
        self.retryable = retryable
        self.parameters = parameters
        self.module = module
        self.execution: Execution | None = None  # once it has begun
        self.replay: Replay | None = None


class Runs(Protocol):
    """Who knows the earlier runs of flow runs: of `EarlierRuns`, what is asked while a run is on."""

    def runs_of(self, flow_run_id: bytes) -> Mapping[bytes, Earlier]: ...
    def give_up(self) -> None: ...
    def close(self) -> None: ...


class Told:
    """Earlier runs as another process has told them."""

    def __init__(self, runs: RunsTold) -> None:
        self._runs = runs

    def runs_of(self, flow_run_id: bytes) -> Mapping[bytes, Earlier]:
        return self._runs.get(flow_run_id, {})

    def give_up(self) -> None:
        """That is for its owner to tell."""

    def close(self) -> None:
        """There is nothing to let go of."""


class Resuming:
    """What a flow run that is started again knows of its earlier epochs, and all runs in it.

    Args:
        epoch: that it is in now.
        runs: who knows its earlier runs.
        values: where those are that were kept.
        made: takes, of runs whose values are taken over, the epoch that made these.
        again: runs that are to be called again although they completed, and why.
        keeps: whether the settings have results kept for resuming.
    """

    __slots__ = ("_again", "_by_parent", "_keeps", "_runs", "_values", "epoch", "made", "replay")

    def __init__(
        self,
        epoch: int,
        runs: Runs,
        values: Loader,
        made: dict[bytes, int],
        again: Mapping[bytes, str] | None = None,
        *,
        keeps: bool = True,
    ) -> None:
        self.epoch = epoch
        self.made = made
        self.replay: Replay | None = None
        self._runs = runs
        self._values = values
        self._again = again or {}
        self._keeps = keeps
        self._by_parent: dict[bytes, dict[bytes, dict[bytes, Earlier]]] = {}

    @classmethod
    def begin(cls, restart: Restart, session: Session) -> Resuming:
        """Open the epoch. Raises Refused if another process was faster; nothing has been recorded then."""
        from surefoot.results.loading import Loader

        runs: EarlierRuns = ports.earlier_runs()
        if restart.replay is not None:
            found = cls(restart.retryable.run.epoch, runs, Loader(session.settings.get("home"), restart.module), {})
            found.replay = restart.replay
            return found
        try:
            runs.open_epoch(restart.retryable, session.recorder.writer_id)
        except BaseException:
            runs.close()
            raise
        values = Loader(session.settings.get("home"), restart.module)
        keeps = bool(session.settings.get("results.keep_for_resuming"))
        return cls(restart.retryable.epoch, runs, values, {}, restart.retryable.again, keeps=keeps)

    def runs_of(self, flow_run_id: bytes) -> Mapping[bytes, Earlier]:
        """The earlier task runs and subflow runs of a flow run, by their keys."""
        runs, again = self._runs.runs_of(flow_run_id), self._again
        if not again:
            return runs
        return {key: replace(run, asked=again[run.run_id]) if run.run_id in again else run for key, run in runs.items()}

    def within(self, flow_run_id: bytes, runs: Mapping[bytes, Earlier], task_run_id: bytes) -> RunsTold:
        """The earlier runs within a task run of a flow run, however deep, for another process to know.

        Args:
            flow_run_id, runs: the flow run, and the earlier runs in it.
            task_run_id: the task run.
        """
        by_parent = self._by_parent.get(flow_run_id)
        if by_parent is None:
            by_parent = {}
            for key, run in runs.items():
                if run.parent_id is not None:
                    by_parent.setdefault(run.parent_id, {})[key] = run
            self._by_parent[flow_run_id] = by_parent
        found: dict[bytes, Earlier] = {}
        left = [task_run_id]
        while left:
            called = by_parent.get(left.pop(), {})
            found |= called
            left += [run.run_id for run in called.values() if run.is_task]
        return self._with_subflows(flow_run_id, found) if found else {}

    def _with_subflows(self, flow_run_id: bytes, runs: Mapping[bytes, Earlier]) -> RunsTold:
        told: RunsTold = {flow_run_id: dict(runs)}
        for run in runs.values():
            if not run.is_task:
                told |= self._with_subflows(run.run_id, self.runs_of(run.run_id))
        return told

    def give_up(self) -> None:
        """The run is not begun after all; nothing was recorded."""
        self._runs.give_up()
        self._values.close()

    def end(self) -> None:
        """The flow run has ended."""
        self._runs.close()
        self._values.close()

    def look_up(self, earlier: Earlier, source: str, inputs: bytes | None, unkeyed: str | None) -> Kept | str | None:
        """The value of a run that completed and whose code and inputs are the same, or why it is called again.

        None: it never came to be called, so there is nothing to say.
        """
        if earlier.state_type is not COMPLETED:
            return _ENDS.get(earlier.state_type, "it had not ended") if earlier.run_count else None
        if earlier.state_name == SKIPPED:  # whether it is skipped is decided anew
            return "it had been skipped" if earlier.run_count else None
        at = earlier.result
        if earlier.asked is not None:
            return earlier.asked
        if unkeyed is not None:
            return f"it had completed, but {unkeyed}"
        if at is None or earlier.unkept is not None:
            return f"it had completed, but {self._why_unkept(earlier)}"
        if at.source != source:
            return "its code was changed since it completed"
        if not made_alike(at.inputs, inputs):
            return "what it is made from was made anew"
        return self._load(earlier, at)

    def recorded(self, earlier: Earlier) -> Kept | str:
        """The value that a run completed with, whatever its code and inputs are today; or why there is none."""
        if earlier.state_type is not COMPLETED:
            return _ENDS.get(earlier.state_type, "it had not ended")
        if earlier.result is None or earlier.unkept is not None:
            return f"it had completed, but {self._why_unkept(earlier)}"
        return self._load(earlier, earlier.result)

    def _why_unkept(self, earlier: Earlier) -> str:
        if earlier.unkept is not None:
            return earlier.unkept
        return "its result was not kept" if self._keeps else "results are not kept (results.keep_for_resuming=false)"

    def _load(self, earlier: Earlier, at: ResultAt) -> Kept | str:
        try:
            value = self._values.load(at, to_text(earlier.run_id))
        except MissingResult as error:
            return f"it had completed, but {error.what[0].lower()}{error.what[1:].rstrip('.')}"
        self.made[earlier.run_id] = at.epoch
        return Kept(value, at)


def made_alike(one: bytes | None, other: bytes | None) -> bool:
    """Whether what two runs were made from, as `Execution.made_from` tells it, is the same.

    A fingerprint may be another because something was only looked at (caches). So it counts only where the code that
    called the run was changed too: it may change what it passes on in another way now.
    """
    if one is None or other is None or len(one) != len(other) or len(one) == _HASH:
        return one == other
    same_fingerprint, same_caller = one[_HASH:-_HASH] == other[_HASH:-_HASH], one[-_HASH:] == other[-_HASH:]
    return one[:_HASH] == other[:_HASH] and (same_fingerprint or same_caller)


_HASH: Final = 16
_ENDS: Final = {FAILED: "it had failed", CRASHED: "it had crashed", CANCELLED: "it had been cancelled"}


def restart_of(
    flow: Definition, retryable: Retryable, home: str, given: Mapping[str, Any], module: ModuleType | None = None
) -> Restart:
    """The restart of a flow run by a flow, with its parameters as they were, but for those `given`.

    Raises Refused if it is another flow's run, or a parameter could not be kept.
    """
    name = retryable.run.name
    if flow.name != retryable.flow_name:
        raise Refused(
            f"Flow run {name!r} is a run of {retryable.flow_name!r}, and this is {flow.name!r}.",
            do="Call retry on the flow that it is a run of.",
        )
    call = f"{getattr(flow.fn, '__name__', 'my_flow')}.retry({to_text(retryable.run.run_id)!r}"
    is_bound = bool(flow._bound)
    lost = {
        parameter: why
        for parameter, why in retryable.unkept.items()
        if parameter not in given and not (is_bound and parameter == "self")
    }
    if lost:
        parameter, why = next(iter(lost.items()))
        why = why.replace("its result", "it", 1)  # whoever keeps values takes all of them for results
        raise Refused(
            f"Parameter {parameter!r} of flow run {name!r} could not be kept: {why}.",
            do=f"Pass it: {call}, parameters={{{parameter!r}: ...}})",
        )
    parameters: dict[str, Any] = msgspec.json.decode(retryable.parameters)
    if retryable.parameters_at is not None:
        from surefoot.results.loading import Loader

        try:
            with Loader(home, module) as values:
                parameters |= values.load(retryable.parameters_at)
        except MissingResult as error:
            if not parameters.keys() <= given.keys():
                raise Refused(
                    f"The parameters of flow run {name!r} cannot be read again: {error.what}",
                    do=f"Pass them: {call}, parameters={{...}})",
                ) from error
    known = set(flow.parameter_names)
    unknown = [parameter for parameter in given if parameter not in known]
    if unknown and not flow.open_ended:
        raise Refused(
            f"Flow {flow.name!r} has no parameter {unknown[0]!r}.", do=f"It has {', '.join(known) or 'none'}."
        )
    kept = {parameter: value for parameter, value in parameters.items() if parameter in known or flow.open_ended}
    return Restart(retryable, kept | dict(given), module)


# -- while the file of a flow is loaded to start a run of it again

_expected: Callable[[Definition], Restart] | None = None
_begun = False


@contextmanager
def loading(make: Callable[[Definition], Restart]) -> Iterator[None]:
    """While the body runs, a flow that nothing of ours calls is asked about at `make`, which gives its restart, or
    refuses it. A second such call is refused.
    """
    global _expected, _begun
    _expected, _begun = make, False
    try:
        yield
    finally:
        _expected = None


def expected_restart(flow: Definition) -> Restart | None:
    """The restart that this call of a flow is, if its file is being loaded for that. Raises Refused if not for it."""
    global _begun
    if _expected is None:
        return None
    if _begun:
        raise _called_while_loading(flow)
    restart = _expected(flow)
    _begun = True
    return restart


def _called_while_loading(flow: Definition) -> Refused:
    return Refused(
        f"Flow {flow.name!r} is called when its file is loaded, which was done to start another run again.",
        do='Put that call under `if __name__ == "__main__":`.',
    )


def refuse_other(flow: Definition, retryable: Retryable) -> None:
    """Raise Refused if a call of this flow, while a file is loaded, is not of the run that is to be started again."""
    start = retryable.start
    if flow.name != retryable.flow_name or (
        start is not None and getattr(flow.fn, "__qualname__", None) != start.qualname
    ):
        raise _called_while_loading(flow)
