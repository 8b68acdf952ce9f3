"""core: what every other room stands on. Pure: no I/O, no clock of its own, no thread, no event loop.

`core.os` is the one exception: what differs by operating system stands there, one module a system.
May import: the standard library and msgspec.
"""
