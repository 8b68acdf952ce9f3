"""What processes appended to their journals, kept aside by works.py, compared with what the ledger holds."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from surefoot.client.embedded import EmbeddedClient
from surefoot.core.facts import (
    Fact,
    FlowRunCreated,
    LogsCut,
    LogWritten,
    SegmentOpened,
    StateEntered,
    TaskRunCreated,
    Unknown,
    WriterEnded,
)
from surefoot.core.ids import to_text
from surefoot.core.states import FINAL, StateType
from surefoot.core.wire import FlowRun, State, TaskRun
from surefoot.journal.home import Home
from surefoot.journal.pulse import BORN
from surefoot.journal.reading import read_segment
from surefoot.ledger import Ledger, queries

__all__ = ["assert_ledger_equals", "every_line", "every_run", "kept_facts"]

Told = tuple[int, str, str]  # number, type and name of a state


def kept_facts(side: Path) -> dict[str, list[Fact]]:
    """The facts that stand in the segments of `side`, in order, by writer and stream."""
    found: dict[str, list[Fact]] = defaultdict(list)
    for path in sorted(side.iterdir()):
        writer_id, stream, _ = path.name.split("-")
        at = 0
        while (batch := read_segment(str(path), at)).facts:
            assert not any(isinstance(fact, Unknown) for fact in batch.facts)
            found[f"{writer_id}-{stream}"] += batch.facts  # type: ignore[arg-type]
            at = batch.end
    return dict(found)


def every_run(client: EmbeddedClient) -> Iterator[FlowRun | TaskRun]:
    """All runs of a ledger."""
    for ask in (client.flow_runs, client.task_runs):
        after = None
        while True:
            page = ask(limit=1000, after=after)
            assert not page.behind
            yield from page.results
            if (after := page.after) is None:
                break


def every_line(client: EmbeddedClient) -> list[str]:
    """The texts of all lines of a ledger, in order."""
    lines: list[str] = []
    after = None
    while True:
        page = client.logs(limit=1000, after=after)
        lines += [line.message for line in page.results]
        if (after := page.after) is None:
            return lines


def assert_ledger_equals(side: Path, home: Path) -> None:
    """Every fact of the journal is in the ledger, once; every run has ended; no transition is illegal."""
    states: dict[str, list[Told]] = {}
    left_open: set[str] = set()
    lines: list[str] = []
    for facts in kept_facts(side).values():
        # Ctrl-C at the turn of a generator's consumer, which is the program's: the process closes its journal in order.
        is_closed = any(isinstance(fact, WriterEnded) for fact in facts)
        for fact in facts:
            if isinstance(fact, FlowRunCreated | TaskRunCreated):
                assert to_text(fact.run_id) not in states, "one run was created twice"
                states[to_text(fact.run_id)] = [(0, fact.state_type.value, fact.state_name)]
                if is_closed:
                    left_open.add(to_text(fact.run_id))
            elif isinstance(fact, StateEntered):
                states[to_text(fact.run_id)].append((fact.n, fact.state_type.value, fact.state_name))
            elif isinstance(fact, LogWritten):
                lines.append(fact.message)
            else:
                assert isinstance(fact, SegmentOpened | WriterEnded | LogsCut), fact
    client = EmbeddedClient(home, wait_s=1200)  # thousands of dead writers may be left
    try:
        runs = {run.id: run for run in every_run(client)}
        assert runs.keys() == states.keys()
        with Ledger.open(Home(str(home)).ledger_path) as ledger, ledger.read() as tx:
            for run_id, told in states.items():
                unsaid = "Abandoned" if run_id in left_open else "Crashed"
                assert_history(queries.list_states(tx, run_id), told, unsaid)
                assert runs[run_id].state_type in FINAL, runs[run_id]
        assert sorted(every_line(client)) == sorted(lines)
        # One that was killed before it had a pulse has written nothing; its folder goes after an hour.
        left = [path.name for path in (home / "writers").iterdir() if not path.name.startswith(BORN)]
        assert not left, "what is in the ledger has been removed"
        assert list(client.troubles) == []
    finally:
        client.close()


def assert_history(history: list[State], told: list[Told], unsaid: str) -> None:
    """The states of a run are those that were appended; and an end that was observed, if none of them was one."""
    assert not [state for state in history if state.state_details.get("illegal")], history
    found = [(state.type.value, state.name) for state in history]
    wanted = [(kind, name) for _, kind, name in sorted(told)]
    assert [n for n, _, _ in sorted(told)] == list(range(len(told)))
    if wanted[-1][0] not in {kind.value for kind in FINAL}:
        wanted.append((StateType.CRASHED.value, unsaid))
    assert found == wanted
