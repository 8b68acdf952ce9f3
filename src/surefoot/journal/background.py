"""Background: an action that a daemon thread does soon after it was asked for, once for all who asked meanwhile.

`ask` may be called from anywhere: from a signal's handler or a finalizer that interrupts another `ask` as well. So no
lock is taken here but by single calls into C. May import: core.os.
"""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock, Thread, current_thread

from surefoot.core.os.threads import can_start

__all__ = ["Background"]


class Background:
    """Does `action` within `delay_s` seconds of being asked, and then rests for `rest_s`."""

    def __init__(self, name: str, action: Callable[[], None], delay_s: float, rest_s: float = 0.0) -> None:
        self._name = name
        self._action = action
        self._delay_s = delay_s
        self._rest_s = rest_s
        self._is_asked = False
        self._thread: Thread | None = None
        self._sleep = Lock()  # the thread waits for it; a release wakes it
        self._sleep.acquire()
        self._life = Lock()  # held until `stop`
        self._life.acquire()

    def ask(self) -> bool:
        """Have it done soon. False if no thread can be started any more (the interpreter is ending)."""
        if self._is_asked:
            return True
        self._is_asked = True
        _release(self._sleep)
        return self._thread is not None or self._start()

    def _start(self) -> bool:
        if not can_start():
            self._is_asked = False
            return False
        self._thread = thread = Thread(target=self._run, name=self._name, daemon=True)
        try:
            thread.start()
        except BaseException as error:
            self._thread = None
            self._is_asked = False
            if isinstance(error, RuntimeError):
                return False
            raise
        return True

    def stop(self, wait_s: float) -> None:
        """End the thread, and wait for that, `wait_s` seconds at most: it may be waiting for a disk."""
        _release(self._life)
        _release(self._sleep)
        thread = self._thread
        if thread is not None and thread is not current_thread():
            thread.join(wait_s)

    def _run(self) -> None:
        while True:
            self._sleep.acquire()
            if self._is_stopped_within(self._delay_s):
                return
            self._is_asked = False
            self._action()
            if self._is_stopped_within(self._rest_s):
                return

    def _is_stopped_within(self, seconds: float) -> bool:
        if self._life.acquire(timeout=seconds):
            self._life.release()
            return True
        return False


def _release(lock: Lock) -> None:
    try:
        lock.release()
    except RuntimeError:
        pass  # it was free already
