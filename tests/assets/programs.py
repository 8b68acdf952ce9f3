"""Flows for tests of assets that need processes: child processes import this module, tests start it as a script."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from surefoot import flow, task
from surefoot.assets import CheckResult, add_asset_metadata, materialize
from surefoot.task_runners import ProcessPoolTaskRunner

Rows = list[dict[str, int]]


def sound(rows: Rows) -> CheckResult:
    return CheckResult(len(rows) == 2, metadata={"pid": os.getpid()})


@materialize("s3://raw", checks=[sound])
def extract() -> Rows:
    add_asset_metadata("s3://raw", {"pid": os.getpid()})
    return [{"id": 1}, {"id": 2}]


@task
def clean(rows: Rows) -> Rows:
    return [dict(row) for row in rows]


@task
def count(rows: Rows) -> int:
    return len(rows)


@materialize("s3://inner")
def inner(rows: Rows) -> Rows:
    return [*rows]


@task
def outer(rows: Rows) -> Rows:
    return inner(clean(rows))


@task
def around(rows: Rows) -> int:
    return len(inner(clean(rows)))


@materialize("s3://out")
def load(value: Any) -> int:
    return 1


@materialize("s3://apart", checks=[sound], isolation="process")
def apart() -> Rows:
    add_asset_metadata("s3://apart", {"pid": os.getpid()})
    return [{"id": 1}, {"id": 2}]


@flow(task_runner=ProcessPoolTaskRunner(max_workers=2))
def in_processes() -> Any:
    return load.submit(outer.submit(clean.submit(extract.submit())))


@flow(task_runner=ProcessPoolTaskRunner(max_workers=2))
def in_processes_a_number() -> Any:
    return load.submit(around.submit(clean.submit(extract.submit())))


@materialize("s3://slow")
def stalls(mark: str) -> None:
    Path(mark).touch()
    while True:  # until it is killed
        sys.stdin.readline()


@flow
def slow(mark: str) -> None:
    stalls(mark)


if __name__ == "__main__":
    slow(sys.argv[1])
