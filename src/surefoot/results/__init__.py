"""Results: where the values that runs returned live, and how they come back. Keeps promise 5 for values.

Packs hold what is kept for resuming; objects, what a user asked to persist. May import: journal, core.
"""
