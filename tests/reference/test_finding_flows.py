"""Row 1.91 of the reference: flows found by name, in files and among others."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from surefoot import flow
from surefoot.entrypoints import load_flow
from surefoot.exceptions import EntrypointError, MissingFlowError, UnspecifiedFlowError
from surefoot.flows import load_flow_from_script, load_flows_from_script, select_flow
from tests.reference.rows import at, row

a_flow: Any = flow
TWO = """
from surefoot import flow

@flow(name="nightly load")
def load(): return "load"

@flow
def report(): return "report"

again = report

if __name__ == "__main__":
    raise SystemExit("it was run as a script")
"""


@pytest.fixture
def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    before = set(sys.modules)
    monkeypatch.setattr(sys, "path", [*sys.path])
    path = tmp_path / "two_flows.py"
    path.write_text(TWO, encoding="utf-8")
    yield path
    for name in set(sys.modules) - before:
        if name.startswith(("two_flows", "flow_file_")):
            del sys.modules[name]


def one() -> None: ...
def other() -> None: ...


FLOWS = [a_flow(one), a_flow(name="second")(other)]


@pytest.mark.parametrize(
    ("flows", "name", "found"),
    [
        at("1.91", FLOWS, "one", "one"),
        at("1.91", FLOWS, "second", "second"),
        at("1.91", FLOWS, "other", "second"),
        at("1.91", FLOWS[:1], None, "one"),
        at("1.91", iter([FLOWS[0], FLOWS[0]]), None, "one"),
    ],
)
def test_a_flow_is_selected(flows: Any, name: str | None, found: str) -> None:
    assert select_flow(flows, name).name == found


@pytest.mark.parametrize(
    ("flows", "name", "error", "says"),
    [
        at("1.91", [], None, MissingFlowError, "There is no flow in etl.py"),
        at("1.91", FLOWS, None, UnspecifiedFlowError, "There are 2 flows in etl.py: 'one', 'second'"),
        at("1.91", FLOWS, "third", MissingFlowError, "There is no flow 'third' in etl.py.*'one', 'second'"),
    ],
)
def test_a_flow_that_cannot_be_selected(flows: Any, name: str | None, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says) as caught:
        select_flow(flows, name, "in etl.py")
    assert isinstance(caught.value, EntrypointError)
    assert isinstance(caught.value, ValueError)


@row("1.91")
def test_flows_of_a_file(row: str, script: Path, home: Path) -> None:
    assert [it.name for it in load_flows_from_script(script)] == ["nightly load", "report"]
    assert load_flow_from_script(str(script), "report")() == "report"
    with pytest.raises(UnspecifiedFlowError, match=r"2 flows in .*two_flows\.py"):
        load_flow_from_script(script)
    with pytest.raises(EntrypointError, match="no file"):
        load_flows_from_script(script.with_name("none.py"))


@row("1.91")
def test_an_entrypoint_raises_the_same(row: str, script: Path) -> None:
    with pytest.raises(MissingFlowError, match=r"has no flow 'repotr'.*Did you mean"):
        load_flow(f"{script}:repotr")
    with pytest.raises(UnspecifiedFlowError, match="has 2 flows"):
        load_flow(str(script))
