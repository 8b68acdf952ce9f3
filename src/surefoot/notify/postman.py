"""The postman: a thread that sends what waits in a home's outbox, and whoever ends waits for it, for a short while.

Tries again what did not go, soon at first; ends when nothing waits. What is not sent when the process ends is left in
the outbox, for the next one. May import: core, bursts, outbox, sending.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final, NamedTuple

from surefoot.core.clock import get_clock
from surefoot.core.os.forks import after_fork_in_child
from surefoot.core.targets import parse_target, shown
from surefoot.notify.bursts import Bursts
from surefoot.notify.notices import Notice
from surefoot.notify.outbox import Entry, Outbox
from surefoot.notify.sending import Undelivered, send

__all__ = ["Attempt", "Postman", "deliver"]

_AT_ONCE_MAX: Final = 8  # targets that are written to at the same time
_LOOK_S: Final = 60.0  # others put something there, too
_STEP_S_MIN: Final = 0.5
_OWN_MAX: Final = 1000
_FOR_OTHERS_S: Final = 3.0  # so long a process waits at its end for messages that are not its own


class Attempt(NamedTuple):
    """What became of one message to one target."""

    url: str
    took_s: float
    answer: str  # of the target; empty if it did not go
    error: str = ""
    is_final: bool = False


def deliver(notice: Notice, urls: list[str], timeout_s: float) -> list[Attempt]:
    """Send a message to each of these, to several at once. Raises nothing."""
    attempts: list[Attempt | None] = [None] * len(urls)
    places = iter(range(len(urls)))

    def work() -> None:
        for place in places:
            attempts[place] = _attempt(urls[place], notice, timeout_s)

    threads = [threading.Thread(target=work, daemon=True) for _ in range(min(len(urls), _AT_ONCE_MAX) - 1)]
    for thread in threads:
        try:
            thread.start()
        except RuntimeError:  # the interpreter ends
            break
    work()
    for thread in threads:
        if thread.ident is not None:
            thread.join()
    return [attempt for attempt in attempts if attempt is not None]


def _attempt(url: str, notice: Notice, timeout_s: float) -> Attempt:
    clock = get_clock()
    begun_us = clock.mono_us()
    try:
        answer, error, is_final = send(url, notice, timeout_s), "", False
    except Undelivered as undelivered:
        answer, error, is_final = "", undelivered.why, undelivered.is_final
    return Attempt(url, (clock.mono_us() - begun_us) / 1e6, answer, error, is_final)


def _corrected(url: str, current: list[str]) -> str:
    """The URL with which the settings now name the same mail server and readers: a password, say, was corrected."""
    if url in current:
        return url
    if not url.startswith(("smtp", "mailto")):
        return url
    old = parse_target(url)
    for each in current:
        if not each.startswith(("smtp", "mailto")):
            continue
        new = parse_target(each)
        if old.kind == new.kind == "smtp" and (old.host, old.to) == (new.host, new.to):
            return each
    return url


class Postman:
    """Sends what waits in a home.

    Attributes:
        timeout_s: how long a message may take, and whoever ends may wait, in seconds.
        urls: whom the settings name now.
        burst_s: see `Bursts`.
    """

    def __init__(self, home: str, timeout_s: float = 10, burst_s: float = 60) -> None:
        self.timeout_s = timeout_s
        self.burst_s = burst_s
        self.urls: list[str] = []  # whom the settings name now
        self.outbox = Outbox(home)
        self.bursts = Bursts(home, self.outbox)
        self._forget_all()
        after_fork_in_child(self._forget_all)  # threads, and what was handed in, are the parent's

    def _forget_all(self) -> None:
        self._news = threading.Condition()
        self._thread: threading.Thread | None = None
        self._wait_until_us = 0  # so long whoever ends waits for what was handed in last
        self._rests_until_us: int | None = None  # nothing is to be done before; None: it is at work
        self._has_news = False
        self._own: list[str] = []  # messages that this process has handed in
        self._unkept: list[tuple[Notice, list[str]]] = []  # those that no outbox took
        self._unsent: list[str] = []  # of these, why they did not go

    def hurry(self, name: str | None = None) -> None:
        """A message lies in the outbox, or may: see to it, on a thread of its own."""
        with self._news:
            if name is not None:
                self._own = [*self._own[-_OWN_MAX:], name]
            wait_s = self.timeout_s if self._own or self._unkept else min(self.timeout_s, _FOR_OTHERS_S)
            self._wait_until_us = get_clock().now_us() + int(wait_s * 1e6)
            self._has_news = True
            self._rests_until_us = None
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="surefoot-messages", daemon=True)
                try:
                    self._thread.start()
                except RuntimeError:  # the interpreter ends: `wait` does it
                    self._thread = None
            else:
                self._news.notify_all()

    def hurry_without_outbox(self, notice: Notice, urls: list[str]) -> None:
        """Send a message that cannot be kept anywhere."""
        self._unkept.append((notice, urls))
        self.hurry()

    def has_work(self) -> bool:
        """Whether anything is to be sent now."""
        return bool(self.outbox.due()[0]) or bool(self.bursts.waiting(is_due=True))

    def wait(self) -> None:
        """Return when all that is to be tried soon was sent, or the time is over."""
        if self._thread is None and self._has_news:
            self.round()
        clock = get_clock()
        with self._news:
            while self._thread is not None:
                left_s = (self._wait_until_us - clock.now_us()) / 1e6
                rests = self._rests_until_us is not None and self._rests_until_us > self._wait_until_us
                if rests or not 0 < left_s <= self.timeout_s:  # or a clock was set back
                    break
                self._news.wait(clock.wait_s(left_s))

    def left(self) -> list[str]:
        """Of the messages that this process has handed in and that were not sent, what stood in the way."""
        names = set(self._own)
        self._own = []
        waiting = [entry.error for entry in self.outbox.entries() if entry.name in names] if names else []
        unsent, self._unsent = self._unsent, []
        return waiting + unsent

    def _work(self) -> None:
        clock = get_clock()
        while True:
            with self._news:
                self._has_news = False
            try:
                next_us = self.round()
            except Exception as error:  # nobody is there to catch it: what is left is the next process's
                self._unsent.append(f"{type(error).__name__}: {error}")
                next_us = None
            with self._news:
                if self._has_news:
                    continue
                if next_us is None:
                    self._thread = None
                    self._news.notify_all()
                    return
                self._rests_until_us = next_us
                self._news.notify_all()
                self._news.wait(clock.wait_s(min(max((next_us - clock.now_us()) / 1e6, 0.01), _LOOK_S)))
                self._rests_until_us = None

    def round(
        self, told: Callable[[Entry, Attempt], None] | None = None, *, names: list[str] | None = None
    ) -> int | None:
        """Try to send what is due, or what goes by these names. Answers when more is due, if anything waits."""
        self._has_news = False
        while self._unkept:
            notice, urls = self._unkept.pop(0)
            attempts = deliver(notice, urls, self.timeout_s)
            self._unsent += [attempt.error for attempt in attempts if not attempt.answer]
        self.bursts.collect(self.burst_s)
        due, _ = self.outbox.due()
        own, down = set(self._own), dict[str, str]()
        for name in sorted(due if names is None else names, key=lambda name: name not in own):
            with self.outbox.claimed(name) as entry:
                if entry is not None:
                    self._try(entry, down, told)
        due, next_us = self.outbox.due()
        if due:  # others have it, or it came meanwhile
            next_us = get_clock().now_us() + 500_000
        gathered_us = self.bursts.next_us()
        return min((at_us for at_us in (gathered_us, next_us) if at_us is not None), default=None)

    def _try(self, entry: Entry, down: dict[str, str], told: Callable[[Entry, Attempt], None] | None) -> None:
        """Try one message. Targets that did not answer another one in this round are not tried again in it."""
        clock = get_clock()
        left_s = self.timeout_s - (clock.now_us() - entry.made_us) / 1e6
        step_s = max(left_s, _STEP_S_MIN) if left_s > 0 else self.timeout_s
        entry.urls = [_corrected(url, self.urls) for url in entry.urls]
        # Should this process end before it is answered: it was tried, and what was late already is for later.
        before = entry.attempts, entry.error
        entry.attempts, entry.last_us = entry.attempts + 1, clock.now_us()
        entry.error = f"{shown(*entry.urls[:1] or ['?'])}: no answer in {step_s:.3g} s, or until its process ended"
        self.outbox.save(entry, is_due=left_s > 0)
        entry.attempts, entry.error = before
        attempts = deliver(entry.notice, [url for url in entry.urls if shown(url) not in down], step_s)
        attempts += [Attempt(url, 0, "", why) for url in entry.urls if (why := down.get(shown(url)))]
        failed = [attempt for attempt in attempts if not attempt.answer]
        entry.urls = [attempt.url for attempt in failed]
        entry.attempts += 1
        entry.last_us = clock.now_us()
        entry.error = failed[0].error if failed else ""
        entry.is_refused = bool(failed) and all(attempt.is_final for attempt in failed)
        down |= {shown(attempt.url): attempt.error for attempt in failed if not attempt.is_final}
        if failed:
            self.outbox.save(entry, self.timeout_s)
        for attempt in attempts if told is not None else ():
            assert told is not None
            told(entry, attempt)
