"""Inputs: futures and states found inside arguments, what they mean for the run, and values put in their place.

Lists, tuples, sets, dicts, named tuples, dataclasses and pydantic models are searched; other objects are passed as they
are. What contains no future keeps its identity. May import: core, states, annotations.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Final

from surefoot.annotations import Annotation, allow_failure, freeze, opaque, quote
from surefoot.core.errors import BadInput
from surefoot.core.states import COMPLETED
from surefoot.states import State, get_state_exception

if TYPE_CHECKING:
    from surefoot.futures import Future

__all__ = ["PLAIN", "Reference", "find_references", "pending_in", "replace_references", "value_of", "with_values"]

# Values of exactly these types hold no future and are no container: they are passed over without a look inside.
_BUILT_IN: Final = frozenset({list, tuple, dict, set, frozenset})
_LEVELS_MAX: Final = 16  # also the way out of a container that holds itself
_CLOSED: Final = (quote, freeze)  # marks around what is taken as it is
PLAIN: Final = frozenset({int, float, bool, str, bytes, complex, type(None), type(...), range, bytearray})


class Reference:
    """A future or state inside an argument."""

    __slots__ = ("allows_failure", "target")

    def __init__(self, target: Future[Any] | State, allows_failure: bool) -> None:
        self.target = target
        self.allows_failure = allows_failure

    @property
    def state(self) -> State:
        """The state of the upstream; only to be asked when it has ended."""
        target = self.target
        return target if isinstance(target, State) else target.state

    @property
    def pending(self) -> Future[Any] | None:
        """The future that has not ended; None if there is nothing to wait for."""
        target = self.target
        return None if isinstance(target, State) or target.done() else target


def find_references(value: Any, found: list[Reference]) -> bool:
    """Append every future and state in `value` to `found`.

    Answers whether there is anything to replace: those, or marks around values.
    """
    if type(value) in PLAIN or _surely_plain(value):
        return False
    return _walk(value, found, False, set())


def _surely_plain(value: Any) -> bool:
    """Whether a built-in container holds nothing but built-in containers of plain values, all the way down.

    Level by level at the speed of C: a million rows as dicts take a tenth of the time of a walk in Python. False means:
    walk.
    """
    level = [value]
    for _ in range(_LEVELS_MAX):
        kinds = set(map(type, level)) - PLAIN
        if not kinds:
            return True
        if not kinds <= _BUILT_IN:
            return False
        # For these exact types the referents are just the items, keys and values.
        level = gc.get_referents(*[part for part in level if type(part) in _BUILT_IN])
    return False


def _walk(value: Any, found: list[Reference], allowed: bool, seen: set[int]) -> bool:
    kind = type(value)
    if kind in PLAIN:
        return False
    if is_reference(kind):
        found.append(Reference(value, allowed))
        return True
    if issubclass(kind, Annotation):
        if issubclass(kind, opaque):
            inner, allowed = _bare(value, allowed)
            value = inner if is_reference(type(inner)) else None
        elif issubclass(kind, _CLOSED):
            value = None
        else:
            value, allowed = value.value, allowed or issubclass(kind, allow_failure)
        _walk(value, found, allowed, seen)
        return True
    parts = _parts(value, kind)
    if parts is None or id(value) in seen:
        return False
    if isinstance(parts, (list, tuple, set, frozenset)) and PLAIN.issuperset(map(type, parts)):
        return False  # a long list of numbers is passed over at the speed of C
    seen.add(id(value))
    marked = False
    for part in parts:
        marked |= _walk(part, found, allowed, seen)
    return marked


def _bare(value: Any, allowed: bool) -> tuple[Any, bool]:
    """What stands in one mark or several, and whether its failure is allowed."""
    while isinstance(value, Annotation):
        allowed = allowed or isinstance(value, allow_failure)
        value = value.value
    return value, allowed


def is_reference(kind: type) -> bool:
    return getattr(kind, "_surefoot_future", False) or kind is State


def _parts(value: Any, kind: type) -> Iterable[Any] | None:
    """What a container holds; None for anything that is not searched."""
    if issubclass(kind, (list, tuple, set, frozenset)):
        return value  # type: ignore[no-any-return]
    if issubclass(kind, dict):
        return [*value.keys(), *value.values()]
    if hasattr(kind, "__dataclass_fields__"):
        return [getattr(value, name, None) for name in kind.__dataclass_fields__]
    if _is_pydantic(kind):
        return list(value.__dict__.values())
    return None


def _is_pydantic(kind: type) -> bool:
    pydantic = sys.modules.get("pydantic")  # a model in hand means that pydantic is loaded already
    return pydantic is not None and issubclass(kind, pydantic.BaseModel)


def replace_references(value: Any, replacement: Callable[[Any, bool], Any]) -> Any:
    """`value` with every future and state replaced; the same object where there is none.

    Dataclasses and models are copied field by field: neither `__post_init__` nor validators run a second time.
    """
    return _replace(value, replacement, False, {})


def _replace(value: Any, replacement: Callable[[Any, bool], Any], allowed: bool, done: dict[int, Any]) -> Any:
    kind = type(value)
    if kind in PLAIN:
        return value
    if is_reference(kind):
        return replacement(value, allowed)
    if issubclass(kind, Annotation):
        if issubclass(kind, _CLOSED):
            return value.value
        if issubclass(kind, opaque):
            inner, allowed = _bare(value, allowed)
            return replacement(inner, allowed) if is_reference(type(inner)) else inner
        return _replace(value.value, replacement, allowed or issubclass(kind, allow_failure), done)
    if id(value) in done:
        return done[id(value)]
    done[id(value)] = value  # a container that holds itself is left as it is at that place

    def replaced(part: Any) -> Any:
        return _replace(part, replacement, allowed, done)

    if issubclass(kind, (list, tuple, set, frozenset)):
        new_value = _with_items(value, kind, replaced)
    elif issubclass(kind, dict):
        new_value = _with_pairs(value, replaced)
    elif hasattr(kind, "__dataclass_fields__") or _is_pydantic(kind):
        new_value = _with_fields(value, kind, replaced)
    else:
        return value
    done[id(value)] = new_value
    return new_value


def _with_items(value: Any, kind: type[Any], replaced: Callable[[Any], Any]) -> Any:
    if PLAIN.issuperset(map(type, value)):
        return value
    parts = [replaced(part) for part in value]
    if all(new is old for new, old in zip(parts, value, strict=True)):
        return value
    if getattr(kind, "_surefoot_futures", False):
        return parts  # the list of a map's futures becomes the list of their values
    if issubclass(kind, list) and kind is not list:
        new_value = _copy(value)  # not made anew: a kind of the user's own may want more than its items for that
        new_value[:] = parts
        return new_value
    return kind._make(parts) if hasattr(kind, "_make") else kind(parts)


def _with_pairs(value: Any, replaced: Callable[[Any], Any]) -> Any:
    pairs = [(replaced(key), replaced(part)) for key, part in value.items()]
    if all(new[0] is old[0] and new[1] is old[1] for new, old in zip(pairs, value.items(), strict=True)):
        return value
    new_value = _copy(value)
    new_value.clear()
    for key, part in pairs:
        new_value[key] = part
    return new_value


def _with_fields(value: Any, kind: type[Any], replaced: Callable[[Any], Any]) -> Any:
    names = kind.__dataclass_fields__ if hasattr(kind, "__dataclass_fields__") else value.__dict__
    fields = {name: getattr(value, name) for name in names if hasattr(value, name)}
    changed = {name: new for name, part in fields.items() if (new := replaced(part)) is not part}
    if not changed:
        return value
    new_value = _copy(value)
    for name, part in changed.items():
        object.__setattr__(new_value, name, part)
    return new_value


def _copy(value: Any) -> Any:
    import copy

    return copy.copy(value)


def value_of(target: Any, allows_failure: bool) -> Any:
    """What a run gets in place of a future or state that has ended."""
    state = target if type(target) is State else target.state
    if state.type is COMPLETED:
        return state.data
    return get_state_exception(state)


def pending_in(references: list[Reference]) -> list[Any]:
    """The futures among references that have not ended."""
    return [future for future in (reference.pending for reference in references) if future is not None]


class Unsearchable(BadInput, TypeError):
    """A container in an argument cannot be searched, or made anew with values in place of futures."""


def with_values(args: tuple[Any, ...], kwargs: dict[str, Any], owner: str) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Arguments with values in place of futures and states. Raises Unsearchable for a container that takes none."""
    return (
        tuple([_with_value(value, f"{number}", owner) for number, value in enumerate(args, 1)]),
        {name: _with_value(value, name, owner) for name, value in kwargs.items()},
    )


def _with_value(value: Any, name: str, owner: str) -> Any:
    try:
        return replace_references(value, value_of)
    except Exception as error:
        raise Unsearchable(
            f"Argument {name} of {owner} cannot be made anew with values in place of futures: "
            f"{type(error).__name__}: {error}.",
            do="Pass it in quote(...) if there are no futures in it, else the values themselves.",
        ) from error
