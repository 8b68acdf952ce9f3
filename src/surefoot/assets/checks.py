"""Checks: what is asked of the value that a task gives before anybody goes on with it.

They are a part of the call: its time limit counts for them, a retry repeats them, and they run where it runs.
May import: engine, states, logging, core.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from functools import partial
from types import CoroutineType, GeneratorType
from typing import Any, Final, Literal, overload

import msgspec

from surefoot.core.assets import check_key
from surefoot.core.errors import AssetCheckFailed, BadInput
from surefoot.core.facts import CheckTold
from surefoot.core.states import COMPLETED
from surefoot.engine.calling import run_coroutine
from surefoot.engine.inputs import Reference, find_references, pending_in, replace_references, value_of
from surefoot.engine.lifecycle import reason
from surefoot.engine.materializing import json_of, limited, note_check
from surefoot.logging import get_run_logger

__all__ = ["Check", "CheckResult", "Checked", "check", "checks_of"]

Severity = Literal["error", "warn"]

_SEVERITIES: Final = ("error", "warn")
_MESSAGE_MAX: Final = 1_000


class CheckError(BadInput, TypeError):
    """What was passed as a check is none."""


class CheckResult(msgspec.Struct, frozen=True):
    """What a check says, where yes or no is not enough.

    Args:
        passed: whether the value is as it should be.
        message: what is wrong with it, in a line: "3% of the keys are null".
        severity: "warn" if it is to be recorded only; the check's own if left out.
        metadata: what was measured, by name, as JSON can hold it.
    """

    passed: bool
    message: str | None = None
    severity: Severity | None = None
    metadata: dict[str, Any] = {}


class Check:
    """A function that checks what a task gives, with how much that counts. Made by `check`, and called as before."""

    def __init__(
        self, fn: Callable[..., Any], *, name: str | None = None, severity: Severity = "error", asset: Any = None
    ) -> None:
        if not callable(fn):
            raise CheckError(f"A check is {fn!r}, which cannot be called.", do="Pass a function of the value.")
        if severity not in _SEVERITIES:
            raise CheckError(f"The severity of a check is {severity!r}.", do='Use "error" or "warn".')
        if name is not None and (not isinstance(name, str) or not name.strip() or len(name) > 200):
            raise CheckError(f"The name of a check is {name!r}.", do="Use 1 to 200 characters.")
        self.fn = fn
        self.name = name or _name_of(fn)
        self.severity = severity
        self.asset = None if asset is None else check_key(getattr(asset, "key", asset))

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function itself."""
        return self.fn(*args, **kwargs)

    def __repr__(self) -> str:
        return f"<Check {self.name!r}>"


def _name_of(fn: Any) -> str:
    while isinstance(fn, partial):
        fn = fn.func
    return str(getattr(fn, "__name__", None) or type(fn).__name__)[:200]


@overload
def check(fn: Callable[..., Any], /) -> Check: ...
@overload
def check(
    *, name: str | None = None, severity: Severity = "error", asset: Any = None
) -> Callable[[Callable[..., Any]], Check]: ...
def check(fn: Any = None, /, **options: Any) -> Any:
    """Say more of a function that checks: a plain function does as a check too.

    It is called with the value that the task gives. It has found something wrong if it raises, or returns False, or a
    `CheckResult` that says so; None and True are fine.

    Args:
        name: what the check is called; the function's name if left out.
        severity: "error" has the run fail, so that nothing that waits for it runs; "warn" is recorded only.
        asset: the one that it is about, where a task makes several; all of them if left out.

    >>> @check(severity="warn")
    ... def not_empty(rows: list[int]) -> bool:
    ...     return len(rows) > 0
    >>> not_empty.name, not_empty([])
    ('not_empty', False)
    """
    make: Callable[[Any], Check] = lambda function: Check(function, **options)  # noqa: E731
    return make if fn is None else make(fn)


def checks_of(checks: Iterable[Any] | None, keys: tuple[str, ...], owner: str) -> tuple[Check, ...]:
    """The checks of a task. Raises CheckError for what is none."""
    if checks is None:
        return ()
    if callable(checks) or isinstance(checks, str) or not isinstance(checks, Iterable):
        raise CheckError(f"checks of {owner} is {checks!r}.", do="Pass a list of functions: checks=[not_empty].")
    found = tuple([one if isinstance(one, Check) else Check(one) for one in checks])
    for one in found:
        if one.asset is not None and one.asset not in keys:
            raise CheckError(f"Check {one.name!r} is about {one.asset}, which {owner} does not make.", do="Correct it.")
    return found


