"""Transactions: how isolated work under one key is, and when it is committed. May import: core."""

from __future__ import annotations

from surefoot.core.transactions import CommitMode, IsolationLevel, TransactionState

__all__ = ["CommitMode", "IsolationLevel", "TransactionState"]
