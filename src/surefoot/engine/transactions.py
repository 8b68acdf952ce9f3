"""Transactions in the hands of this process: a block of the user's code, or a task run; and the two ways to take steps.

What follows what stands in `transacting.py`; here is how each step is done. Loaded by whoever asks for a transaction.
May import: core, transacting, calling, interrupts, scope, results, logging.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Coroutine, Generator, Iterable
from typing import TYPE_CHECKING, Any, Final, TypeVar
from uuid import uuid4

from surefoot.core.errors import BadInput, ConfigurationError, Refused
from surefoot.core.states import COMPLETED, FAILED, SKIPPED
from surefoot.core.transactions import CommitMode, IsolationLevel, TransactionState
from surefoot.engine import scope
from surefoot.engine.effects import Outcome, Stopped, Verdict
from surefoot.engine.kept import keepable
from surefoot.engine.lifecycle import reason
from surefoot.engine.tracebacks import traceback_text
from surefoot.engine.transacting import CallHook, Step, Unit, begin, commit, leave, roll_back
from surefoot.engine.transaction_steps import Interruption, await_on, block_on, here, in_this_loop, limit_s
from surefoot.logging import get_logger, get_run_logger

if TYPE_CHECKING:
    from collections.abc import Awaitable
    from contextvars import Context

    from surefoot.engine.execution import Execution
    from surefoot.engine.task_execution import TaskExecution
    from surefoot.results.stores import ResultRecord, ResultStore

__all__ = ["AsyncTransaction", "Transaction", "current_transaction", "here"]

_UNKNOWN: Final = object()
Awaits = Callable[["Execution", "Awaitable[Any]", "float | None"], "Awaitable[Outcome]"]
T = TypeVar("T")


class TransactionError(Refused, RuntimeError):
    """A transaction was used in a way, or at a time, that it cannot be."""


class TransactionOptionError(BadInput, TypeError):
    """An argument of `transaction(...)`, `stage(...)` or `set(...)` cannot be used."""


class ValueNotSet(BadInput, ValueError, KeyError):
    """A value of a transaction was asked for that nobody has set, and there is no default."""

    __str__ = Exception.__str__


class Transaction(Unit):
    """A group of task runs and of your own code that is committed as a whole, or rolled back. Made by `transaction`.

    Within `with`, what tasks return is *staged*; records are written, and commit hooks called, when the outermost
    transaction ends. If its block raises, or a run in it fails, rollback hooks are called, the last first.
    """

    def __init__(
        self,
        key: str | None = None,
        store: ResultStore | None = None,
        commit_mode: CommitMode | str | None = None,
        isolation_level: IsolationLevel | str | None = None,
        overwrite: bool = False,
        write_on_commit: bool = True,
        logger: Any = None,
    ) -> None:
        super().__init__(
            None if commit_mode is None else _one_of(CommitMode, commit_mode, "commit_mode"),
            None if isolation_level is None else _one_of(IsolationLevel, isolation_level, "isolation_level"),
        )
        if key is not None and (not isinstance(key, str) or not key.strip()):
            raise TransactionOptionError(f"key of a transaction is {key!r}.", do="Pass a text, or leave it out.")
        if store is not None and not all(hasattr(store, name) for name in ("read", "write", "exists", "remove")):
            raise TransactionOptionError(f"store of a transaction is {store!r}.", do="Pass a ResultStore.")
        self._key = key
        self._store = store
        self.overwrite = overwrite
        self.write_on_commit = write_on_commit
        self.logger = logger
        self.holder = str(uuid4())
        self.futures: list[Any] = []  # of the runs that were submitted within it
        self._values: dict[str, Any] = {}
        self._value: Any = _UNKNOWN
        self._token: Any = None
        self._covered: list[Any] = []  # what lay where its records were written
        self._has_begun = False
        if self.isolation_level is IsolationLevel.SERIALIZABLE:
            self._check_locks()

    # -- what it is

    @property
    def key(self) -> str | None:
        """What its record is found by; of a task run its cache key. None: nothing is written."""
        return self._key

    @property
    def store(self) -> ResultStore | None:
        """Where its record is; None if it has no key."""
        if self._store is None and self._key is not None:
            from surefoot.results.stores import get_result_store

            self._store = get_result_store()
        return self._store

    def get_parent(self) -> Transaction | None:
        """The transaction around it."""
        return self.parent if isinstance(self.parent, Transaction) else None

    def is_pending(self) -> bool:
        """Whether it has not begun."""
        return self.state is TransactionState.PENDING

    def is_active(self) -> bool:
        """Whether it has begun, and nothing was staged yet."""
        return self.state is TransactionState.ACTIVE

    def is_staged(self) -> bool:
        """Whether something was staged, and is not committed yet."""
        return self.state is TransactionState.STAGED

    def is_committed(self) -> bool:
        """Whether it is committed, now or by an earlier run: then there was a record at its key when it began."""
        return self.state is TransactionState.COMMITTED

    def is_rolled_back(self) -> bool:
        """Whether it was rolled back."""
        return self.state is TransactionState.ROLLED_BACK

    def __repr__(self) -> str:
        key = "" if self.key is None else f" {self.key!r}"
        return f"<{type(self).__name__}{key} {self.state.value}>"

    # -- values

    def set(self, name: str, value: Any) -> None:
        """Keep a value under a name, for hooks and for what is called within.

        Args:
            name: any text.
            value: anything that can be copied. Raises TransactionOptionError, a TypeError, for what cannot.
        """
        if not isinstance(name, str):
            raise TransactionOptionError(f"The name of a value is {name!r}.", do="Pass a text.")
        _copied(name, value)
        self._values[name] = value

    def get(self, name: str, default: Any = _UNKNOWN) -> Any:
        """A copy of the value of that name, of this transaction or of one around it.

        Raises ValueError if nobody has set it, and there is no default.
        """
        unit: Unit | None = self
        while isinstance(unit, Transaction):
            if name in unit._values:
                return _copied(name, unit._values[name])
            unit = unit.parent
        if default is _UNKNOWN:
            known = ", ".join(sorted(self._values)) or "nothing"
            raise ValueNotSet(f"The transaction has no value {name!r}; it has {known}.", do="Pass a default.")
        return default

    # -- what is to be committed

    def stage(
        self,
        value: Any,
        on_rollback_hooks: Iterable[Callable[..., Any]] | None = None,
        on_commit_hooks: Iterable[Callable[..., Any]] | None = None,
    ) -> None:
        """Have a value written to the key at the commit, and hooks called. Changes nothing if it is committed.

        Args:
            value: what is written.
            on_rollback_hooks: functions of the transaction, called if it is rolled back, the last first.
            on_commit_hooks: functions of the transaction, called before the record is written.
        """
        hooks = [list(each or ()) for each in (on_rollback_hooks, on_commit_hooks)]
        for hook in [*hooks[0], *hooks[1]]:
            if not callable(hook):
                raise TransactionOptionError(f"The hook {hook!r} cannot be called.", do="Pass functions.")
        if self.state is TransactionState.COMMITTED:
            return
        if self.state is TransactionState.ROLLED_BACK:
            raise TransactionError(f"The transaction was rolled back: {self.why_not}.")
        self._value = value
        self.on_rollback_hooks += hooks[0]
        self.on_commit_hooks += hooks[1]
        self.state = TransactionState.STAGED

    def read(self) -> ResultRecord[Any] | None:
        """The record at its key; None if there is none."""
        store = self.store
        return store.read(self.key) if store is not None and self.key and store.exists(self.key) else None

    def commit(self) -> bool:
        """Commit now, with all that has ended within. Whether this did it: not if it is committed, or cannot be.

        Raises what a commit hook or the writing of a record raised; then it was rolled back.
        """
        is_open = self.state in (TransactionState.ACTIVE, TransactionState.STAGED) and not self.is_closed
        if is_open:
            _raise(here(commit(self)))
        return is_open and self.state is TransactionState.COMMITTED

    def rollback(self) -> bool:
        """Roll back now. Whether this did it, and every hook was called to its end without an exception."""
        if self.state in (TransactionState.COMMITTED, TransactionState.ROLLED_BACK):
            return False
        error = here(roll_back(self, "rollback() was called"))
        if isinstance(error, Interruption):
            _raise(error)
        return error is None

    # -- as a block

    def __enter__(self) -> Transaction:
        self._begin_once()
        _raise(here(self._beginning()))
        self._token = scope.transact(self)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        self._leave_scope()
        failed = here(leave(self, None if error is None else reason(error)))
        self._tell_end(error)
        if error is None:
            _raise(failed)

    def _begin_once(self) -> None:
        if self._has_begun:
            raise TransactionError(
                "The same transaction was entered again.", do="Make a new one: with transaction(...) as txn:"
            )
        self._has_begun = True

    def _beginning(self) -> Generator[Step, Any, BaseException | None]:
        parent = current_transaction()
        if parent is not None and parent.is_closed:
            parent = None
        level = self.isolation_level or (None if parent is None else parent.isolation_level)
        if level is IsolationLevel.SERIALIZABLE and self.key is not None:
            self._check_locks()
        return begin(self, parent, overwrite=self.overwrite, has_key=self.key is not None)

    def _check_locks(self) -> None:
        if getattr(self.store, "lock_manager", None) is None:
            raise ConfigurationError(
                "isolation_level SERIALIZABLE needs a lock manager, and the transaction's store has none.",
                do="Pass one: store=ResultStore(lock_manager=FileSystemLockManager('/tmp/locks')).",
            )

    def _leave_scope(self) -> None:
        token, self._token = self._token, None
        if token is not None:
            scope.transacted(token)

    def _tell_end(self, error: BaseException | None) -> None:
        if error is None and self.state is TransactionState.ROLLED_BACK and self.why_not:
            self._say(logging.WARNING, f"The transaction{self._named()} was rolled back: {self.why_not}")

    def _named(self) -> str:
        return "" if self.key is None else f" {self.key!r}"

    def _say(self, level: int, text: str) -> None:
        logger = self.logger
        if logger is None:
            logger = get_logger("transactions") if scope.current() is None else get_run_logger()
        logger.log(level, text)

    # -- steps

    def context_of_hooks(self) -> Context | None:
        """In which context its hooks are called; None: in that which it ends in."""
        return None

    def tell_of_hook(self, step: CallHook, error: Exception) -> None:
        """A hook failed."""
        name = getattr(step.hook, "__name__", repr(step.hook))
        self._say(logging.ERROR, f"The {step.kind} hook {name!r} raised:\n{traceback_text(error)}")

    def write(self) -> None:
        """Write its record, if it has one."""
        store, key = self.store, self.key
        if self.write_on_commit and self._value is not _UNKNOWN and key is not None and store is not None:
            from surefoot.engine.staging import write_staged

            self._writing(lambda: write_staged(store, key, self._value, self.holder))

    def _writing(self, write: Callable[[], T]) -> T:
        from surefoot.results.places import covering

        with covering() as self._covered:
            return write()

    def erase(self) -> None:
        """Take that back: what lay there before lies there again."""
        if self.write_on_commit and self._value is not _UNKNOWN and self.key is not None and self.store is not None:
            self.store.remove(self.key)
        self._put_back()

    def _put_back(self) -> None:
        from surefoot.results.places import put_back

        covered, self._covered = self._covered, []
        put_back(covered)

    def settled(self) -> None:
        """It is committed or rolled back."""
        self._covered = []


class AsyncTransaction(Transaction):
    """The same for `async with`: waits do not block the event loop, hooks that are not asynchronous run in a thread."""

    def __enter__(self) -> Transaction:
        raise TransactionError(
            "An asynchronous transaction was entered by `with`.", do="Write `async with atransaction(...) as txn:`."
        )

    async def __aenter__(self) -> AsyncTransaction:
        self._begin_once()
        _raise(await in_this_loop(self._beginning()))
        self._token = scope.transact(self)
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        self._leave_scope()
        failed = await in_this_loop(leave(self, None if error is None else reason(error)))
        self._tell_end(error)
        if error is None:
            _raise(failed)

    async def acommit(self) -> bool:
        """As `commit`, without blocking the event loop."""
        is_open = self.state in (TransactionState.ACTIVE, TransactionState.STAGED) and not self.is_closed
        if is_open:
            _raise(await in_this_loop(commit(self)))
        return is_open and self.state is TransactionState.COMMITTED

    async def arollback(self) -> bool:
        """As `rollback`, without blocking the event loop."""
        if self.state in (TransactionState.COMMITTED, TransactionState.ROLLED_BACK):
            return False
        error = await in_this_loop(roll_back(self, "rollback() was called"))
        if isinstance(error, Interruption):
            _raise(error)
        return error is None


class TaskTransaction(Transaction):
    """A task run, as a transaction."""

    def __init__(self, execution: TaskExecution, around: Transaction | None) -> None:
        super().__init__()
        self.execution: Any = execution
        self._has_begun = True
        self.verdict: Verdict | None = None
        self.keepable: tuple[bytes | None, str | None] = None, None
        self._is_alone = True  # it tells its end itself
        self._is_left = False
        self._told: tuple[str, str | None, Any] | None = None
        for _ in begin(self, around, overwrite=True, has_key=False):
            pass

    @property
    def key(self) -> str | None:
        """The key of the run in its task's cache; None if it has none."""
        return getattr(getattr(self.execution, "cache", None), "key", None)

    @property
    def store(self) -> ResultStore | None:
        """None: a task run knows itself where its result goes."""
        return None

    def context_of_hooks(self) -> Context | None:
        """That of the run, unless this code is in it."""
        context: Context = self.execution.context
        return None if scope.current() is self.execution else context

    def write(self) -> None:
        execution = self.execution
        if self.verdict is None:
            return
        verdict, execution.unkept = self.verdict, None
        kept = self._writing(lambda: execution.keep_committed(verdict))
        if kept.state_type is FAILED:
            raise kept.data
        self.verdict = kept

    def erase(self) -> None:
        if self.verdict is not None:
            self.execution.forget_kept("its transaction was rolled back")
            self._put_back()

    def settled(self) -> None:
        super().settled()
        is_committed = self.state is TransactionState.COMMITTED
        verdict = self.verdict
        if verdict is None:
            return  # it failed, or was skipped: its own end tells
        if not is_committed:
            self.execution.forget_kept("its transaction was rolled back")
        name, message = (verdict.state_name, verdict.message) if is_committed else ("RolledBack", self.why_not)
        told = name, message, verdict.data
        with _telling:
            if not self._is_left:  # its life goes on, and tells
                self._told = told
                return
        self.execution.settled_late(*told)

    def _fail_around(self) -> None:
        parent, execution = self.parent, self.execution
        if parent is not None and not parent.is_closed:
            parent.why_not = parent.why_not or f"task run {execution.run_name} did not run: {execution.message}"

    def is_left_to_others(self) -> bool:
        """Its life is over: whether what becomes of it is for the transaction around it to tell."""
        if self.verdict is None and not self.is_closed and self.execution.state_type is not COMPLETED:
            self._fail_around()  # its function was never called
        if self.verdict is None or self._is_alone:
            return False
        with _telling:
            self._is_left, told = True, self._told
        if told is not None:  # that was quick
            self.execution.settled_late(*told)
        return True

    def conclusion(self, stop: Stopped | None, verdict: Verdict) -> Generator[Step, Any, Verdict | Stopped]:
        """The run's function has come to its end: with this verdict, or stopped. Answers what the run ends with."""
        if stop is not None or verdict.state_type is not COMPLETED:
            name = self.execution.run_name
            why = f"task run {name} {'was stopped' if stop else 'failed'}: {stop.why if stop else verdict.message}"
            error = yield from leave(self, why)
            return error.stop if isinstance(error, Interruption) else verdict
        if verdict.state_name == SKIPPED:  # it did nothing itself, but what it called may have
            error = yield from leave(self, None)
            return error.stop if isinstance(error, Interruption) else verdict
        self.verdict = verdict
        self.keepable = keepable(self.execution)
        hooks = self.execution.definition.hooks
        self.stage(verdict.data, hooks.get("rollback"), hooks.get("commit"))
        error = yield from leave(self, None)
        if isinstance(error, Interruption):
            return error.stop
        if error is not None:
            assert isinstance(error, Exception)
            return Verdict(FAILED, "Failed", reason(error), error)
        if self.is_handed_on:
            self._is_alone = False
            self.execution.unkept = "its transaction was not committed"
            return Verdict(COMPLETED, "Staged", _STAGED, verdict.data)
        if self.state is TransactionState.ROLLED_BACK:
            return Verdict(COMPLETED, "RolledBack", self.why_not, verdict.data)
        return self.verdict

    def conclude(self, stop: Stopped | None, verdict: Verdict) -> Verdict | Stopped:
        """The same, done here."""
        return block_on(self.conclusion(stop, verdict), self.execution)

    async def conclude_in_loop(self, stop: Stopped | None, verdict: Verdict, call: Awaits) -> Verdict | Stopped:
        """The same, done in this event loop."""
        return await await_on(self.conclusion(stop, verdict), self._by(call))

    def undo(self, why: str | None) -> Stopped | None:
        """The run's function failed, and is called again: what it had begun is rolled back."""
        return block_on(self.undoing(why), self.execution)

    async def undo_in_loop(self, why: str | None, call: Awaits) -> Stopped | None:
        """The same, done in this event loop."""
        return await await_on(self.undoing(why), self._by(call))

    def _by(self, call: Awaits) -> Callable[[Coroutine[Any, Any, Any]], Awaitable[Any]]:
        execution = self.execution
        return lambda work: call(execution, work, limit_s(execution))

    def undoing(self, why: str | None) -> Generator[Step, Any, Stopped | None]:
        """The steps of `undo`."""
        around, self.parent = self.parent, None
        error = yield from roll_back(self, why or "it is tried again")
        self.parent = around
        self.renew()
        return error.stop if isinstance(error, Interruption) else None


