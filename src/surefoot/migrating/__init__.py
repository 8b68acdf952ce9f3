"""Migrating: rewrites a project that was written for Prefect, file by file, and tells what a person has to look at.

What each kind of file means stands in a module of its own and goes from text to text; `tree` alone reads and writes
files. May import: core.
"""
