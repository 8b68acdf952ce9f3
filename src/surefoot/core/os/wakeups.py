"""Wakeups: signals wake an event loop that waits, so that their handlers run at once. Keeps promise 6.

A signal that comes just when the loop begins to wait would be seen when that wait ends. May import: nothing of ours.
"""

from __future__ import annotations

from signal import set_wakeup_fd
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from socket import socket

__all__ = ["Wakeup"]


class Wakeup:
    """Has signals wake an event loop from `begin` until `end`. A loop that sees to it itself goes first."""

    def __init__(self) -> None:
        self._pair: tuple[socket, socket] | None = None

    def begin(self, loop: Any) -> None:
        """Wake this loop, which runs in the main thread. A second `begin` changes nothing."""
        if self._pair is not None:
            return
        from socket import socketpair  # only here: each event loop has imported it, and each process would

        try:
            # Sockets and no pipe: Windows waits for nothing else, and a pipe there cannot be told not to block.
            reads, writes = self._pair = socketpair()
        except OSError:
            return  # too many files are open: a signal may have to wait for the loop
        reads.setblocking(False)
        writes.setblocking(False)
        self._loop = loop
        try:
            loop.add_reader(reads.fileno(), self._woke)
            before = set_wakeup_fd(writes.fileno(), warn_on_full_buffer=False)
        except (RuntimeError, ValueError, OSError):
            return  # this loop has no readers (NotImplementedError), as Windows' own: that wakes by itself
        if before != -1:
            set_wakeup_fd(before)  # the program has one for this, or for something of its own

    def _woke(self) -> None:
        assert self._pair is not None
        try:
            self._pair[0].recv(4096)
        except BlockingIOError:
            pass

    def end(self) -> None:
        """Leave things as they were."""
        if self._pair is None:
            return
        (reads, writes), self._pair = self._pair, None
        current = set_wakeup_fd(-1)
        if current not in (writes.fileno(), -1):
            set_wakeup_fd(current)
        try:
            self._loop.remove_reader(reads.fileno())
        except RuntimeError:
            pass  # it has none, or was closed
        reads.close()
        writes.close()