_telling = threading.Lock()
_STAGED: Final = "it waits for the commit of the transaction around it"


def current_transaction() -> Transaction | None:
    """The innermost transaction that this code is in; in a task run, the run's own."""
    found: Transaction | None = scope.transaction()
    execution = scope.current()
    if execution is None or not execution.is_task or execution.sealed:
        return found
    task: Any = execution
    if task.transaction is None:
        task.transaction = TaskTransaction(task, None)
        scope.transact(task.transaction)
        return task.transaction  # type: ignore[no-any-return]
    return found


def _one_of(kind: type[T], value: Any, name: str) -> T:
    try:
        return kind(value)  # type: ignore[call-arg]
    except ValueError:
        known = ", ".join(f"{kind.__name__}.{each.name}" for each in kind)  # type: ignore[attr-defined]
        raise TransactionOptionError(f"{name} of a transaction is {value!r}.", do=f"Pass one of {known}.") from None


def _copied(name: str, value: Any) -> Any:
    from copy import deepcopy

    try:
        return deepcopy(value)
    except Exception as error:
        raise TransactionOptionError(
            f"The value {name!r} of a transaction, a {type(value).__name__}, cannot be copied: {reason(error)}.",
            do="Keep what it is made from, such as a path, or close over it in a hook.",
        ) from error


def _raise(error: BaseException | None) -> None:
    if isinstance(error, Interruption):
        raise error.stop.error
    if error is not None:
        raise error
