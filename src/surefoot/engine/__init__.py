"""engine: runs what user code calls. The life of a run is a generator (lifecycle); drivers perform what it asks for.

Private: users import `surefoot.flows`, `surefoot.tasks`, `surefoot.futures` ... May import: journal, core.
"""
