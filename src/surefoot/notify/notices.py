"""Notices: what is told of the end of a run, as a record that survives in a file; and the rules of who is told.

May import: core.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, Literal

import msgspec

from surefoot.core.settings import Settings

__all__ = ["Event", "Notice", "Rules", "rules_of", "rules_within"]

Event = Literal["failure", "crash", "recovery", "success", "missed", "test"]

_RULED_BY: Final[Mapping[Event, tuple[str, ...]]] = {
    "failure": ("on_failure",),
    "crash": ("on_crash", "on_failure"),
    "missed": ("on_failure",),
    "recovery": ("on_recovery",),
    "success": ("on_success",),
}
NAMES_MAX: Final = 10  # runs, blocked tasks and reasons that a message names
TEXT_MAX: Final = 1000  # characters of a reason


class Notice(msgspec.Struct, omit_defaults=True, kw_only=True):
    """What is told of one end of a run, or of several of the same kind (`count`)."""

    id: str
    event: Event
    flow: str
    at_us: int
    run: str = ""
    run_id: str = ""
    reason: str = ""
    task: str = ""  # the task of the first run that failed in it, or that was on when it crashed
    retries: int = 0
    began_us: int = 0
    took_s: float = 0
    blocked: tuple[tuple[str, int], ...] = ()  # tasks that did not run because of it, and how many runs
    host: str = ""
    home: str = ""
    can_go_on: bool = False  # a new process can go on with the run
    since_us: int = 0  # when the first run failed of which was told, if none has completed since
    count: int = 1
    runs: tuple[str, ...] = ()  # the names of these, the first few
    reasons: tuple[tuple[str, int], ...] = ()
    writer: str = ""  # of a message that is held: the process whose end it is about, which may still live


class Rules(msgspec.Struct, omit_defaults=True):
    """Who is told of what: lists of URLs by event (`on_failure` ...), in general, for flows, and for tags."""

    general: dict[str, list[str]] = {}
    flows: dict[str, dict[str, list[str]]] = {}
    tags: dict[str, dict[str, list[str]]] = {}
    burst_s: float = 60
    timeout_s: float = 10

    def targets(self, event: Event, flow: str, tags: Iterable[str] = ()) -> list[str]:
        """The URLs for an event of a run: what is said of its flow counts first, then what is of its tags.

        >>> rules = Rules({"on_failure": ["a"], "on_crash": []}, flows={"calm": {"on_failure": []}})
        >>> rules.tags = {"prod": {"on_crash": ["b"]}}
        >>> rules.targets("crash", "load"), rules.targets("crash", "load", ["prod"]), rules.targets("failure", "calm")
        (['a'], ['b'], [])
        """
        keys = _RULED_BY[event]
        for key in keys:
            if (own := self.flows.get(flow, {}).get(key)) is not None:
                return own
        for key in keys:
            tagged = [self.tags[tag][key] for tag in sorted(tags) if key in self.tags.get(tag, {})]
            if tagged:
                return list(dict.fromkeys(url for urls in tagged for url in urls))
        return next((urls for key in keys if (urls := self.general.get(key))), [])

    def everyone(self) -> list[str]:
        """All URLs, each once."""
        tables = [self.general, *self.flows.values(), *self.tags.values()]
        return list(dict.fromkeys(url for table in tables for urls in table.values() for url in urls))


def rules_of(settings: Settings) -> Rules:
    """What the settings say."""
    notify = settings.notify
    return Rules(
        {key: list(getattr(notify, key)) for key in ("on_failure", "on_crash", "on_recovery", "on_success")},
        dict(notify.flows),
        dict(notify.tags),
        notify.burst_seconds,
        notify.timeout_seconds,
    )


def rules_within(will: bytes) -> Rules | None:
    """The rules that a process left for the case of its death; None if that cannot be read."""
    try:
        return msgspec.json.decode(will, type=Rules)
    except msgspec.MsgspecError:
        return None
