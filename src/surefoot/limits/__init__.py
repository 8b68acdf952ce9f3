"""limits: how a process takes slots of limits that are kept in the ledger, waits for them, and gives them back.

May import: core, journal, engine, locking.
"""
