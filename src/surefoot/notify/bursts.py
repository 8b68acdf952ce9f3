"""Bursts: the first message of a flow goes at once; more ends of the same kind, for a while, make one message together.

What a home's processes know of a flow in common stands in a small file: what was told of it last, and what has been
gathered since. It is there only as long as there is something to know. May import: core, notices, outbox.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import Final

import msgspec

from surefoot.core.clock import get_clock
from surefoot.core.os import files
from surefoot.core.os.locks import lock_at_once
from surefoot.notify.notices import NAMES_MAX, Notice, Rules
from surefoot.notify.outbox import Outbox, folder_of

__all__ = ["Bursts"]

_LOCK_S: Final = 3.0  # so long another process is waited for that has the lock; it may be stopped
_LOCK_POLL_S: Final = 0.01
_REASONS_MAX: Final = 20
_TOLD_KEPT_US: Final = 90 * 86_400 * 1_000_000


class Burst(msgspec.Struct, omit_defaults=True):
    """What has been gathered of one kind of end since a message about it."""

    until_us: int
    count: int = 0
    runs: list[str] = []
    reasons: dict[str, int] = {}
    urls: list[str] = []
    last: Notice | None = None


class Told(msgspec.Struct, omit_defaults=True):
    """What is known of a flow."""

    flow: str
    since_us: int = 0  # it fails since then, and that was told; 0: it does not
    completed_us: int = 0
    bursts: dict[str, Burst] = {}


class Bursts:
    """What was told in a home, of each flow.

    Args:
        home: the home.
        outbox: where messages are put that are due.
    """

    def __init__(self, home: str, outbox: Outbox) -> None:
        self._path = os.path.join(folder_of(home), "flows")
        self._lock = os.path.join(folder_of(home), "flows.lock")
        self._outbox = outbox

    def lost(self, notice: Notice, rules: Rules, tags: Iterable[str]) -> bool:
        """A run failed or crashed. Says whether there is something to be sent."""
        urls = rules.targets(notice.event, notice.flow, tags)
        if not urls:
            return False
        self.lost_to(notice, urls, rules.burst_s)
        return True

    def lost_to(self, notice: Notice, urls: list[str], burst_s: float) -> None:
        """The same, where it is known already who is to be told."""
        with self._of(notice.flow) as told:
            self._tell(told, notice, urls, burst_s)

    def completed(self, notice: Notice, rules: Rules, tags: Iterable[str]) -> bool:
        """A run completed. Says whether there is something to be sent."""
        urls = rules.targets("success", notice.flow, tags)
        if not urls and not os.path.exists(self._file(notice.flow)):
            return False
        with self._of(notice.flow) as told:
            told.completed_us = notice.at_us
            since_us, told.since_us = told.since_us, 0
            again = rules.targets("recovery", notice.flow, tags) if since_us else []
            if again:
                recovery = msgspec.structs.replace(notice, id=f"{notice.id}-again", event="recovery", since_us=since_us)
                self._outbox.put(recovery, again)
            rest = [url for url in urls if url not in again]
            if rest:
                self._tell(told, notice, rest, rules.burst_s)
        return bool(again or rest)

    def _tell(self, told: Told, notice: Notice, urls: list[str], burst_s: float) -> None:
        if notice.event in ("failure", "crash"):
            notice.since_us = told.since_us
        burst = told.bursts.get(notice.event)
        now_us, burst_us = get_clock().now_us(), int(burst_s * 1e6)
        if burst is not None and 0 < burst.until_us - now_us <= burst_us:
            _gather(burst, notice, urls)
            return
        if burst is not None and burst.count:  # nobody came by when it was over
            _gather(burst, notice, urls)
            self._put_gathered(told, burst)
        else:
            self._outbox.put(notice, urls)
            _note(told, notice)
        told.bursts[notice.event] = Burst(now_us + burst_us)

    def _put_gathered(self, told: Told, burst: Burst) -> None:
        last = burst.last
        if last is None:
            return
        if burst.count > 1:
            ranked = sorted(burst.reasons.items(), key=lambda pair: -pair[1])
            last = msgspec.structs.replace(
                last,
                id=f"{last.id}-{burst.count}",
                count=burst.count,
                runs=tuple(burst.runs),
                reasons=tuple(ranked[:NAMES_MAX]),
            )
        self._outbox.put(last, burst.urls)
        _note(told, last)

    def collect(self, burst_s: float, *, is_late: bool = False) -> None:
        """Put into the outbox what has been gathered and is due; or all, if it `is_late`."""
        for path in {path for path, *_ in self._gathered(is_due=not is_late)}:
            with self._opened(path, "") as told:
                now_us = get_clock().now_us()
                for event, burst in list(told.bursts.items()):
                    if burst.count and (is_late or burst.until_us <= now_us):
                        self._put_gathered(told, burst)
                        told.bursts[event] = Burst(now_us + int(burst_s * 1e6))

    def next_us(self) -> int | None:
        """When what is gathered is due, if anything is."""
        return min((burst.until_us for _, _, _, burst in self._gathered()), default=None)

    def waiting(self, *, is_due: bool = False) -> list[tuple[str, str, Burst]]:
        """What is gathered, or what of it is due: flow, kind of end, and what."""
        return [(flow, event, burst) for _, flow, event, burst in self._gathered(is_due=is_due)]

    def _gathered(self, *, is_due: bool = False) -> Iterator[tuple[str, str, str, Burst]]:
        now_us = get_clock().now_us()
        for name in self._names():
            path = os.path.join(self._path, name)
            told = _read(path)
            if told is None:
                continue
            for event, burst in told.bursts.items():
                if burst.count and (burst.until_us <= now_us or not is_due):
                    yield path, told.flow, event, burst

    # --- the files --------------------------------------------------------------------------------------------------

    def _names(self) -> list[str]:
        try:
            return [name for name in os.listdir(self._path) if name.endswith(".json")]
        except OSError:
            return []

    def _file(self, flow: str) -> str:
        from hashlib import blake2b  # a door: OpenSSL takes 3 ms, and this is wanted by few processes

        return os.path.join(self._path, f"{blake2b(flow.encode(), digest_size=16).hexdigest()}.json")

    def _of(self, flow: str) -> _Opened:
        return self._opened(self._file(flow), flow)

    def _opened(self, path: str, flow: str) -> _Opened:
        return _Opened(self._lock, path, flow)


class _Opened:
    """A flow's file in the hands of this process: read when entered, written when left."""

    def __init__(self, lock: str, path: str, flow: str) -> None:
        self._lock = lock
        self._path = path
        self._flow = flow
        self._fd: int | None = None
        self._before = b""

    def __enter__(self) -> Told:
        os.makedirs(os.path.dirname(self._path), 0o700, exist_ok=True)
        self._fd = os.open(self._lock, os.O_RDWR | os.O_CREAT, 0o600)
        clock = get_clock()
        until_us = clock.mono_us() + int(_LOCK_S * 1e6)
        while not lock_at_once(self._fd) and clock.mono_us() < until_us:
            clock.sleep(_LOCK_POLL_S)  # at worst two processes tell the same flow's ends apart
        told = _read(self._path) or Told(self._flow)
        self._before = msgspec.json.encode(told)
        self._told = told
        return told

    def __exit__(self, *_: object) -> None:
        assert self._fd is not None
        try:
            self._save()
        except OSError:
            pass  # a full disk: more messages than need be, and none less
        finally:
            os.close(self._fd)

    def _save(self) -> None:
        told, now_us = self._told, get_clock().now_us()
        told.bursts = {event: burst for event, burst in told.bursts.items() if burst.count or burst.until_us > now_us}
        is_old = now_us - max(told.since_us, told.completed_us) > _TOLD_KEPT_US
        if not told.bursts and (not told.since_us or is_old):
            files.remove(self._path)
            return
        after = msgspec.json.encode(told)
        if after != self._before:
            files.write_bytes(self._path, after, sync=False)


def _read(path: str) -> Told | None:
    try:
        with open(path, "rb") as stream:
            return msgspec.json.decode(stream.read(), type=Told)
    except (OSError, msgspec.MsgspecError):
        return None


def _gather(burst: Burst, notice: Notice, urls: list[str]) -> None:
    burst.count += 1
    if len(burst.runs) < NAMES_MAX and notice.run:
        burst.runs.append(notice.run)
    reason = f"{notice.task}: {notice.reason}" if notice.task and notice.reason else notice.reason or notice.task
    if reason and (reason in burst.reasons or len(burst.reasons) < _REASONS_MAX):
        burst.reasons[reason] = burst.reasons.get(reason, 0) + 1
    burst.urls = urls
    burst.last = notice


def _note(told: Told, notice: Notice) -> None:
    """That it fails is told now; unless it has completed since."""
    if notice.event in ("failure", "crash") and notice.at_us > told.completed_us and not told.since_us:
        told.since_us = notice.at_us
