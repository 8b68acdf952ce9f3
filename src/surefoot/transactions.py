"""Transactions: task runs and code of your own that are committed as a whole, or rolled back.

    from surefoot.transactions import transaction

    with transaction() as txn:
        write_file(...)
        check_file(...)   # if this raises, the rollback hooks of what completed are called, the last first

May import: core, engine.
"""

from __future__ import annotations

from typing import Any

from surefoot.core.transactions import CommitMode, IsolationLevel, TransactionState
from surefoot.engine.transactions import AsyncTransaction, Transaction, current_transaction
from surefoot.results.stores import ResultStore

__all__ = [
    "AsyncTransaction",
    "CommitMode",
    "IsolationLevel",
    "Transaction",
    "TransactionState",
    "atransaction",
    "get_transaction",
    "transaction",
]


def transaction(
    key: str | None = None,
    store: ResultStore | None = None,
    commit_mode: CommitMode | str | None = None,
    isolation_level: IsolationLevel | str | None = None,
    overwrite: bool = False,
    write_on_commit: bool = True,
    logger: Any = None,
) -> Transaction:
    """A transaction, for `with`. Within another it is a part of that.

    Args:
        key: what its record is found by, in this run and later ones; None: it has no record.
        store: where the record is; by default where the results of the run around it are stored.
        commit_mode: LAZY commits when the outermost transaction ends, EAGER at its own end, OFF only by `commit()`.
            The default is that of the transaction around it, or LAZY.
        isolation_level: SERIALIZABLE locks the key from the beginning to the end; READ_COMMITTED, the default, does
            not. Also taken over from the transaction around it.
        overwrite: whether a record that is there counts for nothing.
        write_on_commit: False writes no record.
        logger: for what is told about it; by default that of the run.

    Raises ConfigurationError for SERIALIZABLE without a lock manager, BadInput for what cannot be used.

    >>> undone = []
    >>> try:
    ...     with transaction() as txn:
    ...         txn.stage("a", on_rollback_hooks=[lambda txn: undone.append("a")])
    ...         raise RuntimeError("no")
    ... except RuntimeError:
    ...     print(undone, txn.state.value)
    ['a'] ROLLED_BACK
    """
    return Transaction(key, store, commit_mode, isolation_level, overwrite, write_on_commit, logger)


def atransaction(
    key: str | None = None,
    store: ResultStore | None = None,
    commit_mode: CommitMode | str | None = None,
    isolation_level: IsolationLevel | str | None = None,
    overwrite: bool = False,
    write_on_commit: bool = True,
    logger: Any = None,
) -> AsyncTransaction:
    """The same for `async with`: waits do not block the event loop, hooks that are not asynchronous run in a thread.

    The arguments are those of `transaction`.
    """
    return AsyncTransaction(key, store, commit_mode, isolation_level, overwrite, write_on_commit, logger)


def get_transaction() -> Transaction | None:
    """The innermost transaction that this code is in; in a task run, the run's own. None if there is none."""
    return current_transaction()
