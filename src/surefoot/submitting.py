"""Submitting: what `.submit` and `.map` of tasks and flows have in common.

May import: core, engine, futures, annotations.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from surefoot.annotations import Annotation, allow_failure, flatten, quote, unmapped
from surefoot.core.errors import BadInput, MappingLengthMismatch, MappingMissingIterable, MissingContextError
from surefoot.core.ids import new_id
from surefoot.engine.definition import Definition
from surefoot.engine.flow_execution import FlowExecution
from surefoot.engine.interrupts import GateShut
from surefoot.engine.progress import MapProgress
from surefoot.engine.scope import current, transaction
from surefoot.engine.sketching import sketcher
from surefoot.engine.telling import map_ended
from surefoot.futures import Future, FutureList

if TYPE_CHECKING:
    from surefoot.engine.pool import Pool

__all__ = ["begin", "flow_here", "rows_of", "submit", "submit_each", "submit_over_runner"]


class FutureTypeError(BadInput, TypeError):
    """A task runner of the user's own gives no future."""


def flow_here(definition: Definition, verb: str) -> FlowExecution:
    """The flow run that code is in. Raises MissingContextError outside of any."""
    execution = current()
    flow = None if execution is None else execution.flow
    if flow is None:
        raise MissingContextError(
            f"{definition.kind} {definition.name!r} was given to .{verb}() outside of a flow, so no task runner is "
            "there to run it.",
            do=f"Call it directly, {definition.name}(...), or from within a function that is decorated with @flow.",
        )
    return flow


def submit(flow: FlowExecution, future: Future[Any], return_state: bool = False) -> Any:
    """Begin the life of a run in the pool of a flow run, and give its future; or, if asked for, its final state."""
    begin(flow.pool or flow.open_pool(), future)
    if return_state:
        future.wait()
        return future.state
    return future


def begin(pool: Pool, future: Future[Any]) -> Future[Any]:
    """Begin the life of a run in a pool."""
    execution = future.execution
    assert execution is not None
    around = transaction()
    if around is not None:
        around.futures.append(future)  # it ends after that
    pool.submit(execution)
    return future


def submit_over_runner(
    flow: FlowExecution, task: Definition, args: tuple[Any, ...], kwargs: dict[str, Any], wait_for: Any, state: bool
) -> Any:
    """Submit by way of a task runner that has a say in it."""
    flow.pool or flow.open_pool()
    runner: Any = flow.runner
    future = runner.submit(task, task.bind(args, kwargs), wait_for=wait_for, dependencies=None)
    if not isinstance(future, Future):
        raise FutureTypeError(
            f"submit() of {runner!r} gave {type(future).__name__}, which is no future of Surefoot.",
            do="Have it return what super().submit(task, parameters, wait_for, dependencies) gives.",
        )
    if state:
        future.wait()
        return future.state
    return future


def _map_over_runner(
    flow: FlowExecution, task: Definition, args: tuple[Any, ...], kwargs: dict[str, Any], wait_for: Any, state: bool
) -> Any:
    """Map by way of a task runner that has a say in it."""
    flow.pool or flow.open_pool()
    runner: Any = flow.runner
    futures = FutureList(runner.map(task, task.bind(args, kwargs, defaults=False), wait_for=wait_for))
    if state:
        futures.wait()
        return [future.state for future in futures]
    return futures


def submit_each(
    definition: Definition,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    wait_for: Any,
    begin: Callable[[tuple[Any, ...], dict[str, Any], bytes], Future[Any]],
    return_state: bool,
) -> Any:
    """Submit once for each element of the iterable arguments. `begin` makes the run of one, and its future."""
    if (sketch := sketcher()) is not None:
        return sketch.mapped(definition, args, kwargs, wait_for, return_state, partial(rows_of, definition))
    flow = flow_here(definition, "map")
    if definition.kind == "Task" and flow.runner is not None and flow.runner.takes_over:
        return _map_over_runner(flow, definition, args, kwargs, wait_for, return_state)
    rows = rows_of(definition, args, kwargs)
    if rows and not definition.fits(*rows[0]):
        definition.bind(*rows[0])  # a call that does not fit is refused before the first run
    (flow.pool or flow.open_pool()).check(definition, rows)
    map_id = new_id()
    progress = MapProgress(definition.name, len(rows))
    futures: FutureList[Any] = FutureList()
    for row_args, row_kwargs in rows:
        future = submit(flow, begin(row_args, row_kwargs, map_id))
        with GateShut():
            future.add_done_callback(lambda done: map_ended(flow, progress, done.state))
        futures.append(future)
    if return_state:
        futures.wait()
        return [future.state for future in futures]
    return futures


def rows_of(
    definition: Definition, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> list[tuple[tuple[Any, ...], dict[str, Any]]]:
    """The arguments of each run of a map."""
    given: list[tuple[int | str, Any]] = [*enumerate(args), *kwargs.items()]
    columns: dict[int | str, list[Any]] = {}
    repeated: dict[int | str, Any] = {}
    for place, value in given:
        column = _column(value)
        if column is None:
            repeated[place] = value.value if isinstance(value, unmapped) else value
        else:
            columns[place] = column
    if not columns:
        raise MappingMissingIterable(
            f"{definition.name}.map() got no iterable to map over.",
            do=f"Pass a list, range, generator ..., or call {definition.name}.submit() for a single run.",
        )
    lengths = {place: len(column) for place, column in columns.items()}
    if len(set(lengths.values())) > 1:
        definition.bind(args, kwargs)  # a name that it does not have is told before the lengths are
        told = ", ".join(f"{_place(definition, place)} has {length}" for place, length in lengths.items())
        raise MappingLengthMismatch(
            f"{definition.name}.map() got iterables of unequal length: {told}.",
            do="Make them equal, or wrap what every run should get whole in unmapped(...).",
        )
    count = next(iter(lengths.values()))
    names = list(kwargs)
    positions = range(len(args))
    if not kwargs and len(columns) == len(args) == 1:
        return [((value,), {}) for value in columns[0]]
    return [
        (
            tuple(columns[place][i] if place in columns else repeated[place] for place in positions),
            {name: columns[name][i] if name in columns else repeated[name] for name in names},
        )
        for i in range(count)
    ]


def _place(definition: Definition, place: int | str) -> str:
    return repr(definition.name_at(place) if isinstance(place, int) else place)


def _column(value: Any) -> list[Any] | None:
    """The elements of an argument of `.map`; None for one that every run gets whole."""
    if isinstance(value, (unmapped, quote)):
        return None
    if isinstance(value, allow_failure):
        inner = _column(value.value)
        return None if inner is None else [allow_failure(item) for item in inner]
    if isinstance(value, flatten):
        outer = _column(value.value)
        return None if outer is None else [item for part in outer for item in _elements(part)]
    if isinstance(value, Future):
        return _column(value.result())
    if isinstance(value, (str, bytes, bytearray, Annotation)) or not _is_iterable(value):
        return None
    return list(value)


def _elements(part: Any) -> list[Any]:
    """The elements of one element of what is flattened; it itself, if it has none."""
    if isinstance(part, Annotation):
        return [part.rewrap(item) for item in _elements(part.value)]
    found = _column(part)
    return [part.result() if isinstance(part, Future) else part] if found is None else found


def _is_iterable(value: Any) -> bool:
    if isinstance(value, type):
        return False
    return hasattr(value, "__iter__") or (hasattr(value, "__getitem__") and hasattr(value, "__len__"))
