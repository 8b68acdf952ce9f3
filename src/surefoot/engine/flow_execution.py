"""A flow run in the hands of this process: what its tasks share, and the pool that they are submitted to.

May import: execution, links, sources, tracebacks.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from surefoot.core.errors import MissingContextError
from surefoot.core.facts import FlowRunCreated, RunFact, RunStart
from surefoot.core.names import two_words
from surefoot.core.states import FINAL
from surefoot.engine.effects import Enter, NotReady, Raised
from surefoot.engine.execution import Execution, parameters_json
from surefoot.engine.lifecycle import Life, flow_life
from surefoot.engine.links import Links
from surefoot.engine.runs import FlowRun, Run
from surefoot.engine.scope import current
from surefoot.engine.session import session
from surefoot.engine.sources import source_file, source_version
from surefoot.engine.tracebacks import SharedFrames

if TYPE_CHECKING:
    from surefoot.core.settings import Settings
    from surefoot.engine.definition import Definition
    from surefoot.engine.pool import Pool

__all__ = ["FlowExecution", "PoolMaker"]

_opening = threading.Lock()


class PoolMaker(Protocol):
    """A task runner, as the engine sees it."""

    def duplicate(self) -> PoolMaker: ...
    def pool(self, settings: Settings, name: str) -> Pool: ...


class FlowExecution(Execution):
    """One run of a flow."""

    is_task = False
    view: ClassVar[type[Run]] = FlowRun

    __slots__ = ("_indexes", "hidden", "links", "pool", "runner", "shared_frames", "validate")

    links: Links

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
    ) -> None:
        parameters = flow.bind(args, kwargs)
        parent = current()
        super().__init__(flow, (), parameters, parent, session() if parent is None else parent.session)
        self.flow = self
        self.links = Links() if parent is None or parent.flow is None else parent.flow.links
        self._indexes: dict[str, int] = {}
        self.validate = validate
        self.hidden = hidden  # parameters whose values are not recorded
        self.runner = runner
        self.pool: Pool | None = None
        self.shared_frames = SharedFrames()
        self.run_name = two_words(int.from_bytes(self.run_id[8:], "big") & 0x3FFFFFFFFFFFFFFF)
        self.look_for_inputs(wait_for)

    def begin(self) -> Life:
        return flow_life(self.definition.rules(self.session.settings))

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
                self.pool = self.runner.duplicate().pool(self.session.settings, self.run_name)
            return self.pool

    def prepare(self) -> Raised | NotReady | None:
        """Check the parameters, and fill in the run's name. Nothing of the user's function has run yet."""
        try:
            if self.validate is not None:
                self.kwargs = self.validate(self.kwargs)
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
            flow.version or source_version(flow.fn),
            parameters_json(self.kwargs, self.hidden),
            tuple(sorted(self.tags)) if self.tags else (),
            None if outer is None else outer.run_id,
            parent.run_id if parent is not None and parent.is_task else None,
            flow.rules(self.session.settings).attempts - 1,
            run_start(flow.fn, self.hidden) if parent is None else None,
            flow.description,
            self.inputs,
        )


def run_start(fn: Callable[..., Any], hidden: frozenset[str]) -> RunStart:
    """How this run was started: what a new process needs to start it again. Without arguments that may be secrets."""
    module = getattr(fn, "__module__", None)
    try:
        cwd = os.getcwd()
    except OSError:  # the folder was removed under us
        cwd = ""
    return RunStart(
        sys.executable or "python",
        source_file(fn),
        None if module == "__main__" else module,
        getattr(fn, "__qualname__", repr(fn)),
        cwd,
        tuple(map(str, sys.argv[:1] if hidden else sys.argv)),
    )
