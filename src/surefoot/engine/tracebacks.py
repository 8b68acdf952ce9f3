"""Tracebacks: as text without our own frames, and as what a large map may keep of thousands of failures.

The text of a place in the code is made once: a map of 100,000 runs that all fail at one line must not take minutes for
it. May import: nothing of ours.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from types import CodeType, FrameType, TracebackType
from typing import Any, Final

__all__ = ["SharedFrames", "cause_of", "tied_as_before", "traceback_text"]

_OURS: Final = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
_CHAIN_MAX: Final = 20  # exceptions behind exceptions that are told piece by piece
_PLACES_MAX: Final = 500
_CAUSE: Final = "\nThe above exception was the direct cause of the following exception:\n\n"
_CONTEXT: Final = "\nDuring handling of the above exception, another exception occurred:\n\n"
# The last line of these depends on where they were raised, not only on themselves.
_SUGGESTING: Final = (SyntaxError, NameError, AttributeError, ImportError, BaseExceptionGroup)


def traceback_text(error: BaseException) -> str:
    """The traceback of an exception, without the frames of Surefoot that lie between the user's own."""
    elsewhere = getattr(error, "__surefoot_traceback__", None)
    if error.__traceback__ is None and isinstance(elsewhere, str):  # it was raised in another process
        return elsewhere
    chain, seen = [error], {id(error)}
    while (behind := _behind(chain[-1])) is not None:
        if len(chain) == _CHAIN_MAX or id(behind) in seen:
            return _whole_text(error)
        chain.append(behind)
        seen.add(id(behind))
    if any(isinstance(each, _SUGGESTING) for each in chain):
        return _whole_text(error)
    parts: list[str] = []
    for each in reversed(chain):
        if parts:
            parts.append(_CONTEXT if each.__cause__ is None else _CAUSE)
        parts += [_place_text(each), _last_lines(each)]
    return "".join(parts)


def _behind(error: BaseException) -> BaseException | None:
    if error.__cause__ is not None:
        return error.__cause__
    return None if error.__suppress_context__ else error.__context__


_places: dict[tuple[Any, ...], str] = {}


def _place_text(error: BaseException) -> str:
    """All but the last lines of one exception's own part."""
    trace = error.__traceback__
    if trace is None:
        return ""
    key: list[Any] = []
    while trace is not None:
        key += (trace.tb_frame.f_code, trace.tb_lasti)
        trace = trace.tb_next
    place = tuple(key)
    found = _places.get(place)
    if found is None:
        import traceback

        stack = traceback.TracebackException(type(error), error, error.__traceback__, compact=True).stack
        found = "".join(["Traceback (most recent call last):\n", *_without_ours(stack).format()])
        if len(_places) >= _PLACES_MAX:
            _places.clear()
        _places[place] = found
    return found


def _last_lines(error: BaseException) -> str:
    import traceback

    return "".join(traceback.TracebackException(type(error), error, None, compact=True).format_exception_only())


def _whole_text(error: BaseException) -> str:
    import traceback

    told = traceback.TracebackException.from_exception(error, compact=True)
    seen: set[int] = set()
    pending: list[Any] = [told]
    while pending:
        part = pending.pop()
        if part is None or id(part) in seen:
            continue
        seen.add(id(part))
        part.stack = _without_ours(part.stack)
        pending += [part.__cause__, part.__context__, *(part.exceptions or ())]
    return "".join(told.format())


def _without_ours(stack: Any) -> Any:
    import traceback

    return traceback.StackSummary.from_list([frame for frame in stack if not frame.filename.startswith(_OURS)])


class SharedFrames:
    """Keeps the failures of maps from keeping all that their functions had in hand.

    An exception refers to the frames that it went through, and those to every local variable. Of each map the first
    failures keep theirs, to be looked at in a debugger; the exceptions of all others refer to the frames of one that
    passed the same code, so that lines are told rightly and nothing else is kept.
    """

    KEPT: Final = 10  # failures of a map whose frames are kept

    __slots__ = ("_counts", "_frames")

    def __init__(self) -> None:
        self._counts: dict[bytes, int] = {}
        self._frames: dict[CodeType, FrameType] = {}

    def failed(self, map_id: bytes, error: BaseException) -> None:
        """A run of a map has failed with this exception."""
        count = self._counts[map_id] = self._counts.get(map_id, 0) + 1
        if count <= self.KEPT:
            return
        pending: list[BaseException | None] = [error]
        seen: set[int] = set()
        while pending and len(seen) < _CHAIN_MAX:
            each = pending.pop()
            if each is not None and id(each) not in seen:
                seen.add(id(each))
                each.__traceback__ = self._shared(each.__traceback__)
                pending += [each.__cause__, each.__context__]

    def _shared(self, trace: TracebackType | None) -> TracebackType | None:
        entries = []
        while trace is not None:
            entries.append(trace)
            trace = trace.tb_next
        made: TracebackType | None = None
        for entry in reversed(entries):
            frame = self._frames.setdefault(entry.tb_frame.f_code, entry.tb_frame)
            made = TracebackType(made, frame, entry.tb_lasti, entry.tb_lineno)
        return made


def cause_of(error: BaseException, run_id: bytes, around_id: bytes | None) -> bytes | None:
    """The run that an exception ended first, if it came out of that run into this one; and tie it to this one.

    An exception carries the run that it ended first, and the run around the last one that it left: only there does it
    count as a cause. So one exception object that is raised by two runs is not told as the same failure.
    """
    cause_id, ended_within = getattr(error, "__surefoot_cause__", (None, None))
    if ended_within != run_id:
        cause_id = None
    try:
        error.__surefoot_cause__ = (cause_id or run_id, around_id)  # type: ignore[attr-defined]
    except Exception:
        return cause_id  # a type of exception that takes no attributes: further out the text alone tells
    return cause_id


@contextmanager
def tied_as_before(error: BaseException | None) -> Iterator[None]:
    """What is ended meanwhile, with the exception that stopped the run around it, is not the cause of that end."""
    before = getattr(error, "__surefoot_cause__", (None, None))
    try:
        yield
    finally:
        try:
            error.__surefoot_cause__ = before  # type: ignore[union-attr]
        except Exception:
            pass  # it takes no attributes, so it was tied to nothing
