"""Watching: what somebody who is not there wants to know of a home: runs whose process died, runs that are missing.

Both are told as the settings say, each once. May import: notify, ledger, journal, core.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import Final, Literal
from zoneinfo import ZoneInfo

import msgspec

from surefoot.client.folding import TakenIn, take_in
from surefoot.core.clock import get_clock
from surefoot.core.ids import new_id
from surefoot.core.os import files
from surefoot.core.os.host import host_name
from surefoot.core.settings import Settings
from surefoot.core.settings.notices import Due, parse_due
from surefoot.core.states import StateType
from surefoot.core.wire import FlowRun, FlowRunFilter
from surefoot.journal.home import Home
from surefoot.ledger import Ledger, queries
from surefoot.notify.notices import Notice, rules_of
from surefoot.notify.outbox import Outbox, folder_of

__all__ = ["Finding", "Look", "deadline_before", "look"]

_FOLD_S: Final = 2.0
_LOOKS_MAX: Final = 30
_NOBODY: Final = " nobody"  # was told of that day


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """Something that is not as it should be. A `crash` is found once; a `missed` one as long as it is missing."""

    event: Literal["crash", "missed"]
    flow: str
    flow_run: str | None = None  # the run that crashed; of a missing one the last there was
    at: datetime
    reason: str
    is_new: bool = True  # nobody was told of it before


class Look(msgspec.Struct, frozen=True):
    """What one look has found."""

    findings: list[Finding]
    troubles: list[str]


def look(settings: Settings, ledger: Ledger) -> Look:
    """Take in what is new, and find what is wrong. What is to be told of it is in the outbox then."""
    home = Home(settings.home)
    crashed: list[FlowRun] = []
    for _ in range(_LOOKS_MAX):
        taken: TakenIn = take_in(home, ledger, _FOLD_S, may_count=False)
        crashed += taken.crashed
        if not taken.behind:
            break
    findings = [_crash(run) for run in crashed]
    troubles = list(taken.troubles)
    if taken.behind:  # a run that is missed may be among what was not read
        troubles.append("Not all was taken in, so whether runs are missing was not looked at. Ask again in a moment.")
    else:
        findings += _missed(settings, ledger)
    return Look(findings, troubles)


def _crash(run: FlowRun) -> Finding:
    at = run.end_time or run.updated
    return Finding(event="crash", flow=run.flow_name, flow_run=run.name, at=at, reason=run.reason or "")


# --- runs that did not happen -----------------------------------------------------------------------------------------


def deadline_before(due: Due, now: datetime) -> tuple[datetime, datetime] | None:
    """The last time within a day until which a run was due, and when the day of it began; None if there was none.

    >>> zone = ZoneInfo("Europe/Vienna")
    >>> at, since = deadline_before(parse_due("07:00"), datetime(2026, 11, 30, 6, 0, tzinfo=zone))
    >>> at.isoformat(), since.isoformat()
    ('2026-11-29T07:00:00+01:00', '2026-11-29T00:00:00+01:00')
    """
    for back in (0, 1):
        day = now.date() - timedelta(days=back)
        at = _at(day, time(due.hour, due.minute), now.tzinfo)
        passed = now.astimezone(UTC) - at.astimezone(UTC)  # where clocks are set, times of one zone do not subtract
        if timedelta() <= passed < timedelta(days=1) and day.weekday() in due.days:
            return at, _at(day, time(), now.tzinfo)
    return None


def _at(day: date, hour: time, zone: tzinfo | None) -> datetime:
    naive = datetime.combine(day, hour)
    return naive.replace(tzinfo=zone) if isinstance(zone, ZoneInfo) else naive.astimezone()


def _missed(settings: Settings, ledger: Ledger) -> Iterator[Finding]:
    expect: dict[str, str] = settings.notify.expect
    if not expect:
        return
    zone = settings.notify.timezone
    instant = datetime.fromtimestamp(get_clock().now_us() / 1e6, UTC)
    now = instant.astimezone(ZoneInfo(zone) if zone else None)
    with _Told(settings.home) as told:
        for flow, text in expect.items():
            found = deadline_before(parse_due(text), now)
            if found is None:
                continue
            at, since = found
            last, was_missed = _last_run(ledger, flow, since)
            if not was_missed:
                continue
            reason = f"by {at:%H:%M} on {at:%Y-%m-%d}"
            day = at.date().isoformat()
            before = told.days.get(flow, "")
            is_new = not before.startswith(day)
            if before != day:
                urls = rules_of(settings).targets("missed", flow, last.tags if last else ())
                if not urls:
                    told.days[flow] = day + _NOBODY
                elif _tell(settings, flow, reason, last, urls):
                    told.days[flow] = day
            yield Finding(
                event="missed", flow=flow, flow_run=last.name if last else None, at=at, reason=reason, is_new=is_new
            )


def _last_run(ledger: Ledger, flow: str, since: datetime) -> tuple[FlowRun | None, bool]:
    """The last run of a flow; and whether none has completed since then."""
    with ledger.read() as tx:
        done = FlowRunFilter(flow_name=[flow], state_type=[StateType.COMPLETED])
        ended = queries.list_flow_runs(tx, done, sort="END_TIME_DESC", limit=1).results
        last = queries.list_flow_runs(tx, FlowRunFilter(flow_name=[flow]), limit=1).results
    is_there = bool(ended) and ended[0].end_time is not None and ended[0].end_time >= since
    return (last[0] if last else None), not is_there


def _tell(settings: Settings, flow: str, reason: str, last: FlowRun | None, urls: list[str]) -> bool:
    """Have these told; False if that has to be tried again."""
    notice = Notice(
        id=f"missed-{new_id().hex()}",
        event="missed",
        flow=flow,
        at_us=get_clock().now_us(),
        reason=reason,
        host=host_name(),
        home=settings.home if settings.source_of("home") is not None else "",
    )
    if last is not None:
        notice.run, notice.run_id = last.name, last.id
        began = last.start_time or last.expected_start_time
        notice.began_us = int(began.timestamp() * 1e6)
        notice.task = last.state_name + (f": {last.reason}" if last.reason else "")
    try:
        Outbox(settings.home).put(notice, urls)
    except OSError:
        return False
    return True


class _Told:
    """Of which flow it was told for which day that it is missing: a file in the home."""

    def __init__(self, home: str) -> None:
        self._path = os.path.join(folder_of(home), "missed.json")
        self.days: dict[str, str] = {}

    def __enter__(self) -> _Told:
        try:
            with open(self._path, "rb") as file:
                self.days = msgspec.json.decode(file.read(), type=dict[str, str])
        except (OSError, msgspec.MsgspecError):
            pass
        self._before = dict(self.days)
        return self

    def __exit__(self, *_: object) -> None:
        if self.days != self._before:
            try:
                files.write_bytes(self._path, msgspec.json.encode(self.days))
            except OSError:
                pass  # a full disk: it is told again at the next look
