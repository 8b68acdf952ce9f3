"""Staging: writing what was staged in a transaction to its store, and why that cannot be done, by its key.

May import: core, results.
"""

from __future__ import annotations

from typing import Any

from surefoot.core.errors import ResultNotStored, SurefootError
from surefoot.results.pickling import why_not
from surefoot.results.refusals import refusal
from surefoot.results.serializing import SerializerError
from surefoot.results.stores import ResultStore

__all__ = ["StagedNotStored", "ValueNotStorable", "write_staged"]


class StagedNotStored(ResultNotStored, OSError):
    """The store of a transaction did not take what was staged."""


class ValueNotStorable(ResultNotStored, TypeError):
    """What was staged in a transaction is nothing that its store's serializer can write."""


def write_staged(store: ResultStore, key: str, value: Any, holder: str) -> None:
    """Write a value to a transaction's key. Raises ResultNotStored, also a TypeError or an OSError, by what it is.

    A store that somebody wrote raises what it likes.
    """
    try:
        store.write(value, key, holder=holder)
    except Exception as error:
        if not isinstance(store, ResultStore):
            raise
        told = _told(error, key, value)
        if told is error:
            raise
        raise told from error


def _told(error: Exception, key: str, value: Any) -> Exception:
    what = f"What was staged in the transaction {key!r}"
    where = getattr(error, "filename", None)
    if isinstance(error, OSError) and isinstance(where, str):
        why, do = refusal(error, where)
        return StagedNotStored(f"{what} could not be stored: {why}.", do=f"{do}, or pass another store.")
    if isinstance(error, SurefootError) and not isinstance(error, SerializerError):
        return error
    why = error.what.rstrip(".") if isinstance(error, SerializerError) else why_not(error)
    return ValueNotStorable(
        f"{what}, of the type {type(value).__name__}, could not be stored: {why}.",
        do="Stage what it is made from, or pass store=ResultStore(serializer=...) that can write it.",
    )
