"""What is told, and what is kept, of exceptions: the text of a traceback, and the frames of a large map's failures."""

from __future__ import annotations

import gc
import traceback
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from surefoot import flow, task
from surefoot.engine.tracebacks import traceback_text
from tests.engine.concurrency import on
from tests.recorded import record


def fails(text: str) -> None:
    raise ValueError(text)


def fails_because(text: str) -> None:
    try:
        fails(text)
    except ValueError as error:
        raise OSError(text) from error


def fails_meanwhile(text: str) -> None:
    try:
        fails_because(text)
    except OSError:
        raise KeyError(text)  # noqa: B904  # what Python makes of this is the point


def fails_alone(text: str) -> None:
    try:
        fails(text)
    except ValueError:
        raise KeyError(text) from None


def fails_with_notes(text: str) -> None:
    error = ValueError(text)
    error.add_note("a note")
    raise error


def misspells(text: str) -> None:
    text.shout()  # type: ignore[attr-defined]


def fails_in_a_group(text: str) -> None:
    raise ExceptionGroup(text, [ValueError(text), OSError(text)])


def fails_in_a_circle(text: str) -> None:
    first, second = ValueError(text), OSError(text)
    first.__cause__, second.__cause__ = second, first
    raise first


def fails_with_one_never_raised(text: str) -> None:
    raise ValueError(text) from OSError(text)


WAYS = [
    fails,
    fails_because,
    fails_meanwhile,
    fails_alone,
    fails_with_notes,
    misspells,
    fails_in_a_group,
    fails_in_a_circle,
    fails_with_one_never_raised,
]


@given(st.lists(st.tuples(st.sampled_from(WAYS), st.text(max_size=20)), max_size=8))
def test_a_traceback_reads_as_python_writes_it_however_often_its_place_was_told(
    failures: list[tuple[Callable[[str], None], str]],
) -> None:
    for fail, text in failures:
        with pytest.raises(Exception) as caught:  # noqa: PT011  # of whatever type
            fail(text)
        assert traceback_text(caught.value) == "".join(traceback.format_exception(caught.value))


class Payload:
    """Something large that a task has in hand."""


@pytest.mark.parametrize("way", [fails, fails_because])
def test_only_the_first_failures_of_a_map_keep_what_their_functions_had_in_hand(way: Any, home: Path) -> None:
    payloads: list[weakref.ref[Payload]] = []

    @task
    def carries(n: int) -> Any:
        payload = Payload()
        payloads.append(weakref.ref(payload))
        way(f"item {n}")

    @on(2)
    def program() -> Any:
        futures = carries.map(range(60))
        futures.wait()
        gc.collect()
        kept = sum(payload() is not None for payload in payloads)
        assert kept <= 11  # ten for a debugger, and one whose frames all others share
        for future in futures:
            error = future.result(raise_on_failure=False)
            lines = [entry.name for entry in traceback.extract_tb(error.__traceback__)]
            assert lines[-2:] == ["carries", way.__name__]

    program()
    texts = [run.last.traceback or "" for run in record(home).task_runs]
    assert len(texts) == 60
    assert all(text.startswith("Traceback") and "in carries" in text for text in texts)


def test_a_failure_outside_of_maps_keeps_all_it_had(home: Path) -> None:
    @task
    def carries(n: int) -> Any:
        payload = [n]
        raise ValueError(payload)

    @flow
    def program() -> list[int]:
        errors = [carries.submit(n).result(raise_on_failure=False) for n in range(30)]
        return [list(traceback.walk_tb(error.__traceback__))[-1][0].f_locals["n"] for error in errors]

    assert program() == list(range(30))
