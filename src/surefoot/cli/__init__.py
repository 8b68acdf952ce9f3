"""cli: the command `surefoot`, what people and scripts type.

May import: all rooms below; each command imports only its own.
"""

from surefoot.cli.app import main

__all__ = ["main"]
