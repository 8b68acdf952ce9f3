"""A part of the suite that fails it when a legal transition was entered by no test.

A step counts when the engine entered it in this process, or when the ledger found it legal while it folded. It is asked
for only when the whole suite was run; with pytest-xdist the workers hand in what they saw.
"""

from __future__ import annotations

from typing import Any, Final

import pytest

from surefoot.core.states import LEGAL, StateType, is_legal
from surefoot.engine.effects import Enter
from surefoot.engine.execution import Execution
from surefoot.ledger import history

Step = tuple[StateType | None, StateType]

_entered: Final[set[Step]] = set()
_HANDED_IN: Final = "surefoot_transitions"
_LACKING: Final = pytest.StashKey[list[Step]]()


def pytest_configure() -> None:
    """Look over the shoulders of the engine and of the ledger."""
    enter = Execution.enter

    def watched_enter(execution: Execution, effect: Enter) -> None:
        before = execution.state_type if execution.n >= 0 else None
        before_name = execution.state_name
        enter(execution, effect)
        if is_legal(before, before_name, effect.state_type, effect.state_name):
            _entered.add((before, effect.state_type))

    def watched_is_legal(before: StateType | None, before_name: str | None, after: StateType, after_name: str) -> bool:
        legal = is_legal(before, before_name, after, after_name)
        if legal:
            _entered.add((before, after))
        return legal

    setattr(Execution, "enter", watched_enter)  # noqa: B010  # a probe, which a type checker would refuse
    setattr(history, "is_legal", watched_is_legal)  # noqa: B010


def missing(entered: set[Step]) -> list[Step]:
    """The legal transitions that are not among those."""
    return [(before, after) for before, row in LEGAL.items() for after in row if (before, after) not in entered]


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Take what a worker hands in. A worker that crashed hands in nothing: the suite is red anyway."""
    handed_in = getattr(node, "workeroutput", {}).get(_HANDED_IN, [])
    _entered.update((StateType(before) if before else None, StateType(after)) for before, after in handed_in)


def is_whole(config: pytest.Config) -> bool:
    """Whether all tests were asked for: no paths, no choice of words, no stop at the first failure."""
    option = config.option
    chosen = option.keyword or option.deselect or option.ignore or option.ignore_glob or option.maxfail
    again = any(getattr(option, name, False) for name in ("lf", "stepwise", "collectonly"))
    all_marks = option.markexpr in ("not long", "long or not long")
    return config.args_source is pytest.Config.ArgsSource.TESTPATHS and all_marks and not chosen and not again


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Hand in as a worker, or judge."""
    workeroutput = getattr(session.config, "workeroutput", None)
    if workeroutput is not None:
        workeroutput[_HANDED_IN] = [(before and before.value, after.value) for before, after in _entered]
    elif session.exitstatus == pytest.ExitCode.OK and is_whole(session.config) and missing(_entered):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
        session.config.stash[_LACKING] = missing(_entered)


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Name what is missing, where nothing else is wrong."""
    for before, after in config.stash.get(_LACKING, []):
        told = f"{before.value if before else 'nothing'} -> {after.value}"
        terminalreporter.write_line(f"FAILED: the legal transition {told} was entered by no test.", red=True)