class Checked:
    """What a run calls: the function, and then the checks of its value."""

    def __init__(self, fn: Callable[..., Any], checks: tuple[Check, ...], keys: tuple[str, ...], isasync: bool) -> None:
        self._fn = fn
        self._checks = checks
        self._keys = keys
        self._isasync = isasync

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function, and check what it returns."""
        __tracebackhide__ = True
        value = self._fn(*args, **kwargs)
        if self._isasync or type(value) is CoroutineType:
            return self._when_awaited(value)
        if type(value) is GeneratorType:  # nobody is there to take its values one by one
            value = list(value)
        found = _references(value)
        for future in pending_in(found):
            future.wait()
        steps = self._steps(value, found)
        said: Any = None
        while True:
            try:
                check, whole = steps.send(said)
            except StopIteration:
                return value
            said = _asked(check, whole)
            if hasattr(said, "__await__"):
                said = run_coroutine(None, _awaited(said))

    async def _when_awaited(self, awaitable: Any) -> Any:
        __tracebackhide__ = True
        value = await awaitable
        found = _references(value)
        for future in pending_in(found):
            await future.ended()
        steps = self._steps(value, found)
        said: Any = None
        while True:
            try:
                check, whole = steps.send(said)
            except StopIteration:
                return value
            said = _asked(check, whole)
            if hasattr(said, "__await__"):
                said = await _awaited(said)

    def _steps(self, value: Any, found: list[Reference]) -> Generator[tuple[Check, Any], Any, None]:
        """Which check is to be called with what, one after another; takes what each said. Raises AssetCheckFailed."""
        if any(one.state.type is not COMPLETED for one in found):
            return  # the run fails because of these
        whole = replace_references(value, value_of) if found else value
        refused: list[tuple[CheckTold, str, Exception | None]] = []
        for check in self._checks:
            said = yield check, whole
            told, error = _told(check, said)
            note_check(check.asset, told)
            if told.passed:
                continue
            of = check.asset or ", ".join(self._keys)
            if told.severity == "warn":
                get_run_logger().warning("Check %r of %s says: %s", told.name, of, told.message or "it did not pass")
            else:
                refused.append((told, of, error))
        if refused:
            raise _failure(refused)


def _references(value: Any) -> list[Reference]:
    found: list[Reference] = []
    find_references(value, found)
    return found


def _asked(check: Check, value: Any) -> Any:
    try:
        return check.fn(value)
    except Exception as error:
        return error


async def _awaited(said: Any) -> Any:
    try:
        return await said
    except Exception as error:
        return error


def _told(check: Check, said: Any) -> tuple[CheckTold, Exception | None]:
    """What a check said, as a fact."""
    if isinstance(said, Exception):
        text = str(said) if type(said) is AssertionError else reason(said)
        return CheckTold(check.name, False, check.severity, (text or "it raised AssertionError")[:_MESSAGE_MAX]), said
    if isinstance(said, CheckResult):
        severity = said.severity if said.severity in _SEVERITIES else check.severity
        message = None if said.message is None else str(said.message)[:_MESSAGE_MAX]
        metadata = limited(json_of(said.metadata), f"check {check.name!r}")
        return CheckTold(check.name, bool(said.passed), severity, message, metadata), None
    if said is None or isinstance(said, bool) or type(said).__name__ in ("bool_", "bool"):  # numpy has one of its own
        return CheckTold(check.name, said is None or bool(said), check.severity), None
    message = f"it returned {said!r:.200}, where True, False, None or a CheckResult was wanted"
    return CheckTold(check.name, False, check.severity, message), None


def _failure(refused: list[tuple[CheckTold, str, Exception | None]]) -> AssetCheckFailed:
    told, of, cause = refused[0]
    others = f" (and so did {', '.join(other.name for other, _, _ in refused[1:])})" if len(refused) > 1 else ""
    why = f": {told.message.rstrip(' .')}" if told.message else ""
    error = AssetCheckFailed(
        f"Check {told.name!r} of asset {of} failed{others}{why}.", do="Mend the data or the check, then retry the run."
    )
    error.__cause__ = cause
    return error
