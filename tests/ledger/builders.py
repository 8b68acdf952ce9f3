"""Writers and runs as tests need them: facts with offsets, as a journal would hand them to the ledger."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sqlalchemy import select

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
from surefoot.core.ids import new_id, to_text
from surefoot.core.states import PENDING, RUNNING, StateType, default_name
from surefoot.ledger import Batch, Ledger
from surefoot.ledger.tables import metadata

T0 = 1_750_000_000_000_000  # 2025-06-15, 15:06:40 UTC
SECOND = 1_000_000
FRAME = 100  # bytes of a frame in these journals


class Pen:
    """A writer: what it writes gets offsets, and can be had in batches."""

    def __init__(self, *, pid: int = 4711, host: str = "box", at_us: int = T0) -> None:
        self.id = new_id()
        self.pid, self.host = pid, host
        self.runs: list[tuple[int, Fact | Unknown]] = []
        self.logs: list[tuple[int, Fact | Unknown]] = []
        self.write(SegmentOpened(self.id, "runs", 0, at_us, at_us, host, "boot-1", pid, "0.1.0"))

    def write(self, fact: Fact | Unknown) -> None:
        self.runs.append((len(self.runs) * FRAME, fact))

    def log(self, fact: LogWritten | LogsCut) -> None:
        self.logs.append((len(self.logs) * FRAME, fact))

    def end(self, at_us: int = T0 + 3600 * SECOND) -> None:
        self.write(WriterEnded(at_us, at_us))

    def batches(self, *sizes: int) -> list[Batch]:
        """All of it, in batches of these sizes (the last of them again and again), the runs first."""
        sizes = sizes or (1_000_000,)
        found = []
        for stream, pairs in (("runs", self.runs), ("logs", self.logs)):
            wanted = itertools.chain(sizes, itertools.repeat(sizes[-1]))
            low = 0
            while low < len(pairs):
                part = pairs[low : low + next(wanted)]
                found.append(Batch(self.id, stream, 0, part[0][0], part[-1][0] + FRAME, part))
                low += len(part)
        return found


class Run:
    """A run that a writer lives. Every state it enters is a fact; the sums are kept as the engine keeps them."""

    def __init__(self, pen: Pen, run_id: bytes, is_task: bool, name: str, at_us: int, retries: int) -> None:
        self.pen, self.id, self.is_task, self.name = pen, run_id, is_task, name
        self.epoch = self.n = self.run_count = self.ran_us = 0
        self.at_us, self.retries = at_us, retries
        self.start_us: int | None = None
        self.type: StateType = PENDING

    @property
    def text_id(self) -> str:
        return to_text(self.id)

    def enter(self, kind: StateType, name: str | None = None, message: str | None = None, **fields: Any) -> Run:
        """Enter a state, one second later unless `after_s` says otherwise."""
        at_us = self.at_us + round(fields.pop("after_s", 1) * SECOND)
        if self.type is RUNNING:
            self.ran_us += at_us - self.at_us
        if kind is RUNNING:
            self.run_count += 1
            self.start_us = self.start_us or at_us
        self.n += 1
        self.at_us, self.type = at_us, kind
        sums = {"run_count": self.run_count, "start_us": self.start_us, "ran_us": self.ran_us}
        self.pen.write(
            StateEntered(
                self.id,
                self.is_task,
                self.epoch,
                self.n,
                at_us,
                at_us,
                kind,
                name or default_name(kind),
                message,
                **(sums | fields),
            )
        )
        return self

    def next_epoch(self, pen: Pen | None = None) -> Run:
        """Start again, in a new epoch, lived by `pen`."""
        self.pen = pen or self.pen
        self.epoch += 1
        self.n = -1
        self.run_count = self.ran_us = 0
        self.start_us = None
        self.type = PENDING
        return self.enter(PENDING)

    def log(self, message: str, *, level: int = 20, flow_run: Run | None = None, at_us: int | None = None) -> None:
        flow_run_id = (flow_run.id if flow_run else None) if self.is_task else self.id
        task_run_id = self.id if self.is_task else None
        at_us = at_us or self.at_us
        self.pen.log(LogWritten(at_us, level, "test", message, flow_run_id, task_run_id, mono_us=at_us))


_numbers = itertools.count(1)


def a_flow_run(pen: Pen, name: str | None = None, *, at_us: int = T0, flow: str = "backup", **fields: Any) -> Run:
    run = Run(pen, new_id(), False, name or f"run-{next(_numbers)}", at_us, fields.get("retries", 0))
    pen.write(
        FlowRunCreated(
            run.id, flow, run.name, at_us, at_us, fields.pop("kind", PENDING), fields.pop("state", "Pending"), **fields
        )
    )
    return run


def a_task_run(pen: Pen, flow_run: Run | None, name: str | None = None, *, at_us: int = T0, **fields: Any) -> Run:
    number = next(_numbers)
    task = fields.pop("task", "upload")
    run = Run(pen, new_id(), True, name or f"{task}-{number}", at_us, fields.get("retries", 0))
    flow_run_id = flow_run.id if flow_run else None
    pen.write(
        TaskRunCreated(
            run.id,
            flow_run_id,
            f"m.{task}",
            task,
            run.name,
            at_us,
            at_us,
            fields.pop("kind", PENDING),
            fields.pop("state", "Pending"),
            index=number,
            **fields,
        )
    )
    return run


def dump(ledger: Ledger) -> dict[str, list[tuple[Any, ...]]]:
    """All tables, sorted, without what the ledger's own clock says."""
    found = {}
    with ledger.read() as connection:
        for table in metadata.sorted_tables:
            if table.name != "meta":
                columns = [column for column in table.columns if column.name != "received_us"]
                rows = [tuple(row) for row in connection.execute(select(*columns))]
                found[table.name] = sorted(rows, key=repr)
    return found


def fresh(folder: Path) -> Iterator[Path]:
    """Paths of ledgers that are not there yet."""
    return (folder / f"ledger-{number}.db" for number in itertools.count())
