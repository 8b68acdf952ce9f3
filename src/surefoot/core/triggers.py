"""Trigger rules: from how the upstreams of a task run ended to whether it runs, as one table.

Two rules:
1. A rule sees counts, never runs: it is asked once, when all upstreams have ended, so no answer depends on their order.
2. A run without upstreams runs, whatever its rule.

An upstream that failed stops what wants success (NotReady); what waits for a failure that never came, or lacks an
upstream that was skipped, is skipped itself. May import: core.errors, msgspec.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Final

import msgspec

from surefoot.core.errors import BadInput

__all__ = ["ALIASES", "DEFAULT", "RULES", "Answer", "Ends", "Rule", "answer_of", "check_trigger_name"]


class Ends(msgspec.Struct, frozen=True):
    """How the upstreams of a run ended. Each counts once; those under `allow_failure` count twice, as what they are
    and as allowed.
    """

    succeeded: int = 0  # COMPLETED, but for those that were skipped
    failed: int = 0  # FAILED, CRASHED or CANCELLED
    skipped: int = 0
    allowed_failed: int = 0  # of those that failed
    allowed_skipped: int = 0  # of those that were skipped

    @property
    def total(self) -> int:
        """How many there are."""
        return self.succeeded + self.failed + self.skipped

    @property
    def stop_by_failing(self) -> int:
        """How many failed that were not allowed to."""
        return self.failed - self.allowed_failed

    @property
    def stop_by_skipping(self) -> int:
        """How many were skipped that were not allowed to be."""
        return self.skipped - self.allowed_skipped


class Answer(Enum):
    """What a rule says."""

    RUN = "run"
    NOT_READY = "not ready"  # because an upstream failed
    SKIP = "skip"  # because an upstream was skipped
    UNWANTED = "unwanted"  # skip, because what the rule waits for did not happen


RUN, NOT_READY, SKIP, UNWANTED = Answer.RUN, Answer.NOT_READY, Answer.SKIP, Answer.UNWANTED


class Rule(msgspec.Struct, frozen=True):
    """One row: a name, when a run with it runs, in words, and what it makes of how the upstreams ended."""

    name: str
    runs_if: str
    answer: Callable[[Ends], Answer]


def _no_failure(ends: Ends) -> Answer:
    return NOT_READY if ends.stop_by_failing else RUN


def _no_skip(ends: Ends) -> Answer:
    return SKIP if ends.stop_by_skipping else RUN


def _only_success(ends: Ends) -> Answer:
    return NOT_READY if ends.stop_by_failing else _no_skip(ends)


def _any_success(ends: Ends) -> Answer:
    return RUN if ends.succeeded else NOT_READY if ends.failed else SKIP


_ROWS: Final = (
    Rule("all_success", "all upstreams succeeded", _only_success),
    Rule("all_done", "all upstreams ended, however", lambda ends: RUN),
    Rule("all_failed", "all upstreams failed", lambda ends: RUN if ends.failed == ends.total else UNWANTED),
    Rule("all_skipped", "all upstreams were skipped", lambda ends: RUN if ends.skipped == ends.total else UNWANTED),
    Rule("one_success", "at least one upstream succeeded", _any_success),
    Rule("one_failed", "at least one upstream failed", lambda ends: RUN if ends.failed else UNWANTED),
    Rule("one_done", "at least one upstream was not skipped", lambda ends: RUN if ends.total > ends.skipped else SKIP),
    Rule("none_failed", "no upstream failed: they succeeded or were skipped", _no_failure),
    Rule("none_skipped", "no upstream was skipped: they succeeded or failed", _no_skip),
    Rule(
        "none_failed_min_one_success",
        "no upstream failed, and at least one succeeded",
        lambda ends: NOT_READY if ends.stop_by_failing else _any_success(ends),
    ),
)
DEFAULT: Final = "all_success"
RULES: Final[dict[str, Rule]] = {rule.name: rule for rule in _ROWS}

# Names under which users of other engines know them.
ALIASES: Final[dict[str, str]] = {
    "always": "all_done",
    "always_run": "all_done",
    "all_finished": "all_done",
    "all_successful": "all_success",
    "any_successful": "one_success",
    "all_done_min_one_success": "one_success",
    "any_failed": "one_failed",
    "not_all_skipped": "none_failed_min_one_success",
    "none_failed_or_skipped": "none_failed_min_one_success",
}


def answer_of(trigger: str, ends: Ends) -> Answer:
    """What a rule makes of how the upstreams ended.

    >>> answer_of("all_success", Ends(succeeded=2, failed=1)).value
    'not ready'
    >>> answer_of("one_failed", Ends(succeeded=3)).value
    'unwanted'
    >>> answer_of("always", Ends(failed=1, skipped=1)).value
    'run'
    """
    return RULES[trigger if trigger in RULES else ALIASES[trigger]].answer(ends) if ends.total else RUN


class TriggerValueError(BadInput, ValueError):
    """`trigger` is no rule that there is."""


def check_trigger_name(name: str, owner: str) -> str:
    """The name of a rule. Raises ValueError, with the nearest name, for any other text."""
    if name not in RULES and name not in ALIASES:
        from difflib import get_close_matches  # a door: only a mistake pays for it

        near = get_close_matches(name.lower(), [*RULES, *ALIASES], n=1)
        do = f"Did you mean {near[0]!r}?" if near else f"Use one of {', '.join(RULES)}, or a function of the states."
        raise TriggerValueError(f"trigger of {owner} is {name!r}, which is no rule.", do=do)
    return name
