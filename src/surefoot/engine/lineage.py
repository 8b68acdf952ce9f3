"""Lineage: which assets the values in a flow run come from, followed from run to run by what each got and returned.

One for an outermost flow run and all within it, made only where something of assets is loaded. May import: core,
links.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from sys import getrefcount
from threading import RLock
from typing import TYPE_CHECKING, Any, Final

from surefoot.engine.links import Links

if TYPE_CHECKING:
    from surefoot.core.assets import How
    from surefoot.engine.execution import Execution
    from surefoot.engine.inputs import Reference

__all__ = ["FollowedLinks", "Lineage"]

_HELD_MAX: Final = 64
_PARTS_MAX: Final = 64
_CONTAINERS: Final = frozenset({list, tuple, dict, set, frozenset})
_OURS: Final = 2  # references to a value that nobody else holds: in its pair, and as an argument


class Lineage:
    """What is known of the assets behind the runs of a flow run."""

    __slots__ = ("_after", "_from", "_keys", "_made", "_values")

    def __init__(self) -> None:
        self._made: dict[bytes, tuple[str, ...]] = {}  # run -> the assets that it makes: behind these nobody looks
        self._keys: dict[bytes, tuple[str, ...]] = {}  # run -> assets that are known to be behind it otherwise
        self._from: dict[bytes, tuple[bytes, ...]] = {}  # run -> the runs whose values are in its own
        self._after: dict[bytes, tuple[bytes, ...]] = {}  # run -> the runs that it only waited for
        # Links of its own: those of the flow run say what a run's result was made from, which resuming relies on.
        self._values = FollowedLinks()

    def makes(self, run_id: bytes, keys: tuple[str, ...]) -> None:
        """A run makes these assets."""
        self._made[run_id] = keys

    def rests_on(self, run_id: bytes, keys: Iterable[str]) -> None:
        """It is known of a run, by its task or from another process, that these are behind its value."""
        self._keys[run_id] = (*self._keys.get(run_id, ()), *keys)

    def got(self, run: Execution) -> None:
        """A run was made, with its inputs."""
        for name, ids in run.inputs:
            if name == "wait_for":
                self._after[run.run_id] = ids
            else:
                self._add(run.run_id, ids)
        self._add(run.run_id, [one for value in (*run.args, *run.kwargs.values()) for one in self._values.find(value)])

    def took(self, flow: Execution, before: Mapping[str, Any]) -> None:
        """The parameters of a flow were checked: those that were made anew come from where they came before."""
        inputs = dict(flow.inputs)
        for name, value in flow.kwargs.items():
            ids = {*inputs.get(name, ()), *self._values.find(before.get(name))}
            if ids and value is not before.get(name):
                node = flow.run_id + name.encode()
                self._from[node] = tuple(ids)
                self._values.add(value, node)

    def gave(self, run: Execution, value: Any, found: Sequence[Reference] = ()) -> None:
        """A run has this value: what runs within it gave may be in there, or be it."""
        ids = self._values.find(value)
        ids.update(one.target.run_id for one in found if one.target.run_id is not None)
        ids.discard(run.run_id)
        if ids and self._is_whole(run, value, found):
            self.is_of(run.run_id, ids)
        elif ids:
            self._add(run.run_id, ids)
        self._values.add(value, run.run_id)

    def _is_whole(self, run: Execution, value: Any, found: Sequence[Reference]) -> bool:
        """Whether it is nothing but the value of one other run."""
        one = self._values.find_one(value)
        return (one is not None and one != run.run_id) or (len(found) == 1 and found[0].target is value)

    def told_of(self, run: Execution, value: Any) -> tuple[list[str], bool]:
        """The assets that a value comes from which a run here returned; and whether it is that of one run within."""
        return self.behind(self._values.find(value) - {run.run_id}), self._is_whole(run, value, ())

    def is_of(self, run_id: bytes, ids: Iterable[bytes] = (), keys: Iterable[str] = ()) -> None:
        """What a run returned is the value of others: what it got itself does not matter."""
        self._from[run_id], self._keys[run_id] = tuple(ids), tuple(keys)
        self._after.pop(run_id, None)

    def _add(self, run_id: bytes, ids: Iterable[bytes]) -> None:
        if ids:
            self._from[run_id] = tuple(dict.fromkeys((*self._from.get(run_id, ()), *ids)))

    def behind(self, ids: Iterable[bytes]) -> list[str]:
        """The assets behind the values of some runs: of each way back the first that is met."""
        found: dict[str, None] = {}
        seen = set(ids)
        left = sorted(seen)
        while left:
            run_id = left.pop()
            made = self._made.get(run_id)
            if made is not None:
                found |= dict.fromkeys(made)
                continue
            found |= dict.fromkeys(self._keys.get(run_id, ()))
            from_runs = (*self._from.get(run_id, ()), *self._after.get(run_id, ()))
            more = [one for one in dict.fromkeys(from_runs) if one not in seen]
            seen.update(more)
            left += more
        return list(found)

    def upstream(self, run: Execution) -> dict[str, How]:
        """The assets that what a run makes rests on: by its inputs, and by those of the tasks that it was called in."""
        data: list[bytes] = []
        waited: list[bytes] = []
        keys: list[str] = []
        one: Execution | None = run
        while one is not None and one.is_task:
            data += self._from.get(one.run_id, ())
            waited += self._after.get(one.run_id, ())
            if one is not run:
                keys += self._keys.get(one.run_id, ())
            one = one.parent
        found: dict[str, How] = dict.fromkeys(self.behind(waited), "declared")
        return found | dict.fromkeys([*keys, *self.behind(data)], "data")


class FollowedLinks(Links):
    """Links that know large lists and dicts too, of which Python gives no weak references.

    The last of these are held; as soon as a later value comes, those are let go that nobody else holds any more.
    """

    __slots__ = ("_held", "_lock")

    def __init__(self) -> None:
        super().__init__()
        self._held: list[tuple[Any, bytes]] = []  # never changed in place: others may just be looking through it
        self._lock = RLock()  # a finalizer may run a task in the midst of it

    def add(self, value: Any, run_id: bytes) -> None:
        """Remember that `value`, and what it holds directly, is the result of a task run."""
        super().add(value, run_id)
        ones = [one for one in (value, *_parts(value)) if type(one) in _CONTAINERS and one]
        with self._lock:
            held = [pair for pair in self._held if getrefcount(pair[0]) > _OURS]
            held += [(one, run_id) for one in ones if super(FollowedLinks, self).find_one(one) is None]
            self._held = held[-_HELD_MAX:]

    def find(self, value: Any) -> set[bytes]:
        """The runs that `value`, or what it holds directly, came from."""
        found = super().find(value)
        if type(value) in _CONTAINERS and self._held:
            found.update(run_id for one in (value, *_parts(value)) if (run_id := self._held_one(one)))
        return found

    def find_one(self, value: Any) -> bytes | None:
        return super().find_one(value) or self._held_one(value)

    def _held_one(self, value: Any) -> bytes | None:
        if type(value) not in _CONTAINERS:
            return None
        return next((run_id for one, run_id in reversed(self._held) if one is value), None)


def _parts(value: Any) -> Iterable[Any]:
    if type(value) not in _CONTAINERS or len(value) > _PARTS_MAX:
        return ()
    return value.values() if type(value) is dict else value
