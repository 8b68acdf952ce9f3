"""Large maps as an everyday size: results while it runs, bounded memory, and a quiet standard error."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from surefoot import task
from surefoot.futures import as_completed
from tests.engine.concurrency import SOON, on


def test_results_come_while_most_of_a_map_has_not_begun() -> None:
    seen = threading.Event()

    @task
    def item(n: int) -> int:
        assert n == 0 or seen.wait(SOON)
        return n

    @on(2)
    def program() -> int:
        futures = item.map(range(3000))
        results = as_completed(futures)
        first = next(results)
        pending = sum(future.state.is_pending() for future in futures)
        seen.set()
        assert first.result() == 0
        assert sum(future.result() for future in results) == sum(range(3000))
        return pending

    assert program() >= 2900


PROGRAM = """
import sys
from surefoot import flow, task
from surefoot.futures import as_completed

way, count = sys.argv[1], int(sys.argv[2])

@task
def item(n):
    in_hand = bytearray(10_000)
    if way == "failing" and n % 10 == 0:
        raise ConnectionError(f"GET /items/{n} timed out")
    return n

@flow
def program():
    futures = item.map(range(count))
    if way == "as_completed":
        assert sum(future.result() for future in as_completed(futures)) == sum(range(count))
    futures.wait()
    assert sum(future.state.is_completed() for future in futures) == (count * 9 // 10 if way == "failing" else count)

program()
try:
    import resource
except ImportError:
    sys.exit()
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(peak // (1 << 20 if sys.platform == "darwin" else 1 << 10))
"""


def run_program(folder: Path, way: str, count: int) -> tuple[int, str]:
    """The most megabytes that it had, and what it wrote on standard error, which is a file."""
    said = folder / "stderr.txt"
    with said.open("w") as stderr:
        told = subprocess.run(
            [sys.executable, "-c", PROGRAM, way, str(count)],
            stdout=subprocess.PIPE,
            stderr=stderr,
            check=True,
            text=True,
        )
    return int(told.stdout or 0), said.read_text(encoding="utf-8")


def test_progress_in_a_file_is_one_line_at_the_end(tmp_path: Path) -> None:
    _, said = run_program(tmp_path, "failing", 500)
    assert "\r" not in said
    assert "\x1b" not in said
    assert "map item: 500 runs, 50 of them failed, in" in said
    assert said.count("500") == 1
    assert said.count(" ERROR ") == 10  # after ten of a kind the number at the end is enough


@pytest.mark.long
@pytest.mark.parametrize("way", ["waiting", "as_completed", "failing"])
def test_a_map_over_100_000_items_stays_below_600_megabytes(way: str, tmp_path: Path) -> None:
    peak_mb, _ = run_program(tmp_path, way, 100_000)
    assert peak_mb < 600
