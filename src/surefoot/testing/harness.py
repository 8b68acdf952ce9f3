"""A harness for tests of flows: a home of their own, in this process, with nothing to start and nothing left behind.

May import: client, engine, core.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

from surefoot.client import Client, get_client
from surefoot.core import settings as core_settings
from surefoot.core.per_ledger import let_go_of
from surefoot.core.wire import FlowRun
from surefoot.engine.session import forget_session
from surefoot.testing.clock import Clock

__all__ = ["Harness", "test_harness"]

# What a test must not inherit: where runs belong, who is told of them, and what a process leaves to others at its end.
_HERE: Final = {
    "SUREFOOT_API_URL": "",
    "SUREFOOT_LEDGER_FOLD_AT_EXIT": "false",
    "SUREFOOT_LEDGER_URL": "",
    "SUREFOOT_NOTIFY_FLOWS": "",
    "SUREFOOT_NOTIFY_ON_CRASH": "",
    "SUREFOOT_NOTIFY_ON_FAILURE": "",
    "SUREFOOT_NOTIFY_ON_RECOVERY": "",
    "SUREFOOT_NOTIFY_ON_SUCCESS": "",
    "SUREFOOT_NOTIFY_TAGS": "",
    "SUREFOOT_PROFILE": "",
    "SUREFOOT_RESULTS_DEFAULT_STORAGE": "",
}


class Harness:
    """What a test sees of the runs that it made.

    Attributes:
        home: the folder of journal, ledger and results.
        clock: the clock, if the harness was asked for one that jumps.
    """

    def __init__(self, home: Path, clock: Clock | None) -> None:
        self.home = home
        self.clock = clock
        self._client: Client | None = None

    @property
    def client(self) -> Client:
        """A client that reads what was recorded: `flow_runs()`, `task_runs()`, `logs(run)`, `why(run)` ..."""
        if self._client is None:
            self._client = get_client()
        return self._client

    def flow_runs(self) -> list[FlowRun]:
        """All flow runs so far, the newest first."""
        return list(self.client.flow_runs(limit=500).results)

    def close(self) -> None:
        """Let go of the ledger."""
        if self._client is not None:
            self._client.close()
            self._client = None


@contextmanager
def test_harness(*, clock: bool | Clock = False, settings: Mapping[str, Any] | None = None) -> Iterator[Harness]:
    """Run flows in a home of their own, which is gone afterwards. Takes milliseconds.

    Args:
        clock: True, or a `Clock`: pauses between retries take no time.
        settings: settings for the length of it, by dotted name or as in the environment.

    >>> from surefoot import flow
    >>> @flow(name="doctest")
    ... def one() -> int: return 1
    >>> with test_harness() as harness:
    ...     one(), [run.state_name for run in harness.flow_runs()]
    (1, ['Completed'])
    """
    with ExitStack() as stack:
        home = tempfile.mkdtemp(prefix="surefoot-test-")
        stack.callback(shutil.rmtree, home, ignore_errors=True)
        stack.enter_context(_environment({"SUREFOOT_HOME": home, **_HERE}))
        stack.callback(let_go_of, home)  # before the folder goes
        stack.callback(forget_session)
        if settings:
            stack.enter_context(core_settings.temporary_settings(settings))
        found = Clock() if clock is True else clock or None
        if found is not None:
            stack.enter_context(found)
        harness = Harness(Path(home), found)
        stack.callback(harness.close)
        yield harness


test_harness.__test__ = False  # type: ignore[attr-defined]  # pytest takes what is called test_ for a test


@contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
