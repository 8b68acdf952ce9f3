"""The sketch: runs the body of a flow with its tasks stood in for, and notes down who is called with what of whom.

May import: core, engine, futures, states, stand_ins.
"""

from __future__ import annotations

import copy
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from surefoot.annotations import allow_failure, unmapped
from surefoot.core.errors import MappingMissingIterable, Skip, SurefootError, VisualizationError
from surefoot.drawing.stand_ins import DrawnFuture, Sources, StandIn, UncountedFutures, sources_of
from surefoot.engine.lifecycle import reason
from surefoot.engine.scope import tags_in_force
from surefoot.engine.sketching import drawing_with
from surefoot.futures import FutureList
from surefoot.states import Completed

if TYPE_CHECKING:
    from surefoot.engine.definition import Definition

__all__ = ["Edge", "Node", "Sketch"]

NODES_MAX: Final = 1000
VALUES_MAX: Final = 10_000  # that are taken from a flow which is a generator
ALIKE_MIN: Final = 4  # calls that differ in nothing that is drawn are drawn as one from here on

Arguments = tuple[tuple[Any, ...], dict[str, Any]]


@dataclass
class Node:
    """One call of a task or flow; or many alike."""

    definition: Definition
    name: str
    tags: frozenset[str]
    count: int | None = 1  # None: as many as there will be elements
    sources: Sources = frozenset()  # nodes whose values it is called with
    awaited: Sources = frozenset()  # nodes that it only waits for

    @property
    def is_flow(self) -> bool:
        """Whether a flow is called."""
        return self.definition.kind == "Flow"

    @property
    def label(self) -> str:
        """Its name, and how often it is called."""
        if self.count is None:
            return f"{self.name} \N{MULTIPLICATION SIGN} each"
        return self.name if self.count == 1 else f"{self.name} \N{MULTIPLICATION SIGN} {self.count:,}"


@dataclass(frozen=True, order=True)
class Edge:
    """From one node to one that needs its value (`is_data`), or only its end."""

    start: int
    end: int
    is_data: bool


