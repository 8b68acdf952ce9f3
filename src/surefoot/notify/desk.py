"""The desk: where whoever runs flows, or looks after a home, hands in what is to be told, and is done with it.

Nothing that goes wrong here reaches a run: what cannot be written is sent all the same, what cannot be sent waits.
May import: core, and all of this room.
"""

from __future__ import annotations

import atexit
import os
import sys
import threading
from collections.abc import Iterable
from typing import Final

from surefoot.core.os.forks import after_fork_in_child
from surefoot.notify.notices import Notice, Rules
from surefoot.notify.outbox import Outbox, outbox_path
from surefoot.notify.postman import Postman
from surefoot.notify.sending import make_ready

__all__ = ["hold", "postman_of", "send_waiting", "tell", "tell_these", "wait"]

_postmen: Final[dict[str, Postman]] = {}
_lock = threading.Lock()
_at_exit: list[int] = []  # the processes in which `wait` is registered
_early: list[int] = []  # the process in which it is called before pools of threads are shut, too; its forks have that
_is_left = False  # whether somebody did not want to wait


def postman_of(home: str, rules: Rules) -> Postman:
    """Who sends the messages of a home in this process."""
    with _lock:
        found = _postmen.get(home)
        if found is None:
            found = _postmen[home] = Postman(home)
            _register()
        found.timeout_s, found.burst_s, found.urls = rules.timeout_s, rules.burst_s, rules.everyone()
        return found


@after_fork_in_child
def _after_fork_in_child() -> None:
    global _lock, _is_left
    _lock = threading.Lock()
    _is_left = False


def _register() -> None:
    if _at_exit:
        return
    _at_exit.append(os.getpid())
    atexit.register(wait)
    multiprocessing = sys.modules.get("multiprocessing.process")
    if multiprocessing is not None and multiprocessing.parent_process() is not None:
        finalizers = sys.modules.get("multiprocessing.util")  # its children end without `atexit`
        if finalizers is not None:
            finalizers.Finalize(None, wait, exitpriority=-50)


def _make_ready(urls: list[str]) -> None:
    if make_ready(urls) and not _early:
        _early.append(os.getpid())
        # CPython calls these, the last first, before it refuses pools new work; `concurrent.futures` does the same.
        register = getattr(threading, "_register_atexit", None)
        try:
            if register is not None:
                register(wait)
        except RuntimeError:
            pass  # the interpreter ends already


def hold(home: str, rules: Rules, notice: Notice, tags: Iterable[str]) -> None:
    """A run is about to end: write down what is to be told, not to be sent before `tell`, or its process's death."""
    urls = rules.targets(notice.event, notice.flow, tags)
    if urls:
        try:
            Outbox(home).put(notice, urls, held=True)
        except OSError:
            pass  # `tell` does without


def tell(home: str, rules: Rules, notice: Notice, tags: Iterable[str]) -> None:
    """Have those told of the end of a run who are to be told. Returns at once; raises nothing."""
    postman = postman_of(home, rules)
    hand_in = postman.bursts.completed if notice.event == "success" else postman.bursts.lost
    try:
        if hand_in(notice, rules, tags):
            _make_ready(rules.targets(notice.event, notice.flow, tags))
            postman.hurry(notice.id)
        if notice.event != "success":
            postman.outbox.drop_held(notice.id)
    except OSError:  # the home cannot be written, which may well be why the run failed
        urls = rules.targets(notice.event, notice.flow, tags)
        if urls:
            _make_ready(urls)
            postman.hurry_without_outbox(notice, urls)


def tell_these(home: str, rules: Rules, notice: Notice, urls: list[str]) -> None:
    """The same, where it is known already who is to be told."""
    postman = postman_of(home, rules)
    try:
        postman.bursts.lost_to(notice, urls, rules.burst_s)
        _make_ready(urls)
        postman.hurry(notice.id)
    except OSError:
        _make_ready(urls)
        postman.hurry_without_outbox(notice, urls)


def send_waiting(home: str, rules: Rules) -> None:
    """Have sent what other processes left in the home, if anything is due."""
    if os.path.isdir(outbox_path(home)):
        postman = postman_of(home, rules)
        if postman.has_work():
            _make_ready(postman.urls)
            postman.hurry()


def wait() -> None:
    """Return when the messages of this process are sent, or cannot be sent in time. What waits is said."""
    global _is_left
    try:
        for postman in list(_postmen.values()):
            if not _is_left:
                postman.wait()
    except KeyboardInterrupt:
        _is_left = True  # whoever pressed Ctrl-C does not want to wait
    left = [why for postman in list(_postmen.values()) for why in postman.left()]
    if left:
        _say(left)


def _say(left: list[str]) -> None:
    why = f" ({left[0]})" if left[0] else ""
    what = "a message is" if len(left) == 1 else f"{len(left)} messages are"
    try:
        sys.stderr.write(
            f"surefoot: {what} not sent yet{why}; the next process of this home tries again. See: surefoot notify ls\n"
        )
    except (AttributeError, OSError, ValueError):
        pass  # there is no stderr, or it was closed
