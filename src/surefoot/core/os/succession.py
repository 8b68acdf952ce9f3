"""Succession: this process becomes another program, with the same standard streams, and what ends it ends that one.

May import: nothing of ours.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence

__all__ = ["become"]


def become(command: Sequence[str], cwd: str) -> int:
    """Go on as another program, in another folder. Its exit code, where the system has no way to replace a process.

    Raises OSError if it cannot be started.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    if sys.platform != "win32":
        os.chdir(cwd or ".")
        os.execv(command[0], list(command))
    # Surprising: Windows has `exec` too, but whoever waits for this process is told that it has ended.
    with subprocess.Popen(list(command), cwd=cwd or None) as process:
        while True:
            try:
                return process.wait()
            except KeyboardInterrupt:
                continue  # the other one has had it as well, and decides
