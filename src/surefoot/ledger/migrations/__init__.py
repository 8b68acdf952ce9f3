"""Revisions of the ledger's tables, oldest first: `versions/r<number>_<what>.py`, run by `surefoot.ledger.migrate`.

A new one is a file with the next number, which `tables.HEAD` then names. A test compares the tables that all
revisions make with those that `tables.py` and `indexes.py` tell. May import: Alembic, SQLAlchemy; nothing of ours,
since a revision never changes.
"""
