"""The ground every test stands on: a Surefoot home of its own and an environment without the developer's settings."""

import os
import signal
from pathlib import Path

import pytest
from hypothesis import settings

pytest_plugins = ["tests.transitions", "tests.places", "tests.object_stores"]

settings.register_profile("here", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "here")

# What a shell starts in the background ignores Ctrl-C, and so does all that it starts. Tests send it to programs.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The test's own home; not made yet, since making it is the program's work."""
    for name in os.environ:
        if name.startswith("SUREFOOT_") and not name.startswith("SUREFOOT_TEST_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("SUREFOOT_LEDGER_FOLD_AT_EXIT", "false")  # no test leaves a process behind
    folder = tmp_path / "home"
    monkeypatch.setenv("SUREFOOT_HOME", str(folder))
    return folder
