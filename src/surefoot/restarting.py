"""Restarting: a recorded flow run is started again in this process, from the file that defines its flow.

What is needed was recorded with the run: file or module, name, folder, arguments, parameters. The file is loaded, not
run as a script; a call of the flow that it makes meanwhile *is* the run. Keeps promise 5.
May import: core, entrypoints, flows, engine.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Mapping
from types import ModuleType
from typing import Any

from surefoot.core import settings
from surefoot.core.errors import EntrypointError, Refused, SurefootError
from surefoot.core.facts import RunStart
from surefoot.core.ids import to_text
from surefoot.core.ports import Retryable
from surefoot.engine.definition import Definition
from surefoot.engine.importable import as_script
from surefoot.engine.loading import has_left, load_file
from surefoot.engine.resuming import Replay, Restart, loading, refuse_other
from surefoot.engine.running import exhaust
from surefoot.flows import Flow
from surefoot.states import State

__all__ = ["check", "start_again"]


def check(retryable: Retryable, given: Mapping[str, Any], command: str | None = None) -> RunStart:
    """How a run is to be started again, by that command. Raises Refused, with the way out, where that cannot be."""
    run, start = retryable.run, retryable.start
    by_hand = f"in Python: {_call_of(retryable)}"
    if start is None or start.file is None:
        raise Refused(
            f"Flow run {run.name!r} was started from a REPL, a notebook or standard input: there is no file to load.",
            do=f"Go on with it where its flow is defined, {by_hand}",
        )
    if not os.path.isfile(start.file):
        raise Refused(
            f"Flow run {run.name!r} cannot be started again: its file {start.file} is gone.",
            do=f"Put the file back, or go on with it where its flow is defined, {by_hand}",
        )
    if start.cwd and not os.path.isdir(start.cwd):
        raise Refused(
            f"Flow run {run.name!r} cannot be started again: its folder {start.cwd} is gone.",
            do=f"Run: mkdir -p {start.cwd}",
        )
    for name, why in retryable.unkept.items():
        if name == "self":
            raise Refused(f"Flow run {run.name!r} is of a method: {why}.", do=f"Go on with it {by_hand}")
        if name not in given:
            raise Refused(
                f"Parameter {name!r} of flow run {run.name!r} could not be kept: {why}.",
                do=f"Pass it: {command or f'surefoot flow-run retry {run.name}'} -p {name}=VALUE",
            )
    return start


def _call_of(retryable: Retryable) -> str:
    start = retryable.start
    name = "my_flow" if start is None else start.qualname.replace("<locals>.", "")
    return f'{name}.retry("{to_text(retryable.run.run_id)}")'


def start_again(retryable: Retryable, given: Mapping[str, Any], replay: Replay | None = None) -> State:
    """Load the file of a run's flow and go on with the run. Its final state; what it raised is in there.

    To be called in a process of its own, in the folder that the run was started in. With `replay` one task of it is
    called, and nothing is recorded.

    Raises Refused, EntrypointError and errors about parameters before anything runs.
    """
    start = check(retryable, given)
    assert start.file is not None
    sys.argv[:] = start.argv or (start.file,)
    home = settings.refresh().get("home")
    made: list[Restart] = []

    def make(flow: Definition) -> Restart:
        refuse_other(flow, retryable)
        assert isinstance(flow, Flow)
        made.append(flow.restart_of(retryable, home, given, sys.modules.get(str(flow.fn.__module__))))
        made[0].replay = replay
        return made[0]

    with loading(make):
        try:
            module = _load(start)
        except Exception:
            if not made or made[0].execution is None:
                raise
            module = None  # the run itself has failed, or what the script does after it: its state tells
    if not made:
        assert module is not None
        flow = _find(module, retryable)
        made.append(flow.restart_of(retryable, home, given, module))
        made[0].replay = replay
        _run(flow, made[0])
    execution = made[0].execution
    assert execution is not None
    return execution.state


def _run(flow: Flow[..., Any], restart: Restart) -> None:
    try:
        value: Any = flow.start_again(restart, return_state=True)
        if flow.isgenerator:
            exhaust(value)
        elif flow.isasync:
            import asyncio  # a door: a blocking flow does not pay for it

            asyncio.run(value)
    except Exception:
        if restart.execution is None or not restart.execution.state.is_final():
            raise


def _load(start: RunStart) -> ModuleType:
    assert start.file is not None
    if start.module is None:
        return load_file(start.file)
    root = os.path.dirname(start.file)
    for _ in range(start.module.count(".") + (os.path.basename(start.file) == "__init__.py")):
        root = os.path.dirname(root)
    if root not in sys.path:
        sys.path.insert(0, root)
    try:
        with as_script(start.module):
            module = importlib.import_module(start.module)
    except SurefootError:
        raise
    except SystemExit as stop:
        raise has_left(start.module, stop) from stop
    except Exception as error:
        if isinstance(error, ModuleNotFoundError) and f"{start.module}.".startswith(f"{error.name}."):
            return load_file(start.file)  # it was imported in some way of its own
        raise EntrypointError(
            f"{start.file} cannot be loaded: {type(error).__name__}: {error}",
            do=f"Run `{start.interpreter} -m {start.module}` in {start.cwd} to see where.",
        ) from error
    return module if getattr(module, "__file__", None) == start.file else load_file(start.file)


def _find(module: ModuleType, retryable: Retryable) -> Flow[..., Any]:
    assert retryable.start is not None
    qualname = retryable.start.qualname
    found: Any = module
    for part in qualname.split("."):
        found = getattr(found, part, None)
    if isinstance(found, Flow) and found.name == retryable.flow_name:
        return found
    flows = [value for value in vars(module).values() if isinstance(value, Flow)]
    same = [flow for flow in flows if flow.name == retryable.flow_name]
    best = [flow for flow in same if getattr(flow.fn, "__qualname__", None) == qualname] or same
    if not best:
        there = ", ".join(flow.name for flow in flows) or "none"
        raise EntrypointError(
            f"{retryable.start.file} has no flow {retryable.flow_name!r} any more, or makes it only when a function of "
            f"its own is called. Its flows: {there}.",
            do=f"Go on with it where the flow is defined: {_call_of(retryable)}",
        )
    return best[0]
