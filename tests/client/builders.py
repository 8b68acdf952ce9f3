"""Runs that happened, for tests: facts as a process would have written them, and a home that holds them."""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from surefoot._version import __version__
from surefoot.client.embedded import EmbeddedClient
from surefoot.core.artifacts import JSON, MARKDOWN, TEXT
from surefoot.core.clock import get_clock
from surefoot.core.facts import (
    ArtifactWritten,
    Fact,
    FlowRunCreated,
    LogWritten,
    RunFact,
    RunStart,
    SegmentOpened,
    StateEntered,
    TaskRunCreated,
    WriterEnded,
)
from surefoot.core.ids import new_id
from surefoot.core.states import NAMES, StateType
from surefoot.journal.frames import split
from surefoot.journal.home import Home
from surefoot.ledger import Batch, Ledger

__all__ = ["a_client", "a_flow_run", "a_line", "a_task_run", "an_artifact", "id_of", "recorded", "spoilt"]

MINUTE_US = 60_000_000
TYPE_OF = {name: kind for kind, names in NAMES.items() for name in names}
START = RunStart("/usr/bin/python3", "/srv/backup.py", None, "main", "/srv", ("backup.py",))


def a_flow_run(
    name: str = "brave-otter",
    flow: str = "backup",
    *,
    state: str = "Completed",
    began_us: int | None = None,
    took_s: float = 11.0,
    why: str | None = None,
    parameters: dict[str, Any] | None = None,
    tags: Sequence[str] = (),
    parent: Sequence[RunFact] | None = None,
    cause: Sequence[RunFact] | None = None,
) -> list[RunFact]:
    """The facts of a flow run that ended in, or is in, the state of that name."""
    began_us = get_clock().now_us() - MINUTE_US if began_us is None else began_us
    created = FlowRunCreated(
        run_id=new_id(),
        flow_name=flow,
        name=name,
        at_us=began_us,
        mono_us=began_us,
        state_type=StateType.PENDING,
        state_name="Pending",
        parameters=json.dumps(parameters or {}).encode(),
        tags=tuple(tags),
        parent_flow_run_id=id_of(parent) if parent else None,
        start=START,
    )
    return [created, *_states(created.run_id, False, began_us, took_s, state, why, cause)]


def a_task_run(
    flow_run: Sequence[RunFact] | None = None,
    name: str = "upload-0",
    task: str = "upload",
    *,
    state: str = "Completed",
    began_us: int | None = None,
    took_s: float = 2.0,
    why: str | None = None,
    tags: Sequence[str] = (),
    map_id: bytes | None = None,
    after: Sequence[Sequence[RunFact]] = (),
    cause: Sequence[RunFact] | None = None,
    traceback: str | None = None,
) -> list[RunFact]:
    """The facts of a task run; `after` are the task runs whose results it took."""
    if began_us is None:
        began_us = flow_run[0].at_us if flow_run else get_clock().now_us() - MINUTE_US
    created = TaskRunCreated(
        run_id=new_id(),
        flow_run_id=id_of(flow_run) if flow_run else None,
        task_key=f"backup.{task}",
        task_name=task,
        name=name,
        at_us=began_us,
        mono_us=began_us,
        state_type=StateType.PENDING,
        state_name="Pending",
        tags=tuple(tags),
        inputs=(("source", tuple(id_of(run) for run in after)),) if after else (),
        map_id=map_id,
    )
    return [created, *_states(created.run_id, True, began_us, took_s, state, why, cause, traceback)]


def a_line(run: Sequence[RunFact], message: str, *, level: int = 20, after_s: float = 1.0) -> LogWritten:
    """A line that the run logged so long after it was created."""
    created = run[0]
    at_us = created.at_us + int(after_s * 1e6)
    if isinstance(created, TaskRunCreated):
        flow_run_id, task_run_id = created.flow_run_id, created.run_id
    else:
        flow_run_id, task_run_id = id_of(run), None
    return LogWritten(at_us, level, "surefoot", message, flow_run_id, task_run_id, mono_us=at_us)


