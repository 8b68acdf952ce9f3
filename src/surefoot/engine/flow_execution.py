"""A flow run in the hands of this process: what its tasks share, and the pool that they are submitted to.

May import: execution, links, sources, tracebacks.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from surefoot.core.errors import MissingContextError
from surefoot.core.facts import FlowRunCreated, ResultAt, RunFact, RunStart
from surefoot.core.names import two_words
from surefoot.core.ports import Earlier
from surefoot.core.states import FINAL
from surefoot.engine.effects import Enter, NotReady, Raised
from surefoot.engine.execution import Execution
from surefoot.engine.kept import check_storage
from surefoot.engine.keys import Keys
from surefoot.engine.lifecycle import Life, flow_life
from surefoot.engine.links import Links
from surefoot.engine.losses import Losses, foretell
from surefoot.engine.recorded_parameters import is_json, parameters_json
from surefoot.engine.resuming import Restart, Resuming, RunsTold, expected_restart
from surefoot.engine.runs import FlowRun, Run
from surefoot.engine.scope import current
from surefoot.engine.session import Session, session
from surefoot.engine.sources import main_module, source_file, source_version
from surefoot.engine.telling import runner_broke
from surefoot.engine.tracebacks import SharedFrames
from surefoot.results.keeping import Keeper
from surefoot.results.pickling import bytes_of

if TYPE_CHECKING:
    from surefoot.core.settings import Settings
    from surefoot.engine.definition import Definition
    from surefoot.engine.lineage import Lineage
    from surefoot.engine.pool import Pool

__all__ = ["FlowExecution", "PoolMaker"]

_opening = threading.Lock()


def new_lineage() -> Lineage | None:
    """What follows assets from run to run; None where nothing of assets is loaded, so that nobody else pays for it."""
    loaded = sys.modules.get("surefoot.engine.lineage")
    return None if loaded is None else loaded.Lineage()


class PoolMaker(Protocol):
    """A task runner, as the engine sees it."""

    @property
    def takes_over(self) -> bool: ...
    def duplicate(self) -> PoolMaker: ...
    def open(self, settings: Settings, name: str) -> Pool: ...
    def __exit__(self, kind: Any, error: Any, traceback: Any) -> object: ...


class FlowExecution(Execution):
    """One run of a flow."""

    is_task = False
    view: ClassVar[type[Run]] = FlowRun

    __slots__ = (
        "_earlier_runs",
        "_indexes",
        "hidden",
        "keeper",
        "keys",
        "lineage",
        "links",
        "losses",
        "parameters_at",
        "pool",
        "resuming",
        "runner",
        "shared_frames",
        "unkept_parameters",
        "validate",
    )

    links: Links
    lineage: Lineage | None  # of assets, where something of them is loaded

    def __init__(
        self,
        flow: Definition,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        *,
        validate: Callable[[dict[str, Any]], dict[str, Any]] | None,
        hidden: frozenset[str],
        runner: PoolMaker,
        wait_for: Any = None,
        restart: Restart | None = None,
    ) -> None:
        parent = current()
        if restart is None and parent is None:
            restart = expected_restart(flow)
        parameters = dict(restart.parameters) if restart is not None else flow.bind(args, kwargs)
        found = session() if parent is None else parent.session
        outer = None if parent is None else parent.flow
        self.validate = validate
        self.runner = runner
        self.losses: Losses | None = None  # what failed in it, if it is outermost
        self.hidden = hidden  # parameters whose values are not recorded
        self.resuming: Resuming | None = None
        self.keeper: Keeper | None = None
        self.keys: Keys | None = None
        self._earlier_runs: Mapping[bytes, Earlier] = {}
        self.parameters_at: ResultAt | None = None
        self.unkept_parameters: dict[str, str] = {}
        if outer is not None:
            self.links, self.resuming, self.keeper = outer.links, outer.resuming, outer.keeper
            self.lineage = outer.lineage
        else:
            self.links, self.lineage = Links(), new_lineage()
            if restart is not None:
                self.resuming = Resuming.begin(restart, found)
        try:
            self._set_up(flow, parameters, parent, found, restart)
            self.look_for_inputs(wait_for)
        except BaseException:
            if outer is None and self.resuming is not None:
                self.resuming.give_up()
            raise

    def _set_up(
        self,
        flow: Definition,
        parameters: dict[str, Any],
        parent: Execution | None,
        found: Session,
        restart: Restart | None,
    ) -> None:
        outer = None if parent is None else parent.flow
        super().__init__(flow, (), parameters, parent, found)
        self.flow = self
        self._indexes: dict[str, int] = {}
        self.pool: Pool | None = None
        self.shared_frames = SharedFrames()
        if restart is not None and self.resuming is not None:
            self.epoch = self.resuming.epoch
            self.take_over(restart.retryable.run)
            self.tags |= frozenset(restart.retryable.tags)
            restart.execution = self
        elif outer is not None and outer.keys is not None and parent is not None:
            outer.keys.identify(self, (), parameters)
            outer.take_up(self)
        if outer is None:
            self.keeper = found.keeper(self.run_id)
            if self.keeper is not None:
                self._keep_parameters(self.keeper)
        replay = None if self.resuming is None else self.resuming.replay
        if replay is not None:
            self.runner = replay.runner
        if replay is not None or found.is_recording:
            self.keys = Keys(self.links)  # also where no result is kept: what is called again is shown as the same run
        if self.resuming is not None and self.earlier is not None:
            self._earlier_runs = self.resuming.runs_of(self.run_id)
        if self.earlier is None:
            self.run_name = two_words(int.from_bytes(self.run_id[8:], "big") & 0x3FFFFFFFFFFFFFFF)
        else:
            self.run_name = self.earlier.name

    def enter(self, effect: Enter) -> None:
        if self.parent is None:
            foretell(self, effect)
        super().enter(effect)

    def begin(self) -> Life:
        is_part = self.parent is not None and self.parent.flow is not None
        if self.resuming is not None and self.resuming.replay is not None:
            return flow_life(self.resuming.replay.rules, resumes=is_part)
        rules = self.definition.rules(self.session.settings)
        keeps = self.persistence.persist or (is_part and self.keeper is not None)
        return flow_life(rules, keeps, is_part and self.resuming is not None)

    def follow(self, task_run_id: bytes, behind: Iterable[str]) -> None:
        """In a child, where a task of this run is about to be called: know of the assets that its inputs come from."""
        if self.lineage is None:
            self.lineage = new_lineage()
        if self.lineage is not None and behind:
            self.lineage.rests_on(task_run_id, behind)

    def take_up(self, run: Execution) -> None:
        """Let a run within this one be the run that had its key when this one was started before."""
        assert run.run_key is not None
        earlier = self._earlier_runs.get(run.run_key)
        if earlier is not None:
            run.take_over(earlier)

    def earlier_within(self, run: Execution) -> RunsTold:
        """The earlier runs within a task run, for the process that it is called in."""
        if self.resuming is None or run.earlier is None:
            return {}
        return self.resuming.within(self.run_id, self._earlier_runs, run.run_id)

    @property
    def version(self) -> str | None:
        """The version of the flow; where it names none, that of its file."""
        return self.definition.version or source_version(self.definition.fn)

    @property
    def parent_id(self) -> bytes | None:
        """The id of the flow run that it is part of."""
        above = None if self.parent is None else self.parent.flow
        return None if above is None else above.run_id

    @property
    def root_id(self) -> bytes:
        """The id of the outermost flow run that it is part of: its own, if it is that."""
        above = None if self.parent is None else self.parent.flow
        return self.run_id if above is None else above.root_id

    @property
    def can_be_started_again(self) -> bool:
        """Whether a new process can go on with this run, should it not complete."""
        is_whole = self.keeper is not None and not self.unkept_parameters
        return is_whole and source_file(self.definition.fn) is not None

    def _keep_parameters(self, keeper: Keeper) -> None:
        """Keep the parameters that JSON cannot give back as they are, for the run to be started again with them."""
        others: dict[str, Any] = {}
        if self.definition.is_of_instance:
            self.unkept_parameters["self"] = "the object that it was called on is not kept"
        for name, value in self.kwargs.items():
            if name in self.hidden:
                self.unkept_parameters[name] = "it is secret"
            elif not is_json(value):
                if bytes_of(value) > keeper.limits.item_bytes:
                    self.unkept_parameters[name] = str(keeper.keep(value, None))  # said at once, nothing is copied
                else:
                    others[name] = value
        if not others:
            return
        kept = keeper.keep(others, None)
        if type(kept) is ResultAt:
            self.parameters_at = kept
            return
        for name, value in others.items():
            kept = keeper.keep(value, None)
            if type(kept) is str:
                self.unkept_parameters[name] = kept
        rest = {name: value for name, value in others.items() if name not in self.unkept_parameters}
        kept = keeper.keep(rest, None)
        if type(kept) is ResultAt:
            self.parameters_at = kept
        else:
            self.unkept_parameters |= dict.fromkeys(rest, str(kept))

    def finished(self) -> None:
        super().finished()
        if self.parent is None or self.parent.flow is None:
            if self.keeper is not None:
                self.keeper.close()
            if self.resuming is not None:
                self.resuming.end()

    def parameters(self) -> dict[str, Any]:
        return self.kwargs

    def next_index(self, task_key: str) -> int:
        """How-manieth call of a task this is: for display only."""
        index = self._indexes.get(task_key, 0)
        self._indexes[task_key] = index + 1
        return index

    def open_pool(self) -> Pool:
        """The pool for this run's submitted tasks, from the first submit on."""
        with _opening:
            if self.pool is None:
                if self.state_type in FINAL:
                    raise MissingContextError(
                        f"A task was submitted after its flow run {self.run_name!r} had ended.",
                        do="Submit it while the flow's function runs, or call it directly.",
                    )
                self.runner = self.runner.duplicate()
                self.pool = self.runner.open(self.session.settings, self.run_name)
            return self.pool

    def close_pool(self) -> None:
        """All tasks have ended: let the threads go, and a task runner of the user's own end what it began."""
        pool, self.pool = self.pool, None
        if pool is None:
            return
        pool.close()
        if self.runner is not None and self.runner.takes_over:  # in a child there is none
            try:
                self.runner.__exit__(None, None, None)
            except Exception as error:
                runner_broke(self, error)

    def prepare(self) -> Raised | NotReady | None:
        """Check the parameters, and fill in the run's name. Nothing of the user's function has run yet."""
        try:
            if self.persistence.persist:
                check_storage(self)
            if self.validate is not None:
                before = self.kwargs
                self.kwargs = self.validate(before)
                if self.lineage is not None:
                    self.lineage.took(self, before)
        except Exception as error:
            return Raised(error)
        return self.name_it()

    def plain_arguments(self) -> tuple[tuple[Any, ...], dict[str, Any]]:
        from inspect import BoundArguments

        bound = BoundArguments(self.definition.signature, self.kwargs)
        return bound.args, bound.kwargs

    def created(self, at_us: int, mono_us: int, effect: Enter) -> RunFact:
        flow, parent = self.definition, self.parent
        outer = parent.flow if parent is not None else None
        return FlowRunCreated(
            self.run_id,
            flow.name,
            self.run_name,
            at_us,
            mono_us,
            effect.state_type,
            effect.state_name,
            self.epoch,
            self.version,
            parameters_json(self.kwargs, self.hidden),
            tuple(sorted(self.tags)) if self.tags else (),
            None if outer is None else outer.run_id,
            parent.run_id if parent is not None and parent.is_task else None,
            flow.rules(self.session.settings).attempts - 1,
            run_start(flow.fn, self.hidden) if parent is None else None,
            flow.description,
            self.inputs,
            self.run_key,
            f"started again (epoch {self.epoch})" if self.earlier is not None and outer is None else None,
            self.parameters_at,
            tuple(self.unkept_parameters.items()),
        )


def run_start(fn: Callable[..., Any], hidden: frozenset[str]) -> RunStart:
    """How this run was started: what a new process needs to start it again. Without arguments that may be secrets."""
    module, file = getattr(fn, "__module__", None), source_file(fn)
    if module == "__main__":
        # Of a module that was started by its name, what it imports may be found only if it is loaded by that name.
        spec = getattr(sys.modules.get("__main__"), "__spec__", None)
        module = main_module() if spec is not None and spec.origin == file else None
    try:
        cwd = os.getcwd()
    except OSError:  # the folder was removed under us
        cwd = ""
    return RunStart(
        sys.executable or "python",
        file,
        module,
        getattr(fn, "__qualname__", repr(fn)),
        cwd,
        tuple(map(str, sys.argv[:1] if hidden else sys.argv)),
    )
