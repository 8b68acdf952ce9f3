"""What differs from database to database: each has a module of its own here, with the same names as `sqlite`.

A statement that needs one of these asks `choice.dialect_of` its connection; all other SQL is written once.
"""
