"""core.os: what differs by operating system, one module a matter. The one part of core that touches the machine.

May import: core.errors, the standard library.
"""
