"""What goes between processes: calls, values and exceptions as bytes, and errors that name what cannot be sent.

What is found under its name in a module that others can import is sent as that name; all else, and all that is in
`__main__`, as it is (cloudpickle). May import: core, definition, importable, inputs.
"""

from __future__ import annotations

import pickle
import sys
from collections.abc import Iterable, Sized
from copy import copy
from typing import Any, Final
from weakref import WeakSet

from surefoot.core.errors import FailedRun, UnpicklableArgument, UnpicklableResult
from surefoot.engine.definition import Definition
from surefoot.engine.importable import is_module_importable
from surefoot.engine.inputs import PLAIN, Reference, find_references
from surefoot.engine.lifecycle import reason

__all__ = [
    "check_call",
    "check_each",
    "check_rows",
    "dumps",
    "loads",
    "pickled_call",
    "pickled_definition",
    "pickled_error",
    "pickled_value",
]

loads: Final = pickle.loads

_WAY_OUT: Final = "Pass what it is made from (a path, a URL, plain values) and make it in the task, or "


def dumps(value: Any) -> bytes:
    """The bytes of a value. Raises whatever its own pickling raises."""
    if type(value) in PLAIN:
        return pickle.dumps(value, pickle.HIGHEST_PROTOCOL)
    import cloudpickle  # a door: 20 ms, wanted by those who use processes

    data: bytes = cloudpickle.dumps(value)
    return data


def pickled_call(definition: Definition, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bytes:
    """What a call is made with: what the function is bound to, and the arguments.

    Raises UnpicklableArgument that names the one that cannot be sent.
    """
    call = definition._bound, args, kwargs
    if not kwargs and not definition._bound and PLAIN.issuperset(map(type, args)):
        return pickle.dumps(call, pickle.HIGHEST_PROTOCOL)
    try:
        return dumps(call)
    except Exception as error:
        raise _named(definition, args, kwargs, error) from error


def check_call(definition: Definition, args: tuple[Any, ...], kwargs: dict[str, Any], of: str = "") -> None:
    """Raise UnpicklableArgument if these arguments could not be sent. Futures among them are not looked at.

    `of` says which call it is, where there are several: " of call 3".
    """
    given: list[tuple[int | str, Any]] = [*enumerate(args), *kwargs.items()]
    for place, value in given:
        found: list[Reference] = []
        if type(value) in PLAIN or find_references(value, found):
            continue
        try:
            dumps(value)
        except Exception as error:
            name = definition.name_at(place) if isinstance(place, int) else place
            raise _refusal(definition, name, error, of) from error


def check_each(definition: Definition, rows: Iterable[tuple[tuple[Any, ...], dict[str, Any]]]) -> None:
    """Raise UnpicklableArgument if one of these sets of arguments could not be sent; of several it is told which."""
    are_several = isinstance(rows, Sized) and len(rows) > 1
    for number, (args, kwargs) in enumerate(rows):
        check_call(definition, args, kwargs, f" of call {number:,} (the first is 0)" if are_several else "")


def check_rows(definition: Definition, rows: Iterable[tuple[tuple[Any, ...], dict[str, Any]]]) -> None:
    """Raise UnpicklableArgument if a task could not be called elsewhere with one of these sets of arguments."""
    if definition not in _sendable:
        pickled_definition(definition)
        if not definition._bound:  # what is bound to an instance is made anew each time
            _sendable.add(definition)
    check_each(definition, rows)


_sendable: WeakSet[Definition] = WeakSet()


def _named(
    definition: Definition, args: tuple[Any, ...], kwargs: dict[str, Any], error: Exception
) -> UnpicklableArgument:
    names = [definition.name_at(position) for position in range(len(args))]
    bound = [definition._positional[0] for _ in definition._bound]
    values = [*definition._bound, *args]
    for name, value in [*zip([*bound, *names], values, strict=True), *kwargs.items()]:
        try:
            dumps(value)
        except Exception as why:
            return _refusal(definition, name, why)
    return _refusal(definition, "", error)


def _refusal(definition: Definition, name: str, error: Exception, of: str = "") -> UnpicklableArgument:
    argument = f"its argument {name!r}{of}" if name else f"its arguments{of}"
    return UnpicklableArgument(
        f"Task {definition.name!r} cannot be called in another process: {argument} cannot be sent there "
        f"({_why(error)}).",
        do=_WAY_OUT + ("leave out isolation." if definition.isolation else "run the flow with ThreadPoolTaskRunner()."),
    )


def _why(error: Exception) -> str:
    return reason(error)[:500]


def pickled_definition(definition: Definition) -> bytes:
    """A task as a child needs it: under its name, or without what only the owner calls.

    Raises UnpicklableArgument if the function uses something that cannot be sent.
    """
    bare = definition
    if definition._bound or not definition.is_importable():
        bare = copy(definition)
        bare._bound = ()
        if not bare.is_importable():
            bare.hooks, bare.retry_condition_fn, bare.run_name, bare._options = {}, None, None, {}
    _send_by_value(bare)
    try:
        return dumps(bare)
    except Exception as error:
        raise UnpicklableArgument(
            f"Task {definition.name!r} cannot be called in another process: what its function uses cannot be sent "
            f"there ({_why(error)}).",
            do="Make it in the function, or put the function into a module that can be imported.",
        ) from error


def _send_by_value(definition: Definition) -> None:
    """Have all of a module sent as it is, if it was loaded from a file that other processes cannot import."""
    module = sys.modules.get(definition.__module__)
    if module is None or definition.__module__ == "__main__" or is_module_importable(module.__name__):
        return
    import cloudpickle

    cloudpickle.register_pickle_by_value(module)


def pickled_value(value: Any, what: str) -> bytes:
    """A return value. Raises UnpicklableResult if it cannot be sent. `what`: whose it is."""
    try:
        return dumps(value)
    except Exception as error:
        raise UnpicklableResult(
            f"{what} returned a {type(value).__name__} that cannot be brought back from its process ({_why(error)}).",
            do="Return plain values, or write the result to a file and return its path.",
        ) from error


def pickled_error(error: BaseException) -> bytes:
    """An exception; one that says the same, if it cannot be sent or cannot be made again from what is sent."""
    try:
        data = dumps(error)
        if type(loads(data)) is type(error):
            return data
        why = "it comes back as something else"
    except Exception as broken:
        why = _why(broken)
    told = f"{reason(error)[:5000]} (the exception itself could not be brought back: {why})"
    stand_in = FailedRun(told)
    for name in ("__surefoot_cause__", "__surefoot_traceback__"):
        if hasattr(error, name):
            setattr(stand_in, name, getattr(error, name))
    return pickle.dumps(stand_in)