def an_artifact(
    run: Sequence[RunFact] | None, key: str | None, content: bytes, *, type: str = MARKDOWN, **fields: Any
) -> ArtifactWritten:
    """An artifact that the run made when it was created; None: one of no run."""
    now_us = get_clock().now_us()
    created = None if run is None else run[0]
    if isinstance(created, TaskRunCreated):
        fields |= {"flow_run_id": created.flow_run_id, "task_run_id": created.run_id}
    elif run is not None:
        fields["flow_run_id"] = id_of(run)
    fields = {"media_type": TEXT if type == MARKDOWN else JSON, "size": len(content), "at_us": now_us} | fields
    made: dict[str, Any] = {"artifact_id": new_id(), "mono_us": now_us, "type": type, "key": key, "data": content}
    return ArtifactWritten(**(made | fields))


def id_of(run: Sequence[RunFact]) -> bytes:
    """The id of the run that these facts are about."""
    created = run[0]
    assert isinstance(created, FlowRunCreated | TaskRunCreated)
    return created.run_id


def recorded(home: Path, *runs: Iterable[Fact] | Fact) -> None:
    """Put facts into the ledger of `home`, as a process that has ended in order would have left them."""
    home.mkdir(parents=True, exist_ok=True)
    writer_id, now_us = new_id(), get_clock().now_us()
    facts = list(_flat(runs))
    with Ledger.open(os.environ.get("SUREFOOT_LEDGER_URL") or Home(str(home)).ledger_path) as ledger:
        for stream in ("runs", "logs"):
            opened = SegmentOpened(writer_id, stream, 0, now_us, now_us, "here", "boot", 1, __version__)
            own = [fact for fact in facts if isinstance(fact, LogWritten) is (stream == "logs")]
            ended = [WriterEnded(now_us, now_us)] if stream == "runs" else []
            numbered = [(n * 8, fact) for n, fact in enumerate([opened, *own, *ended])]
            ledger.fold([Batch(writer_id, stream, 0, 0, len(numbered) * 8, numbered)])


def a_client(home: Path, *, wait_s: float = 2.0) -> EmbeddedClient:
    """A client for a home, and the ledger that the environment names."""
    return EmbeddedClient(home, wait_s=wait_s, url=os.environ.get("SUREFOOT_LEDGER_URL"))


def spoilt(home: Path, number: int, place: int = 0) -> Path:
    """Change a byte of the numberth fact in the only segment of run facts, so far behind the start of its payload."""
    (path,) = (home / "writers").glob("*/runs-*.seg")
    raw = bytearray(path.read_bytes())
    begin, _ = split(bytes(raw))[0][number]
    raw[begin + place] ^= 0xFF
    path.write_bytes(raw)
    return path


def _flat(runs: Iterable[Iterable[Fact] | Fact]) -> Iterator[Fact]:
    for run in runs:
        if isinstance(run, list | tuple):
            yield from run
        else:
            yield run  # type: ignore[misc]


def _states(
    run_id: bytes,
    is_task: bool,
    began_us: int,
    took_s: float,
    state: str,
    why: str | None,
    cause: Sequence[RunFact] | None,
    traceback: str | None = None,
) -> Iterator[StateEntered]:
    numbers = itertools.count(1)
    if state == "Pending":
        return
    started = state not in ("NotReady", "Cached", "Skipped")
    if started:
        yield StateEntered(
            run_id, is_task, 0, next(numbers), began_us, began_us, StateType.RUNNING, "Running", None, 1, began_us
        )
    if state == "Running":
        return
    ended_us = began_us + int(took_s * 1e6)
    yield StateEntered(
        run_id,
        is_task,
        0,
        next(numbers),
        ended_us,
        ended_us,
        TYPE_OF[state],
        state,
        why,
        int(started),
        began_us if started else None,
        ended_us - began_us if started else 0,
        cause_id=id_of(cause) if cause else None,
        traceback=traceback,
    )