@dataclass
class Sketch:
    """What the body of a flow calls: nodes in the order of the calls."""

    flow: Definition
    nodes: list[Node] = field(default_factory=list)
    _values: dict[int, tuple[Any, Sources]] = field(default_factory=dict)  # kept alive, so that ids stay theirs
    _refused: VisualizationError | None = None

    # -- the body

    def begin(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Call the flow's function; what it returns is to be given to `end`, and may have to be awaited before."""
        flow: Any = self.flow
        parameters = flow.bind(args, kwargs)
        if flow.should_validate_parameters:
            parameters = flow._checked_by()[0](parameters)
        from inspect import BoundArguments

        bound = BoundArguments(flow.signature, parameters)
        with drawing_with(self):
            try:
                value = flow.fn(*flow._bound, *bound.args, **bound.kwargs)
                if flow.isgenerator and not flow.isasync:
                    for _ in zip(range(VALUES_MAX), value, strict=False):
                        pass
            except Skip:
                return None  # it would be skipped here: what it called until then is drawn
            except Exception as error:
                raise self._told(error) from error
        return _taken(value) if flow.isgenerator and flow.isasync else value

    async def finish(self, value: Any) -> None:
        """Await what the function of an asynchronous flow gave."""
        with drawing_with(self):
            try:
                await value
            except Skip:
                return
            except Exception as error:
                raise self._told(error) from error

    def check(self) -> Sketch:
        """Raise what a stand-in had to refuse, though the body caught it; give the sketch."""
        if self._refused is not None:
            raise self._refused
        return self._gathered()

    def _told(self, error: Exception) -> Exception:
        if self._refused is not None:
            return self._refused
        if isinstance(error, SurefootError):
            return error
        names = dict.fromkeys(it.name for it in self.nodes if "viz_return_value" not in it.definition._options)
        suspects = f" Tasks that have none: {', '.join(list(names)[-5:])}." if names else ""
        return VisualizationError(
            f"Flow {self.flow.name!r} cannot be drawn: its body raised {reason(error)}.",
            do="If it needs what a task gives, say what to draw with: @task(viz_return_value=...)." + suspects,
        )

    def _refuse(self, told: str, wanted: str) -> VisualizationError:
        error = VisualizationError(
            f"Flow {self.flow.name!r} cannot be drawn: its body needs what {told} gives, since it {wanted}, "
            "and no task runs for a drawing.",
            do="Say what to draw with: @task(viz_return_value=...).",
        )
        if self._refused is None:
            self._refused = error
        return error

    # -- calls, as a sketcher

    def called(
        self, what: Definition, args: tuple[Any, ...], kwargs: dict[str, Any], wait_for: Any, return_state: bool
    ) -> Any:
        """A task or flow is called."""
        what.bind(args, kwargs)
        place = self._add(what, [(args, kwargs)], wait_for)
        value = self._value(what, place)
        if what.isgenerator:
            values = list(value) if isinstance(value, (list, tuple)) else [value]
            return _later(values) if what.isasync else iter(values)
        given = Completed(data=value) if return_state else value
        return _awaited(given) if what.isasync else given

    def submitted(
        self, what: Definition, args: tuple[Any, ...], kwargs: dict[str, Any], wait_for: Any, return_state: bool
    ) -> Any:
        """A task or flow is submitted."""
        what.bind(args, kwargs)
        future = self._future(what, self._add(what, [(args, kwargs)], wait_for))
        return future.state if return_state else future

    def mapped(
        self,
        what: Definition,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        wait_for: Any,
        return_state: bool,
        rows: Callable[[tuple[Any, ...], dict[str, Any]], list[Arguments]],
    ) -> Any:
        """A task or flow is mapped: one node, however many elements there are."""
        calls = _rows(rows, args, kwargs)
        if calls:
            what.bind(*calls[0])
        unknown = calls is None
        calls = [(args, kwargs)] if calls is None else calls
        futures: FutureList[Any] = UncountedFutures() if unknown else FutureList()
        if calls:
            # Not the elements alone: a list that a task gave is where they come from.
            place = self._add(what, [(args, kwargs)], wait_for, None if unknown else len(calls))
            futures.extend(self._future(what, place) for _ in calls)
        return [future.state for future in futures] if return_state else futures

    def _add(self, what: Definition, calls: list[Arguments], wait_for: Any, count: int | None = 1) -> int:
        if len(self.nodes) >= NODES_MAX:
            raise VisualizationError(
                f"Flow {self.flow.name!r} cannot be drawn: it makes more than {NODES_MAX:,} runs.",
                do="Draw it with smaller parameters, or with a shorter viz_return_value; a .map() is drawn as one.",
            )
        sources = sources_of(calls, self._known)
        awaited = sources_of(wait_for, self._known) - sources
        name = what.name
        if isinstance(what.run_name, str) and count == 1 and not sources:
            name = _filled(what, *calls[0]) or name
        self.nodes.append(Node(what, name, tags_in_force() | what.tags, count, sources, awaited))
        return len(self.nodes) - 1

    def _future(self, what: Definition, place: int) -> DrawnFuture:
        return DrawnFuture(frozenset({place}), self.nodes[place].name, self._value(what, place))

    def _value(self, what: Definition, place: int) -> Any:
        sources = frozenset({place})
        if "viz_return_value" not in what._options:
            return StandIn(sources, f"{what.kind.lower()} {what.name!r}", self._refuse)
        value = what._options["viz_return_value"]
        # Known again by its identity: each call gets an object of its own, as each run would.
        value = "".join(list(value)) if type(value) is str else copy.copy(value)
        self._values[id(value)] = value, sources
        return value

    def _known(self, value: Any) -> Sources:
        if value is None or isinstance(value, (bool, int)):  # the same object everywhere
            return frozenset()
        found = self._values.get(id(value))
        return frozenset() if found is None else found[1]

    # -- the graph

    @property
    def edges(self) -> list[Edge]:
        """Who needs whom."""
        found = []
        for end, node in enumerate(self.nodes):
            found += [Edge(start, end, True) for start in node.sources]
            found += [Edge(start, end, False) for start in node.awaited]
        return sorted(found)

    def _gathered(self) -> Sketch:
        """The sketch with calls that differ in nothing drawn as one: those of a loop, mostly."""
        targets: dict[int, list[tuple[int, bool]]] = {}
        for edge in self.edges:
            targets.setdefault(edge.start, []).append((edge.end, edge.is_data))
        groups: dict[Any, list[int]] = {}
        for place, node in enumerate(self.nodes):
            of = (id(node.definition), node.name, node.tags, node.count, node.sources, node.awaited)
            groups.setdefault((of, tuple(targets.get(place, ()))), []).append(place)
        stands_for = {
            place: places[0] if len(places) >= ALIKE_MIN else place for places in groups.values() for place in places
        }
        kept = sorted(set(stands_for.values()))
        if len(kept) == len(self.nodes):
            return self
        counts = {places[0]: len(places) for places in groups.values() if len(places) >= ALIKE_MIN}
        new_place = {place: number for number, place in enumerate(kept)}

        def moved(places: Sources) -> Sources:
            return frozenset(new_place[stands_for[place]] for place in places)

        nodes = []
        for place in kept:
            node = self.nodes[place]
            count = None if node.count is None else node.count * counts.get(place, 1)
            nodes.append(Node(node.definition, node.name, node.tags, count, moved(node.sources), moved(node.awaited)))
        return Sketch(self.flow, nodes)


def _rows(
    rows: Callable[..., list[Arguments]], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> list[Arguments] | None:
    """The calls of a map; None if only stand-ins tell how many there are."""
    given = [_whole(it) for it in args]
    named = {name: _whole(it) for name, it in kwargs.items()}
    changed = any(new is not old for new, old in zip([*given, *named.values()], [*args, *kwargs.values()], strict=True))
    try:
        return rows(tuple(given), named)
    except MappingMissingIterable:
        if changed:
            return None
        raise


def _whole(value: Any) -> Any:
    """An argument of a map; if it has as many elements as only its task knows, such that each call gets all of it."""
    inner = value.value if isinstance(value, allow_failure) else value
    gives = inner.result() if isinstance(inner, DrawnFuture) else inner
    return unmapped(value) if isinstance(gives, (StandIn, UncountedFutures)) else value


def _filled(what: Definition, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str | None:
    try:
        return what.run_name_for(what.bind(args, kwargs))
    except Exception:  # a name that cannot be told without the run
        return None


async def _awaited(value: Any) -> Any:
    return value


async def _later(values: list[Any]) -> AsyncIterator[Any]:
    for value in values:
        yield value


async def _taken(values: Any) -> None:
    left = VALUES_MAX
    async for _ in values:
        left -= 1
        if not left:
            break
