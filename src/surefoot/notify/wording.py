"""Wording: a notice as a subject, a text, and a JSON document. Pure. May import: core, notices."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Final

from surefoot._version import __version__
from surefoot.notify.notices import Notice

__all__ = ["document", "subject", "text"]

_SUBJECT_MAX: Final = 200
_VERBS: Final = {"failure": "failed", "crash": "crashed", "recovery": "completed again", "success": "completed"}


def subject(notice: Notice) -> str:
    """One line that says all to somebody who reads no more.

    >>> subject(Notice(id="1", event="failure", flow="backup", at_us=0, task="upload", reason="connection refused"))
    'backup failed: upload: connection refused'
    """
    return _line(_subject(notice), _SUBJECT_MAX)


def _subject(notice: Notice) -> str:
    if notice.event == "test":
        return "Surefoot: a test message"
    if notice.event == "missed":
        return f"{notice.flow} has not completed {notice.reason}"
    if notice.count > 1:
        verb = _VERBS[notice.event]
        return f"{notice.flow} {verb} {notice.count} times{_because(notice.reasons[0][0] if notice.reasons else '')}"
    reason = notice.reason if notice.event in ("failure", "crash") else ""
    return f"{notice.flow} {_VERBS[notice.event]}{_because(_with_task(notice.task, reason))}"


def text(notice: Notice) -> str:
    """The message."""
    return "\n".join(_lines(notice)) + "\n"


def _lines(notice: Notice) -> Iterator[str]:
    if notice.event == "test":
        yield f"This is a test message of Surefoot {__version__} on {notice.host or 'this machine'}."
        yield "Messages about failures will arrive the same way."
        return
    yield _line(_sentence(notice))
    yield ""
    if notice.event == "missed" and notice.run:
        yield f"Its last run, {notice.run}, began at {_when(notice.began_us)}{_because(notice.task)}."
    if notice.count > 1:
        yield from _several(notice)
    elif notice.event in ("failure", "crash"):
        yield from _one(notice)
    if notice.since_us:
        end = ". No run of it has completed in between" if notice.event in ("failure", "crash") else ""
        yield f"It {'has' if end else 'had'} failed since {_when(notice.since_us)}{end}."
    if notice.took_s and notice.count == 1:
        yield f"It began at {_when(notice.began_us)} and took {_took(notice.took_s)}."
    elif notice.event == "crash" and notice.began_us and notice.count == 1:
        yield f"It began at {_when(notice.began_us)}, and was last heard of at {_when(notice.at_us)}."
    if notice.run:
        yield ""
        yield f"To see why:  surefoot why {notice.run}"
        if notice.can_go_on:
            yield f"To go on:    surefoot flow-run retry {notice.run}"
    else:
        yield f"To see its runs:  surefoot flow-run ls --flow {notice.flow}"
    if notice.home:
        yield f"(with SUREFOOT_HOME={notice.home})"


def _sentence(notice: Notice) -> str:
    where = f" on {notice.host}" if notice.host else ""
    if notice.event == "missed":
        return f"No run of flow {notice.flow} has completed {notice.reason}{where}."
    verb = _VERBS[notice.event]
    if notice.count > 1:
        return f"{notice.count} runs of flow {notice.flow} {verb}{where}, the last at {_when(notice.at_us)}."
    return f"Run {notice.run} of flow {notice.flow} {verb}{where} at {_when(notice.at_us)}."


def _one(notice: Notice) -> Iterator[str]:
    if notice.task:
        what = "In it was on" if notice.event == "crash" else "The first that failed in it"
        yield _line(f"{what}: {notice.task}")
    if notice.reason:
        retries = f" (after {notice.retries} {'retry' if notice.retries == 1 else 'retries'})" if notice.retries else ""
        yield _line(f"Why: {notice.reason}{retries}")
    if notice.blocked:
        names = ", ".join(f"{name} ({count} runs)" if count > 1 else name for name, count in notice.blocked)
        yield _line(f"Did not run because of it: {names}")


def _several(notice: Notice) -> Iterator[str]:
    for reason, count in notice.reasons:
        yield _line(f"{count} x {reason}")
    names = ", ".join(notice.runs)
    more = notice.count - len(notice.runs)
    yield _line(f"Runs: {names}{f', and {more} more' if more > 0 else ''}")


def document(notice: Notice) -> dict[str, Any]:
    """What a webhook gets. `text` is what chat programs show of it."""
    told = subject(notice)
    return {
        "schema": 1,
        "id": notice.id,
        "event": notice.event,
        "subject": told,
        "text": f"{told}\n\n{text(notice)}",
        "flow": notice.flow,
        "flow_run": notice.run or None,
        "flow_run_id": notice.run_id or None,
        "count": notice.count,
        "flow_runs": list(notice.runs) or ([notice.run] if notice.run else []),
        "reason": notice.reason or None,
        "reasons": [{"reason": reason, "count": count} for reason, count in notice.reasons],
        "task": notice.task or None,
        "retries": notice.retries,
        "blocked": [{"task": name, "runs": count} for name, count in notice.blocked],
        "failed_since": _iso(notice.since_us),
        "began": _iso(notice.began_us),
        "ended": _iso(notice.at_us),
        "took_seconds": round(notice.took_s, 3),
        "host": notice.host or None,
    }


def _with_task(task: str, reason: str) -> str:
    return f"{task}: {reason}" if task and reason else task or reason


def _because(reason: str) -> str:
    return f": {reason}" if reason else ""


def _line(words: str, most: int = 1200) -> str:
    flat = "".join(letter if letter.isprintable() else " " for letter in " ".join(words.split()))
    return flat if len(flat) <= most else f"{flat[: most - 1]}…"


def _when(at_us: int) -> str:
    return datetime.fromtimestamp(at_us / 1e6, UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S %Z")


def _iso(at_us: int) -> str | None:
    return datetime.fromtimestamp(at_us / 1e6, UTC).isoformat() if at_us else None


def _took(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}h {minutes:02d}m"
    return f"{minutes}m {rest:02d}s" if minutes else f"{seconds:.3g} s"
